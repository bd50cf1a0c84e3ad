//! Loads through the cache in memory, a real Redis Cluster and a primary of one row.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use aqueduct_cache::l2::{Options, Plain, Store, Tier, TierError, TierOptions};
use aqueduct_cache::{AsOf, Ask, Cache, Loaded};
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;
use aqueduct_kit::{Scratch, until};
use futures_util::future::join_all;

use super::{key, nodes, on, patient};

type Row = Vec<u8>;
type Rows = Cache<u64, Row, TierError<String>>;

const ANY: Ask = Ask { least: 0, since: None };

#[expect(clippy::disallowed_methods, reason = "a test owns its runtime")]
fn spawn(task: aqueduct_cache::Task) {
    drop(tokio::spawn(task));
}

/// A row at version 1, and how often it was read.
#[derive(Clone, Default)]
struct Primary(Arc<AtomicUsize>);

impl Primary {
    async fn read(self) -> Result<Loaded<Row>, String> {
        self.0.fetch_add(1, SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(Loaded::new(1, Some(b"row".to_vec())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_on_four_instances_make_one_load() {
    let scratch = Scratch::new("tier");
    let cluster = RedisCluster::start(&scratch).unwrap();
    let primary = Primary::default();
    let mut instances = Vec::new();
    for _ in 0..4 {
        let store = Store::connect(&nodes(&cluster), patient()).await.unwrap();
        let options = TierOptions { wait: within(30), ..TierOptions::default() };
        let tier = Tier::new(store, "orders", Plain, options).unwrap();
        let cache = Rows::builder().load_timeout(within(30)).build(Arc::new(spawn)).unwrap();
        instances.push((cache, tier));
    }
    let callers = (0..10_000).map(|caller| {
        let (cache, tier) = &instances[caller % 4];
        let (primary, tier) = (primary.clone(), tier.clone());
        let load = |ask| async move { tier.load("7", 0, ask, |_| primary.clone().read()).await };
        cache.get_with(&7, load)
    });
    let answers = join_all(callers).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().version == 1));
    assert_eq!(primary.0.load(SeqCst), 1);
    let leases: u64 = instances.iter().map(|(_, tier)| tier.stats().leases).sum();
    assert_eq!(leases, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_is_passed_by_and_told_as_slow() {
    let scratch = Scratch::new("tier");
    let mut cluster = RedisCluster::start(&scratch).unwrap();
    let store = Store::connect(&nodes(&cluster), Options::default()).await.unwrap();
    let options = TierOptions { pause: Duration::from_millis(1), ..TierOptions::default() };
    let tier = Tier::<Row>::new(store.clone(), "orders", Plain, options).unwrap();
    let primary = Primary::default();
    let load = async || tier.load("7", 0, ANY, |_| primary.clone().read()).await.unwrap();
    let node = on(&cluster, &key("7"));
    cluster.nodes[node].pause().unwrap();
    assert_eq!(load().await.as_of, AsOf::Load);
    assert_eq!((tier.stats().down, tier.stats().fills), (1, 0));
    let slow = store.slow();
    let lease = slow.iter().find(|slow| slow.command == "lease").unwrap();
    assert!(!lease.ok && lease.took >= Options::default().timeout, "{lease:?}");
    assert!(store.stats().failed >= 1 && store.stats().slow >= 1);
    cluster.nodes[node].resume().unwrap();
    // By this master or the one that took its place meanwhile.
    let (handle, limit) = (tokio::runtime::Handle::current(), within(60));
    let back = tokio::task::block_in_place(|| {
        until(limit, || (handle.block_on(load()).as_of != AsOf::Load).then_some(()))
    });
    back.unwrap();
}
