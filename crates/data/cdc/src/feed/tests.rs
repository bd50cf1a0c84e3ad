//! The feed against a log and a second level in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use aqueduct_bus::{Delivery, Log, Options};
use proptest::prelude::*;
use tokio::time::{Duration, timeout};

use super::*;
use crate::change::{EpochBump, Key, KeyPart, Reason, Scope};
use crate::gtid::Position;

fn table(name: &str) -> Arc<TableName> {
    Arc::new(TableName { database: "shop".to_owned(), table: name.to_owned() })
}

fn row(table: &Arc<TableName>, key: u64, version: u64) -> Change {
    let version = Version::Exact(version);
    Change { table: table.clone(), key: vec![KeyPart::Uint(key)], version, tombstone: false }
}

fn commit(changes: Vec<Change>) -> Transaction {
    Transaction { gtid: None, bumps: Vec::new(), changes, resume: Position::default() }
}

fn bump(scope: Scope) -> Transaction {
    let bumps = vec![EpochBump { scope, reason: Reason::Ddl }];
    Transaction { gtid: None, bumps, changes: Vec::new(), resume: Position::default() }
}

/// Version and whether it is a tombstone, of each key.
type Rows = BTreeMap<(String, String), (u64, bool)>;

/// Fails while it is told to.
#[derive(Clone, Default)]
struct Memory {
    rows: Arc<Mutex<Rows>>,
    down: Arc<AtomicBool>,
}

impl Memory {
    fn put(&self, table: &TableName, key: &Key, entry: (u64, bool)) -> Result<(), &'static str> {
        if self.down.load(SeqCst) {
            return Err("down");
        }
        self.rows.lock().unwrap().insert((table.table.clone(), key_text(key)), entry);
        Ok(())
    }

    fn get(&self, table: &str, key: &str) -> Option<(u64, bool)> {
        self.rows.lock().unwrap().get(&(table.to_owned(), key.to_owned())).copied()
    }
}

/// The server that has them.
const MASTER: Master = [7; 20];

impl Floors for Memory {
    type Error = &'static str;

    async fn invalidate(&self, table: &TableName, key: &Key, version: u64) -> Result<(), &'static str> {
        self.put(table, key, (version, false))
    }

    async fn delete(&self, table: &TableName, key: &Key, version: u64) -> Result<(), &'static str> {
        self.put(table, key, (version, true))
    }

    async fn mark(&self, table: &TableName, key: &Key) -> Result<(), &'static str> {
        self.put(table, key, (0, false))
    }

    async fn masters(&self) -> Vec<Master> {
        vec![MASTER]
    }
}

struct Site {
    feed: Feed,
    memory: Memory,
    keep: KeepMemory,
    reader: aqueduct_bus::Reader,
    work: tokio::task::JoinHandle<Result<(), FeedError>>,
}

impl Site {
    async fn start(change: impl FnOnce(&mut FeedOptions)) -> Self {
        let mut options = FeedOptions {
            heartbeat: Some(TableName { database: "shop".to_owned(), table: "beats".to_owned() }),
            ..FeedOptions::default()
        };
        change(&mut options);
        Self::with(options, Memory::default(), KeepMemory::default(), 1000).await
    }

    async fn with(options: FeedOptions, memory: Memory, keep: KeepMemory, epoch: u64) -> Self {
        let log = Log::new(Options { epoch, ..Options::default() });
        let reader = log.subscribe();
        let (feed, work) = Feed::new(log, memory.clone(), keep.clone(), options).await.unwrap();
        let work = aqueduct_runtime::task::spawn("feed", work.run());
        Self { feed, memory, keep, reader, work }
    }

    async fn deliver(&mut self, transactions: impl IntoIterator<Item = Transaction>) {
        for transaction in transactions {
            self.feed.deliver(&transaction).await.unwrap();
        }
    }

    async fn beat(&mut self, instance: u64, beat: u64) {
        let beats = table("beats");
        self.deliver([commit(vec![row(&beats, instance, beat)])]).await;
    }

    /// The messages of the next record, and its number.
    async fn next(&mut self) -> (u64, Vec<Message>) {
        let delivery = timeout(Duration::from_hours(1), self.reader.recv()).await.expect("a record");
        let Some(Delivery::Record(record)) = delivery else { panic!("no record: {delivery:?}") };
        (record.seq, decode(&record.payload).unwrap())
    }

    /// Until a message is one for which `pick` answers.
    async fn find<T>(&mut self, pick: impl Fn(u64, &Message) -> Option<T>) -> T {
        loop {
            let (seq, messages) = self.next().await;
            if let Some(found) = messages.iter().find_map(|message| pick(seq, message)) {
                return found;
            }
        }
    }

    async fn applied(&mut self) -> (u64, Epochs) {
        self.find(|_, message| match message {
            Message::Applied { seq, epochs, masters, .. } => {
                assert_eq!(masters, &[MASTER]);
                Some((*seq, epochs.clone()))
            }
            _ => None,
        })
        .await
    }

