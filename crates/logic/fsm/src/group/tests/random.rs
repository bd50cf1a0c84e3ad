//! Random events of many callers through several committers on one database that fails at random.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::memory::{Memory, Mishap};
use super::{Event, GroupError, id, start};
use crate::machine::{Code as _, Machine as _};
use crate::testing::{Order, State};

const SEEDS: u64 = 200;
const KEYS: u64 = 6;
const COMMITTERS: u64 = 3;
const CALLERS: u64 = 64;
const CALLS: u64 = 6;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[tokio::test(start_paused = true)]
async fn histories_are_legal_and_have_each_acknowledged_event_once() {
    let (mut made, mut refused, mut unknown) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let memory = Memory::default();
        let all: Vec<_> = (0..COMMITTERS).map(|_| start(&memory)).collect();
        for key in 0..KEYS {
            all[0].create(key, ()).await.unwrap();
        }
        let mishaps: Vec<_> = (0..60).map(|_| mishap(&mut random)).collect();
        memory.next(&mishaps);
        let mut calls = JoinSet::new();
        for caller in 0..CALLERS {
            let (all, mut random) = (all.clone(), Random(seed << 8 | caller));
            calls.spawn(async move {
                let mut acknowledged = Vec::new();
                let (mut refused, mut unknown) = (0, 0);
                for call in 0..CALLS {
                    let key = random.below(KEYS);
                    let event = Event::ALL[usize::try_from(random.below(Event::ALL.len() as u64)).unwrap()];
                    let id = id(&format!("{caller}/{call}"));
                    // Until somebody knows: under the same id, through another committer each time.
                    loop {
                        let orders = &all[usize::try_from(random.below(COMMITTERS)).unwrap()];
                        match orders.transition(key, event, id).await {
                            Ok(done) => acknowledged.push((key, id.unwrap(), done.version)),
                            Err(
                                GroupError::Unknown(_) | GroupError::Aborted | GroupError::Unavailable(_),
                            ) => {
                                unknown += 1;
                                continue;
                            }
                            Err(GroupError::Illegal { .. }) => refused += 1,
                            Err(error) => panic!("{error}"),
                        }
                        break;
                    }
                }
                (acknowledged, refused, unknown)
            });
        }
        let mut acknowledged = BTreeMap::new();
        for (mut its, no, open) in calls.join_all().await {
            refused += no;
            unknown += open;
            for (key, id, version) in its.drain(..) {
                acknowledged.entry(key).or_insert_with(Vec::new).push((id, version));
            }
        }
        for key in 0..KEYS {
            let mut state = State::Created;
            for event in memory.history(key).into_iter().skip(1).flatten() {
                state = Order::next(state, event)
                    .unwrap_or_else(|| panic!("seed {seed}: {event:?} in {state:?}"));
            }
            let ids = memory.ids(key);
            let known = acknowledged.remove(&key).unwrap_or_default();
            made += known.len();
            for (id, version) in &known {
                let times = ids.iter().filter(|there| *there == id).count();
                assert_eq!(times, 1, "seed {seed}: {id:?} of {key} is there {times} times");
                assert!(*version <= ids.len() as u64 + 1, "seed {seed}");
            }
            assert_eq!(known.len(), ids.len(), "seed {seed}: who asks until he knows has all that is there");
        }
    }
    assert!(made > 1000 && refused > 1000 && unknown > 100, "{made} {refused} {unknown}");
}

fn mishap(random: &mut Random) -> Mishap {
    match random.below(8) {
        0 => Mishap::Conflict,
        1 => Mishap::Away,
        2 => Mishap::LostMade,
        3 => Mishap::LostUnmade,
        _ => Mishap::Nothing,
    }
}
