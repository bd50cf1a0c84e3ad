mod audit;
mod l2;
mod tier;

use std::time::Duration;

use aqueduct_cache::Stamp;
use aqueduct_cache::l2::{Cluster, Entry, Key, Leased, Mutation, Options, Store, Token};
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
    Entry { version, data, fresh: Duration::from_secs(30), age: Duration::ZERO, master: Stamp::default() }
}

async fn token(store: &Store, key: &Key) -> Token {
    match store.lease(key).await.unwrap() {
        Leased::Load { token, .. } => token,
        other => panic!("no lease of {key:?}: {other:?}"),
    }
}

fn on(cluster: &RedisCluster, key: &Key) -> usize {
    cluster.master_of(cluster.slot_of(key.name()).unwrap()).unwrap()
}
