//! The follower against records that nobody published, one at a time.

use std::sync::Arc;

use aqueduct_bus::{Delivery, Log, Options, Record};
use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::*;
use crate::change::{KeyPart, Reason, Scope, TableName, Version};

/// What a follower did, in order.
#[derive(Clone, Debug, PartialEq)]
enum Did {
    Fence(u64, u64),
    Bump(u64),
    Raise(u64),
    Flush,
    L1(Instant),
    L2(Instant),
    Lost,
}

#[derive(Default)]
struct Tell(Vec<Did>);

impl Apply for Tell {
    fn fence(&mut self, change: &Change, floor: u64) {
        let [KeyPart::Uint(key)] = change.key[..] else { panic!("{change:?}") };
        self.0.push(Did::Fence(key, floor));
    }
    fn bump(&mut self, _: &EpochBump, epoch: u64) {
        self.0.push(Did::Bump(epoch));
    }
    fn raise(&mut self, epochs: &Epochs) {
        self.0.push(Did::Raise(epochs.all()));
    }
    fn flush(&mut self) {
        self.0.push(Did::Flush);
    }
    fn l1(&mut self, at: Instant) {
        self.0.push(Did::L1(at));
    }
    fn l2(&mut self, at: Instant, masters: &[Master]) {
        assert_eq!(masters, &[MASTER]);
        self.0.push(Did::L2(at));
    }
    fn lost(&mut self) {
        self.0.push(Did::Lost);
    }
}

const ME: u64 = 42;
const MASTER: Master = [7; 20];

struct Site {
    follower: Follower<aqueduct_bus::Reader, Tell>,
    beats: Beats,
    start: Instant,
}

impl Site {
    fn new() -> Self {
        let beats = Beats::default();
        let reader = Log::new(Options::default()).subscribe();
        let follower = Follower::new(reader, Tell::default(), ME, beats.clone());
        Self { follower, beats, start: Instant::now() }
    }

    /// Beat `beat` is sent at second `beat`.
    fn send(&self, beats: impl IntoIterator<Item = u64>) {
        beats.into_iter().for_each(|beat| self.beats.sent(beat, self.at(beat)));
    }

    fn at(&self, beat: u64) -> Instant {
        self.start + Duration::from_secs(beat)
    }

    #[track_caller]
    fn check(&mut self, (epoch, seq): (u64, u64), messages: &[Message], expect: &[Did]) {
        self.check_payload((epoch, seq), feed::encode(messages), expect);
    }

    #[track_caller]
    fn check_payload(&mut self, (epoch, seq): (u64, u64), payload: Vec<u8>, expect: &[Did]) {
        let record = Record {
            topic: "changes".into(),
            key: Bytes::new(),
            source: "primary-0".into(),
            epoch,
            seq,
            headers: Vec::new(),
            payload: payload.into(),
        };
        self.follower.take(&Delivery::Record(Arc::new(record)));
        assert_eq!(std::mem::take(&mut self.follower.apply.0), expect);
    }
}

fn change(key: u64, version: u64) -> Message {
    let table = Arc::new(TableName { database: "shop".to_owned(), table: "orders".to_owned() });
    Message::Change(Change {
        table,
        key: vec![KeyPart::Uint(key)],
        version: Version::Exact(version),
        tombstone: false,
    })
}

fn beat(beat: u64) -> Message {
    Message::Beat { instance: ME, beat }
}

fn applied(epoch: u64, seq: u64) -> Message {
    Message::Applied { epoch, seq, epochs: Epochs::new(5), masters: vec![MASTER] }
}

