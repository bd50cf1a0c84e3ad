//! Masters of the second level change: one is killed with writes in flight, and slots move to another.

use std::time::Duration;

use aqueduct_kit::faults;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;

use super::rows;
use super::run::Run;

/// The slot of a row that is read and written more than others.
const HOT: &str = "shop.orders:1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_when_a_master_of_the_second_level_is_killed() {
    let mut run = Run::start("promise-redis-kill").await;
    for _ in 0..faults() {
        run.work().await;
        run.masters_change("kill -9 of a master with writes in flight", |site| {
            let master = hot_master(&site.redis);
            fail_over(&mut site.redis, master, None);
        })
        .await;
        run.work().await;
        // The replica that will take its place now lacks what is written from here on: floors above all.
        let (master, replica) = run.blocking("a replica is cut off", |site| {
            let master = hot_master(&site.redis);
            let replica = site.redis.replicas_of(master).unwrap()[0];
            site.redis.nodes[replica].pause().unwrap();
            site.redis.cli(master, &["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
            (master, replica)
        });
        // Shorter than what makes the others believe that it is gone. No later floor makes up for one that is lost.
        run.work_for(Duration::from_millis(700)).await;
        run.rest().await;
        run.masters_change("kill -9 of its master", |site| {
            fail_over(&mut site.redis, master, Some(replica));
        })
        .await;
        // Who has seen the changes knows better than the second level.
        run.renew_instance().await;
        run.check().await;
    }
    run.end().await;
}

fn hot_master(redis: &RedisCluster) -> usize {
    redis.master_of(redis.slot_of(HOT).unwrap()).unwrap()
}

/// The master is killed, another takes its place, and it comes back as a replica.
fn fail_over(redis: &mut RedisCluster, master: usize, paused: Option<usize>) {
    let slot = redis.slot_of(HOT).unwrap();
    redis.nodes[master].kill9().unwrap();
    if let Some(replica) = paused {
        redis.nodes[replica].resume().unwrap();
    }
    redis.wait_failover(slot, master, within(60)).unwrap();
    redis.nodes[master].restart().unwrap();
    redis.wait_whole(within(60)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_when_slots_move() {
    let mut run = Run::start("promise-redis-slots").await;
    for _ in 0..faults() {
        run.work().await;
        run.masters_change("slots move", |site| {
            for key in rows::keys() {
                let slot = site.redis.slot_of(&format!("{}:{}", rows::name(key.table), key.id)).unwrap();
                move_slot(&site.redis, slot);
            }
            site.redis.wait_whole(within(60)).unwrap();
        })
        .await;
        run.work().await;
        run.check().await;
    }
    run.end().await;
}

/// Moves a slot to another master as `redis-cli --cluster reshard` does, key by key.
fn move_slot(redis: &RedisCluster, slot: u16) {
    let from = redis.master_of(slot).unwrap();
    let masters =
        redis.seen_by(from).unwrap().into_iter().filter(|seen| seen.is_master && !seen.slots.is_empty());
    let ports: Vec<u16> = masters.map(|seen| seen.port).collect();
    let to = (0..redis.nodes.len())
        .find(|node| *node != from && ports.contains(&redis.nodes[*node].port()))
        .unwrap();
    let (slot, port) = (slot.to_string(), redis.nodes[to].port().to_string());
    let [source, target] = [from, to].map(|node| redis.cli(node, &["CLUSTER", "MYID"]).unwrap());
    redis.cli(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).unwrap();
    redis.cli(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).unwrap();
    loop {
        let keys = redis.cli(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "10"]).unwrap();
        if keys.is_empty() {
            break;
        }
        // One at a time: a row and its lease are apart for a while.
        for key in keys.lines() {
            redis.cli(from, &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).unwrap();
        }
    }
    for node in [to, from] {
        redis.cli(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &target]).unwrap();
    }
}