    /// Until so many transactions have settled.
    async fn settled(&self, number: u64) {
        let settled = async {
            while self.feed.settled() < number {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_hours(1), settled).await.expect("settled");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_is_on_the_bus_and_then_in_the_second_level() {
    let mut site = Site::start(|_| {}).await;
    let orders = table("orders");
    let gone = Change { tombstone: true, ..row(&orders, 2, 5) };
    let bounded = Change { version: Version::Bounded, ..row(&table("notes"), 3, 0) };
    site.deliver([commit(vec![row(&orders, 1, 7), gone.clone(), bounded.clone()])]).await;
    let (seq, messages) = site.next().await;
    assert_eq!(seq, 1);
    assert_eq!(messages, [row(&orders, 1, 7), gone, bounded].map(Message::Change));
    site.settled(1).await;
    assert_eq!(site.memory.get("orders", "1"), Some((7, false)));
    assert_eq!(site.memory.get("orders", "2"), Some((5, true)));
    assert_eq!(site.memory.get("notes", "3"), Some((0, false)));
}

#[tokio::test(start_paused = true)]
async fn a_second_level_that_is_down_holds_the_checkpoint_and_nothing_else() {
    let mut site = Site::start(|_| {}).await;
    site.memory.down.store(true, SeqCst);
    let orders = table("orders");
    for version in 1..=20 {
        site.deliver([commit(vec![row(&orders, 1, version)])]).await;
        let (_, messages) = site.next().await;
        assert_eq!(messages, [Message::Change(row(&orders, 1, version))]);
    }
    site.beat(7, 1).await;
    assert_eq!(site.next().await.1, [Message::Beat { instance: 7, beat: 1 }]);
    assert_eq!(site.feed.settled(), 0);
    assert!(site.feed.gauge().stats().failing);
    site.memory.down.store(false, SeqCst);
    let (seq, _) = site.applied().await;
    assert_eq!(seq, 21);
    site.settled(21).await;
    assert_eq!(site.memory.get("orders", "1"), Some((20, false)));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_queue_the_tables_epochs_are_raised_when_what_was_let_go_is_visible() {
    let mut site = Site::start(|options| options.queue = 50).await;
    let before = site.keep.load().unwrap().unwrap();
    assert_eq!(before.epochs, Epochs::new(1000));
    site.memory.down.store(true, SeqCst);
    let (orders, notes) = (table("orders"), table("notes"));
    for key in 0..200 {
        site.deliver([commit(vec![row(&orders, key, 1)])]).await;
        site.next().await;
    }
    let stats = site.feed.gauge().stats();
    assert!(stats.let_go > 0 && stats.queue <= 52, "{stats:?}");
    let kept = site.keep.load().unwrap().unwrap();
    assert_eq!(kept.pending, [orders.clone()].into(), "a feed that comes next must know it");
    site.memory.down.store(false, SeqCst);
    site.settled(200).await;
    // A beat of each of two instances proves nothing; the second of one does.
    site.beat(1, 10).await;
    site.beat(2, 10).await;
    site.settled(202).await;
    site.beat(1, 11).await;
    let second = site.find(|seq, message| match message {
        Message::Applied { .. } => panic!("announced before what was let go is visible"),
        Message::Beat { instance: 1, beat: 11 } => Some(seq),
        _ => None,
    });
    let second = second.await;
    let (seq, epochs) = site.applied().await;
    assert!(seq <= second);
    assert_eq!((epochs.of(&orders), epochs.of(&notes)), (1001, 1000));
    let kept = site.keep.load().unwrap().unwrap();
    assert_eq!((kept.pending.len(), kept.epochs), (0, epochs));
}

#[tokio::test(start_paused = true)]
async fn epochs_grow_over_the_end_of_a_feed_and_are_kept_before_they_are_told() {
    let mut site = Site::start(|_| {}).await;
    let orders = table("orders");
    site.deliver([bump(Scope::Table(orders.clone())), bump(Scope::All), bump(Scope::Table(orders.clone()))])
        .await;
    let mut told = Vec::new();
    while told.len() < 3 {
        let (_, messages) = site.next().await;
        told.extend(messages.into_iter().filter_map(|message| match message {
            Message::Bump { epoch, .. } => Some(epoch),
            _ => None,
        }));
    }
    assert_eq!(told, [1001, 1002, 1003]);
    let kept = site.keep.load().unwrap().unwrap();
    assert_eq!((kept.epochs.all(), kept.epochs.of(&orders)), (1002, 1003));
    // The next feed's bus has an epoch of its own, here an earlier one.
    let mut next = Site::with(FeedOptions::default(), site.memory.clone(), site.keep.clone(), 5).await;
    next.deliver([bump(Scope::All)]).await;
    let epoch = next
        .find(|_, message| match message {
            Message::Bump { epoch, .. } => Some(*epoch),
            _ => None,
        })
        .await;
    assert_eq!(epoch, 1004);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_all_is_done_and_says_when_the_bus_does() {
    let mut site = Site::start(|_| {}).await;
    site.deliver([commit(vec![row(&table("orders"), 1, 1)])]).await;
    drop(site.feed);
    site.work.await.unwrap().unwrap();
    assert_eq!(site.memory.get("orders", "1"), Some((1, false)));

    let log = Log::new(Options::default());
    log.close();
    let (mut feed, work) =
        Feed::new(log, NoLevel2, KeepMemory::default(), FeedOptions::default()).await.unwrap();
    feed.deliver(&commit(vec![row(&table("orders"), 1, 1)])).await.unwrap();
    assert!(matches!(work.run().await, Err(FeedError::Bus(_))));
    assert!(matches!(feed.deliver(&commit(Vec::new())).await, Err(FeedError::Ended)));
}

#[tokio::test(start_paused = true)]
async fn many_small_transactions_share_records() {
    let mut site = Site::start(|options| options.record_bytes = 200).await;
    let orders = table("orders");
    let all = (0..1000).map(|key| row(&orders, key, 1));
    site.deliver(all.clone().map(|change| commit(vec![change]))).await;
    let mut seen = Vec::new();
    let mut records = 0;
    while seen.len() < 1000 {
        let (_, messages) = site.next().await;
        records += 1;
        seen.extend(messages);
    }
    assert_eq!(seen, all.map(Message::Change).collect::<Vec<_>>());
    assert!(records < 500, "{records}");
    site.settled(1000).await;
}

fn any_name() -> impl Strategy<Value = Arc<TableName>> {
    ("[a-z]{0,3}", "\\PC{0,20}").prop_map(|(database, table)| Arc::new(TableName { database, table }))
}

fn any_part() -> impl Strategy<Value = KeyPart> {
    prop_oneof![
        any::<i64>().prop_map(KeyPart::Int),
        any::<u64>().prop_map(KeyPart::Uint),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(KeyPart::Bytes),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    let version = prop_oneof![any::<u64>().prop_map(Version::Exact), Just(Version::Bounded)];
    let key = prop::collection::vec(any_part(), 0..4);
    let change = (any_name(), key, version, any::<bool>()).prop_map(|(table, key, version, tombstone)| {
        Message::Change(Change { table, key, version, tombstone })
    });
    let scope = prop_oneof![Just(Scope::All), any_name().prop_map(Scope::Table)];
    let reason = prop_oneof![
        Just(Reason::Ddl),
        Just(Reason::NoCheckpoint),
        any::<u8>().prop_map(Reason::UnknownRows),
        "\\PC{0,40}".prop_map(Reason::PositionLost),
    ];
    let bump = (scope, reason, any::<u64>())
        .prop_map(|(scope, reason, epoch)| Message::Bump { bump: EpochBump { scope, reason }, epoch });
    let beat = any::<[u64; 2]>().prop_map(|[instance, beat]| Message::Beat { instance, beat });
    let tables = prop::collection::vec((any_name(), any::<u64>()), 0..4);
    let masters = prop::collection::vec(any::<Master>(), 0..4);
    let applied = (any::<[u64; 3]>(), tables, masters).prop_map(|([epoch, seq, all], tables, masters)| {
        let mut epochs = Epochs::new(all);
        for (table, epoch) in &tables {
            epochs.raise_table(table, *epoch);
        }
        Message::Applied { epoch, seq, epochs, masters }
    });
    prop_oneof![change, bump, beat, applied]
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(messages in prop::collection::vec(any_message(), 0..6)) {
        prop_assert_eq!(decode(&encode(&messages)), Ok(messages));
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_or_another_message(
        messages in prop::collection::vec(any_message(), 1..3), at: prop::sample::Index, bit in 0..8,
    ) {
        let mut bytes = encode(&messages);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok(other) = decode(&bytes) {
            prop_assert_eq!(encode(&other), bytes.clone());
        }
        bytes.truncate(at);
        if let Ok(fewer) = decode(&bytes) {
            prop_assert!(fewer.len() <= messages.len());
        }
    }
}

#[test]
fn long_words_of_a_server_are_cut() {
    let reason = Reason::PositionLost("ä".repeat(2000));
    let message = Message::Bump { bump: EpochBump { scope: Scope::All, reason }, epoch: 1 };
    let [Message::Bump { bump, .. }] = &decode(&encode([&message])).unwrap()[..] else { panic!("no bump") };
    assert_eq!(bump.reason, Reason::PositionLost("ä".repeat(256)));
}

#[test]
fn keys_have_one_text_each() {
    let check = |key: Vec<KeyPart>, expect: &str| assert_eq!(key_text(&key), expect);
    let bytes = |bytes: &[u8]| KeyPart::Bytes(bytes.to_vec());
    check(vec![KeyPart::Int(-3)], "-3");
    check(vec![KeyPart::Uint(u64::MAX), bytes(b"ab")], "18446744073709551615,ab");
    check(vec![bytes(b"a,b"), bytes(b"%2C\0\xff")], "a%2Cb,%252C%00%FF");
    check(Vec::new(), "");
}