#[tokio::test(start_paused = true)]
async fn watermarks_are_the_instants_at_which_own_beats_were_sent() {
    let mut site = Site::new();
    site.send(1..=4);
    let (second, third) = (site.at(2), site.at(3));
    site.check((1, 7), &[change(1, 3), beat(1)], &[Did::Lost, Did::Flush, Did::Fence(1, 3)]);
    // The first beat of all proves only what the second makes visible.
    site.check((1, 8), &[beat(2)], &[Did::Flush, Did::L1(second)]);
    site.check((1, 9), &[beat(3), change(2, 1)], &[Did::L1(third), Did::Fence(2, 1)]);
    site.check((1, 10), &[Message::Beat { instance: 1, beat: 4 }], &[]);
    site.check((1, 11), &[applied(1, 8)], &[Did::Raise(5), Did::L2(second)]);
    // Nothing new; one of another epoch; the next.
    site.check((1, 12), &[applied(1, 8)], &[Did::Raise(5)]);
    site.check((1, 13), &[applied(0, 9)], &[Did::Raise(5)]);
    site.check((1, 14), &[applied(1, 13)], &[Did::Raise(5), Did::L2(third)]);
    // A beat that was heard already, replayed.
    site.check((1, 15), &[beat(3)], &[]);
}

#[tokio::test(start_paused = true)]
async fn whatever_breaks_the_numbers_flushes_and_takes_two_beats_to_know_again() {
    let breaks: [(&str, (u64, u64)); 4] =
        [("a hole", (1, 5)), ("back", (1, 2)), ("again", (1, 3)), ("another epoch", (2, 4))];
    for (what, next) in breaks {
        let mut site = Site::new();
        site.send(1..=5);
        site.check((1, 1), &[beat(1)], &[Did::Lost, Did::Flush]);
        site.check((1, 2), &[beat(2)], &[Did::Flush, Did::L1(site.at(2))]);
        site.check((1, 3), &[], &[]);
        site.check(next, &[change(1, 1)], &[Did::Lost, Did::Flush, Did::Fence(1, 1)]);
        let (epoch, seq) = next;
        site.check((epoch, seq + 1), &[beat(3)], &[]);
        site.check((epoch, seq + 2), &[applied(epoch, seq + 1)], &[Did::Raise(5)]);
        let fourth = site.at(4);
        site.check((epoch, seq + 3), &[beat(4)], &[Did::Flush, Did::L1(fourth)]);
        assert_eq!(site.follower.gauge().stats().gaps, 2, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_reader_tells_is_one_and_so_are_bytes_that_cannot_be_read() {
    let mut site = Site::new();
    site.send(1..=9);
    site.check((1, 1), &[beat(1)], &[Did::Lost, Did::Flush]);
    site.check((1, 2), &[beat(2)], &[Did::Flush, Did::L1(site.at(2))]);
    site.follower.take(&Delivery::Gap { missed: 1 });
    assert_eq!(std::mem::take(&mut site.follower.apply.0), [Did::Lost, Did::Flush]);
    site.check((1, 4), &[beat(3)], &[Did::Lost, Did::Flush]);
    site.check((1, 5), &[beat(4)], &[Did::Flush, Did::L1(site.at(4))]);
    site.check_payload((1, 6), b"\x01\xff".to_vec(), &[Did::Lost, Did::Flush]);
    site.check((1, 7), &[beat(5), beat(6)], &[Did::Flush, Did::L1(site.at(6))]);
    let stats = site.follower.gauge().stats();
    assert_eq!((stats.malformed, stats.records), (1, 6));
}

#[tokio::test(start_paused = true)]
async fn bumps_and_changes_are_applied_in_order() {
    let mut site = Site::new();
    let bump = Message::Bump { bump: EpochBump { scope: Scope::All, reason: Reason::Ddl }, epoch: 9 };
    let expect = [Did::Lost, Did::Flush, Did::Fence(1, 1), Did::Bump(9), Did::Fence(1, 2)];
    site.check((1, 1), &[change(1, 1), bump, change(1, 2)], &expect);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_is_the_end_of_what_is_known() {
    let log = Log::new(Options::default());
    let follower = Follower::new(log.subscribe(), Tell::default(), ME, Beats::default());
    log.close();
    assert_eq!(follower.run().await.0, [Did::Lost, Did::Flush]);
}
