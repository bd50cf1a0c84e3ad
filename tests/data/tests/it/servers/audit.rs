//! The auditor and a lie in a real Redis Cluster.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_cache::audit::{Audit, Auditor};
use aqueduct_cache::l2::{Options, Plain, Store, Tier, TierError, TierOptions};
use aqueduct_cache::{Cache, Loaded, Task};
use aqueduct_kit::Scratch;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;

type Rows = Cache<u64, Vec<u8>, TierError<String>>;

#[expect(clippy::disallowed_methods, reason = "a test owns its runtime")]
fn spawn(task: Task) {
    drop(tokio::spawn(task));
}

fn row(version: u64, text: &str) -> Loaded<Vec<u8>> {
    Loaded::new(version, Some(text.as_bytes().to_vec()))
}

async fn read(cache: &Rows, tier: &Tier<Vec<u8>>, key: u64, store: Loaded<Vec<u8>>) -> Option<Vec<u8>> {
    let load = |ask| {
        let tier = tier.clone();
        async move { tier.load(&key.to_string(), 0, ask, move |_| std::future::ready(Ok(store.clone()))).await }
    };
    cache.get_with(&key, load).await.unwrap().value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_no_log_tells_is_found_in_both_levels_and_taken_out() {
    let scratch = Scratch::new("audit");
    let cluster = RedisCluster::start(&scratch).unwrap();
    let nodes: Vec<_> = cluster.addresses().iter().map(|address| format!("redis://{address}")).collect();
    let patient = Options { timeout: within(10), lease: Duration::from_secs(30), ..Options::default() };
    let store = Store::connect(&nodes, patient).await.unwrap();
    let tier = Tier::new(store, "orders", Plain, TierOptions::default()).unwrap();
    let cache = Rows::builder().build(Arc::new(spawn)).unwrap();
    let auditor = Auditor::new(10, 0);

    // The second was changed behind everybody's back, and kept its version; the third got another.
    let stored = [row(1, "a"), row(1, "B"), row(2, "C")];
    for (key, text) in [(0, "a"), (1, "b"), (2, "c")] {
        auditor.note(&key);
        assert_eq!(read(&cache, &tier, key, row(1, text)).await, Some(text.as_bytes().to_vec()));
    }
    let grace = Duration::from_millis(10);
    let primary =
        |key: u64| std::future::ready(Ok::<_, String>(stored[usize::try_from(key).unwrap()].clone()));
    let audit = auditor.round(&cache, &tier, grace, &primary).await;
    assert_eq!(audit, Audit { compared: 3, differing: 4, repaired: 4, unreadable: 0 });

    for key in 0..3 {
        let now = stored[usize::try_from(key).unwrap()].clone();
        assert_eq!(read(&cache, &tier, key, now.clone()).await, now.value, "{key}");
        auditor.note(&key);
    }
    let audit = auditor.round(&cache, &tier, grace, &primary).await;
    assert_eq!(audit, Audit { compared: 3, ..Audit::default() });
}
