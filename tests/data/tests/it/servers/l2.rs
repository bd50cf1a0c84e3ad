//! The cache's second level on a real Redis Cluster.

use std::process::Command;
use std::time::Duration;

use aqueduct_cache::l2::{
    Backend, Call, Cluster, Entry, Error, Filled, Found, HEADER, Key, Leased, Mutation, Options, Refused,
    Script, State, Store, Stored, Value,
};
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;
use aqueduct_kit::{Port, Process, Scratch};

use super::{TTL, broken, key, nodes, on, patient, row, token};

async fn fill(store: &Store, key: &Key, version: u64) -> Filled {
    let token = token(store, key).await;
    store.fill(key, &token, &row(version), TTL).await.unwrap()
}

/// The version of a live entry.
async fn live(store: &Store, key: &Key) -> Option<u64> {
    match store.get(key).await.unwrap() {
        Found::Live(entry) => {
            assert_eq!(entry.data, row(entry.version).data);
            Some(entry.version)
        }
        _ => None,
    }
}

/// The first promise on one master that a store breaks, if any.
async fn broken_promise(store: &Store, name: &str) -> Option<&'static str> {
    let late = key(&format!("{name}-late"));
    let held = token(store, &late).await;
    store.invalidate(&late, 5).await.unwrap();
    if store.fill(&late, &held, &row(4), TTL).await.unwrap() == Filled::Stored {
        return Some("a fill passed a floor");
    }
    if store.get(&late).await.unwrap() != Found::Floor(5) {
        return Some("the floor is gone");
    }
    assert_eq!(store.fill(&late, &held, &row(5), TTL).await.unwrap(), Filled::Stored);
    let large = key(&format!("{name}-large"));
    let held = token(store, &large).await;
    store.invalidate(&large, (1 << 53) + 1).await.unwrap();
    let filled = store.fill(&large, &held, &row(1 << 53), TTL).await.unwrap();
    if filled != Filled::Refused(Refused::Behind { least: (1 << 53) + 1 }) {
        return Some("a version above 2^53 went down");
    }
    let twice = key(&format!("{name}-twice"));
    let held = token(store, &twice).await;
    assert_eq!(store.fill(&twice, &held, &row(1), TTL).await.unwrap(), Filled::Stored);
    if store.fill(&twice, &held, &row(2), TTL).await.unwrap() != Filled::Refused(Refused::NoLease) {
        return Some("a lease served two fills");
    }
    let marked = key(&format!("{name}-marked"));
    let held = token(store, &marked).await;
    store.mark(&marked).await.unwrap();
    if store.fill_bounded(&marked, &held, &row(0), TTL).await.unwrap() == Filled::Stored {
        return Some("a fill passed a change without a version");
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_broken_script_is_noticed() {
    let scratch = Scratch::new("l2");
    let cluster = RedisCluster::start(&scratch).unwrap();
    let check = async |mutation: Option<Mutation>, expect| {
        let store = broken(&cluster, mutation).await;
        assert_eq!(broken_promise(&store, &format!("{mutation:?}")).await, expect, "{mutation:?}");
    };
    check(None, None).await;
    check(Some(Mutation::BareDelete), Some("a fill passed a floor")).await;
    check(Some(Mutation::ToNumber), Some("a version above 2^53 went down")).await;
    check(Some(Mutation::NoLease), Some("a lease served two fills")).await;
    check(Some(Mutation::MarkKeepsLease), Some("a fill passed a change without a version")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_makes_the_old_masters_entries_and_leases_worthless() {
    let scratch = Scratch::new("l2");
    let mut cluster = RedisCluster::start(&scratch).unwrap();
    let store = broken(&cluster, None).await;
    let unstamped = broken(&cluster, Some(Mutation::NoStamp)).await;
    let (row_key, leased) = (key("{7}"), key("%"));
    let slot = cluster.slot_of(row_key.name()).unwrap();
    let old = cluster.master_of(slot).unwrap();
    // A key of the same master, which only the broken script uses.
    let mut others = (0..).map(|number| key(&format!("other-{number}")));
    let other = others.find(|other| on(&cluster, other) == old).unwrap();
    let leased = if on(&cluster, &leased) == old {
        leased
    } else {
        others.find(|key| on(&cluster, key) == old).unwrap()
    };
    assert_eq!(fill(&store, &row_key, 9).await, Filled::Stored);
    assert_eq!(fill(&unstamped, &other, 9).await, Filled::Stored);
    let held = token(&store, &leased).await;
    cluster.wait_replicated(old, within(30)).unwrap();

    cluster.nodes[old].kill9().unwrap();
    cluster.wait_failover(slot, old, within(30)).unwrap();
    cluster.wait_whole(within(30)).unwrap();

    // Without a stamp the new master would serve what its predecessor may have invalidated.
    assert_eq!(live(&unstamped, &other).await, Some(9));
    assert_eq!(store.get(&row_key).await.unwrap(), Found::Miss);
    assert_eq!(store.stats().stamped, 1);
    let filled = store.fill(&leased, &held, &row(1), TTL).await.unwrap();
    assert_eq!(filled, Filled::Refused(Refused::NoLease));
    // The version does not go down even so.
    let Leased::Load { token, least, stale } = store.lease(&row_key).await.unwrap() else {
        panic!("no lease")
    };
    assert_eq!((least, stale), (9, None));
    let filled = store.fill(&row_key, &token, &row(8), TTL).await.unwrap();
    assert_eq!(filled, Filled::Refused(Refused::Behind { least: 9 }));
    assert_eq!(store.fill(&row_key, &token, &row(9), TTL).await.unwrap(), Filled::Stored);
    assert_eq!(live(&store, &row_key).await, Some(9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_keeps_what_the_store_promises() {
    let scratch = Scratch::new("l2");
    let cluster = RedisCluster::start(&scratch).unwrap();
    let store = broken(&cluster, None).await;
    one_of_many_gets_the_lease(&store).await;
    versions_never_go_down(&store).await;
    many_keys_are_read_at_once(&store).await;
    poison_is_removed(&store, &cluster).await;
    an_earlier_epoch_is_a_miss(&store).await;
    a_change_without_a_version_ends_the_lease(&store).await;
    what_cannot_be_decoded_leaves_its_floor(&store).await;
    a_lease_whose_answer_was_lost_is_granted_again(&cluster).await;
    a_lease_that_is_given_back_is_free(&store).await;
    let large = Entry { data: Some(vec![0; (1 << 20) + 1]), ..row(1) };
    let held = token(&store, &key("large")).await;
    let error = store.fill(&key("large"), &held, &large, TTL).await.unwrap_err().to_string();
    assert!(error.contains("1048577") && error.contains("max_value"), "{error}");
}

async fn one_of_many_gets_the_lease(store: &Store) {
    let key = key("race");
    let (a, b, c) = tokio::join!(store.lease(&key), store.lease(&key), store.lease(&key));
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    let loads = all.iter().filter(|leased| matches!(leased, Leased::Load { .. })).count();
    let waits = all.iter().filter(|leased| matches!(leased, Leased::Wait { stale: None, .. })).count();
    assert_eq!((loads, waits), (1, 2), "{all:?}");
    let forged = token(store, &self::key("another")).await;
    let filled = store.fill(&key, &forged, &row(1), TTL).await.unwrap();
    assert_eq!(filled, Filled::Refused(Refused::NoLease));
}

async fn versions_never_go_down(store: &Store) {
    let key = key("up");
    assert_eq!(fill(store, &key, 5).await, Filled::Stored);
    store.invalidate(&key, 5).await.unwrap();
    assert_eq!(live(store, &key).await, Some(5), "it has seen the change");
    assert!(matches!(store.lease(&key).await.unwrap(), Leased::Entry(entry) if entry.version == 5));
    store.invalidate(&key, 7).await.unwrap();
    store.invalidate(&key, 6).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Found::Floor(7));
    store.delete(&key, 7).await.unwrap();
    assert!(matches!(store.get(&key).await.unwrap(), Found::Negative(entry) if entry.version == 8));
    store.delete(&key, 3).await.unwrap();
    assert!(matches!(store.get(&key).await.unwrap(), Found::Negative(entry) if entry.version == 8));
    // Created again: the negative entry dies.
    store.invalidate(&key, 9).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Found::Floor(9));
    let held = token(store, &key).await;
    let absent = Entry { data: None, ..row(9) };
    assert_eq!(store.fill(&key, &held, &absent, TTL).await.unwrap(), Filled::Stored);
    store.invalidate(&key, 9).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Found::Floor(9));
}

async fn many_keys_are_read_at_once(store: &Store) {
    let keys: Vec<Key> = (0..100).map(|number| key(&format!("many-{number}"))).collect();
    for (key, version) in keys.iter().zip(1..).step_by(3) {
        assert_eq!(fill(store, key, version).await, Filled::Stored);
    }
    // The same key twice is two keys of one slot: a pipeline.
    let asked: Vec<Key> = keys.iter().chain(&keys).cloned().collect();
    let found = store.get_many(&asked).await;
    assert_eq!(found.len(), 200);
    for (index, found) in found.into_iter().enumerate() {
        let version = u64::try_from(index % 100).unwrap() + 1;
        match found.unwrap() {
            Found::Live(entry) => assert_eq!((entry.version, entry.data), (version, row(version).data)),
            other => assert_eq!((other, (version - 1) % 3 != 0), (Found::Miss, true)),
        }
    }
}

async fn poison_is_removed(store: &Store, cluster: &RedisCluster) {
    let stamp = "0123456789abcdef0123456789abcdef01234567";
    let floor = Stored { state: State::Floor, version: 1, soft: 0, loaded: 0, epoch: 0, stamp, data: b"" };
    let floor = String::from_utf8(floor.encode()).unwrap();
    assert_eq!(floor.len(), HEADER);
    // Garbage; a number above 2^64; data behind a floor, which only Rust finds amiss.
    let huge = floor.replacen("00000000000000000001", "99999999999999999999", 1);
    for (poison, count) in ["garbage", &huge, &format!("{floor}data")].into_iter().zip(1..) {
        let key = key("poison");
        let held = token(store, &key).await;
        cluster.cli(0, &["-c", "SET", key.name(), poison]).unwrap();
        assert_eq!(store.get(&key).await.unwrap(), Found::Miss);
        assert_eq!(store.stats().poisoned, count);
        assert_eq!(cluster.cli(0, &["-c", "EXISTS", key.name()]).unwrap(), "0");
        // It may have been a floor.
        let filled = store.fill(&key, &held, &row(1), TTL).await.unwrap();
        assert_eq!(filled, Filled::Refused(Refused::NoLease));
    }
    let list = key("list");
    cluster.cli(0, &["-c", "RPUSH", list.name(), "1"]).unwrap();
    assert_eq!(store.get(&list).await.unwrap(), Found::Miss);
    assert_eq!(fill(store, &list, 1).await, Filled::Stored);
}

async fn an_earlier_epoch_is_a_miss(store: &Store) {
    let old = key("epoch");
    let new = key("epoch").epoch(1);
    assert_eq!(fill(store, &old, 1).await, Filled::Stored);
    assert_eq!(store.get(&new).await.unwrap(), Found::Miss);
    assert_eq!(fill(store, &new, 1).await, Filled::Stored);
    assert_eq!(live(store, &old).await, Some(1), "a reader that is behind may see what is newer");
    store.invalidate(&new, 2).await.unwrap();
    assert_eq!(fill(store, &old, 2).await, Filled::Refused(Refused::OldEpoch));
}

async fn a_change_without_a_version_ends_the_lease(store: &Store) {
    let key = key("bounded");
    let held = token(store, &key).await;
    store.mark(&key).await.unwrap();
    let filled = store.fill_bounded(&key, &held, &row(0), TTL).await.unwrap();
    assert_eq!(filled, Filled::Refused(Refused::NoLease), "it may have read before the change");
    let Found::Floor(first) = store.get(&key).await.unwrap() else { panic!("no floor") };
    let held = token(store, &key).await;
    assert_eq!(store.fill_bounded(&key, &held, &row(0), TTL).await.unwrap(), Filled::Stored);
    let Found::Live(entry) = store.get(&key).await.unwrap() else { panic!("no entry") };
    assert!(entry.version > first, "the version goes up");
    store.mark(&key).await.unwrap();
    let Found::Floor(second) = store.get(&key).await.unwrap() else { panic!("the entry outlived a change") };
    assert!(second > entry.version);
    // Never below what is known, whatever the clock says.
    store.invalidate(&key, u64::MAX - 1).await.unwrap();
    store.mark(&key).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Found::Floor(u64::MAX - 1));
}

async fn what_cannot_be_decoded_leaves_its_floor(store: &Store) {
    let key = key("undecodable");
    assert_eq!(fill(store, &key, 5).await, Filled::Stored);
    store.discard(&key, 4).await.unwrap();
    assert_eq!(live(store, &key).await, Some(5), "another entry than the one that was read");
    store.discard(&key, 5).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Found::Floor(5));
    assert!(matches!(store.lease(&key).await.unwrap(), Leased::Load { least: 5, .. }));
}

/// Asks everything twice, as a client does that lost the first answer.
#[derive(Clone)]
struct Twice(Cluster);

impl Backend for Twice {
    async fn run(&self, script: &Script, calls: &[Call]) -> Result<Vec<Value>, Error> {
        self.0.run(script, calls).await?;
        self.0.run(script, calls).await
    }
}

async fn a_lease_whose_answer_was_lost_is_granted_again(cluster: &RedisCluster) {
    let backend = Twice(Cluster::connect(&nodes(cluster), &patient()).await.unwrap());
    let store = Store::over(backend, patient()).unwrap();
    let key = key("twice-asked");
    assert!(matches!(store.lease(&key).await.unwrap(), Leased::Load { .. }));
    assert!(matches!(store.lease(&key).await.unwrap(), Leased::Wait { .. }), "another one is not");
}

async fn a_lease_that_is_given_back_is_free(store: &Store) {
    let key = key("given-back");
    let held = token(store, &key).await;
    let another = token(store, &self::key("kept")).await;
    store.release(&key, &another).await.unwrap();
    assert!(matches!(store.lease(&key).await.unwrap(), Leased::Wait { .. }));
    store.release(&key, &held).await.unwrap();
    token(store, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_takes_its_versions_along() {
    let scratch = Scratch::new("l2");
    let cluster = RedisCluster::start(&scratch).unwrap();
    let store = broken(&cluster, None).await;
    let moved = key("moved");
    assert_eq!(fill(&store, &moved, 9).await, Filled::Stored);
    let slot = cluster.slot_of(moved.name()).unwrap();
    let from = cluster.master_of(slot).unwrap();
    let to = (0..cluster.nodes.len()).find(|to| *to != from && !replica(&cluster, *to)).unwrap();
    let [source, target] = [from, to].map(|node| cluster.cli(node, &["CLUSTER", "MYID"]).unwrap());
    let slot = slot.to_string();
    cluster.cli(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).unwrap();
    cluster.cli(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).unwrap();
    // Half way: the entry is here, its lease would be there. An error tells so, and nothing is lost.
    store.get(&moved).await.unwrap();
    let half = store.invalidate(&moved, 10).await;
    let port = cluster.nodes[to].port().to_string();
    cluster.cli(from, &["MIGRATE", "127.0.0.1", &port, moved.name(), "0", "5000"]).unwrap();
    for node in [to, from] {
        cluster.cli(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &target]).unwrap();
    }
    cluster.wait_whole(within(30)).unwrap();
    let known = if half.is_ok() { 10 } else { 9 };
    // Another master's stamp: nothing of it is answered, and its version is known.
    let found = store.get(&moved).await.unwrap();
    assert!(matches!(found, Found::Miss | Found::Floor(10)), "{found:?}");
    let Leased::Load { token, least, stale } = store.lease(&moved).await.unwrap() else { panic!("no lease") };
    assert_eq!((least, stale), (known, None));
    let filled = store.fill(&moved, &token, &row(known - 1), TTL).await.unwrap();
    assert_eq!(filled, Filled::Refused(Refused::Behind { least: known }));
    assert_eq!(store.fill(&moved, &token, &row(10), TTL).await.unwrap(), Filled::Stored);
    assert_eq!(live(&store, &moved).await, Some(10));
}

fn replica(cluster: &RedisCluster, node: usize) -> bool {
    cluster.cli(node, &["ROLE"]).unwrap().starts_with("slave")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_no_cluster_is_refused_with_what_to_do() {
    let scratch = Scratch::new("l2");
    let port = Port::free();
    let number = port.number().to_string();
    let mut command = Command::new("redis-server");
    command.current_dir(scratch.path()).args(["--port", &number, "--bind", "127.0.0.1", "--save", ""]);
    let mut server = Process::start("redis-server", &mut command).unwrap();
    server.wait_port(port.address(), within(30)).unwrap();
    let address = format!("redis://{}", port.address());
    let error = Store::connect(&[address], patient()).await.unwrap_err();
    assert!(error.kind() == "no_cluster" && error.to_string().contains("cluster-enabled yes"), "{error}");
    server.kill().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_serves_not_all_slots_is_refused() {
    let scratch = Scratch::new("l2");
    let cluster = RedisCluster::start(&scratch).unwrap();
    for node in 0..cluster.nodes.len() {
        cluster.cli(node, &["CLUSTER", "DELSLOTS", "0"]).unwrap();
    }
    let error = Store::connect(&nodes(&cluster), patient()).await.unwrap_err();
    assert_eq!(error.kind(), "uncovered", "{error}");
    let options = Options { floor: Duration::from_secs(1), ..Options::default() };
    assert!(matches!(Store::connect(&[], options).await, Err(Error::Options(_))));
    let nobody =
        Store::connect(&["redis://user:secret@127.0.0.1:1".to_owned()], patient()).await.unwrap_err();
    assert!(nobody.kind() == "connect" && !nobody.to_string().contains("secret"), "{nobody}");
}
