//! The cache's second level on a real Redis Cluster.

use std::time::Duration;

use aqueduct_cache::l2::{
    Cluster, Entry, Error, Filled, Found, HEADER, Key, Leased, Mutation, Options, Refused, State, Store,
    Stored, Token,
};
use aqueduct_kit::Scratch;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;

const TTL: Duration = Duration::from_mins(1);

/// The servers answer late when all tests run at once: a time limit is no part of what is tested here.
fn patient() -> Options {
    Options { timeout: within(10), lease: Duration::from_secs(30), ..Options::default() }
}

fn nodes(cluster: &RedisCluster) -> Vec<String> {
    cluster.addresses().iter().map(|address| format!("redis://{address}")).collect()
}

async fn broken(cluster: &RedisCluster, mutation: Option<Mutation>) -> Store {
    match mutation {
        Some(mutation) => {
            let backend = Cluster::connect(&nodes(cluster), &patient()).await.unwrap();
            Store::broken(backend, patient(), mutation).unwrap()
        }
        None => Store::connect(&nodes(cluster), patient()).await.unwrap(),
    }
}

fn key(pk: &str) -> Key {
    Key::new("orders", pk).unwrap()
}

fn row(version: u64) -> Entry {
    let data = Some(version.to_string().into_bytes());
    Entry { version, data, fresh: Duration::from_secs(30), age: Duration::ZERO }
}

async fn token(store: &Store, key: &Key) -> Token {
    match store.lease(key).await.unwrap() {
        Leased::Load { token, .. } => token,
        other => panic!("no lease of {key:?}: {other:?}"),
    }
}

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

fn on(cluster: &RedisCluster, key: &Key) -> usize {
    cluster.master_of(cluster.slot_of(key.name()).unwrap()).unwrap()
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
    let forged = Token::clone(&token(store, &self::key("another")).await);
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
    assert_eq!(store.get(&key).await.unwrap(), Found::Negative(8));
    store.delete(&key, 3).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Found::Negative(8));
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
    // Garbage; a number that only Rust finds too large; data behind a floor.
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
