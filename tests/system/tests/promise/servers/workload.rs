//! Who reads and writes: few rows and many of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use aqueduct_runtime::task;
use aqueduct_sim::history::{Key, Table};
use aqueduct_sim::random::Random;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::instance::{Instance, Shared};
use super::rows::KEYS;

const WRITERS: u64 = 3;
const READERS: u64 = 6;

/// Changes after which a writer rests for longer than Δ, so that what is stale and believed to be current can be seen.
const BURST: u64 = 12;

pub(crate) struct Workload {
    busy: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Workload {
    pub(crate) fn start(shared: &Shared, instances: &[Arc<Instance>], seed: u64) -> Self {
        let busy = Arc::new(AtomicBool::new(true));
        let random = |kind: &str, number| Random::new(seed, &format!("{kind} {number}"));
        let writers = (0..WRITERS).map(|number| {
            let work = write(shared.clone(), instances.to_vec(), Arc::clone(&busy), random("writer", number));
            task::spawn("writer", work)
        });
        let readers = (0..READERS).map(|number| {
            let work = read(shared.clone(), instances.to_vec(), Arc::clone(&busy), random("reader", number));
            task::spawn("reader", work)
        });
        let tasks = writers.chain(readers).collect();
        Self { busy, tasks }
    }

    pub(crate) async fn end(self) {
        self.busy.store(false, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

fn key(random: &Random) -> Key {
    // The first rows are hot.
    let id = random.range(1..KEYS + 1).min(random.range(1..KEYS + 1));
    Key { table: if random.percent(70) { Table::Orders } else { Table::Items }, id }
}

async fn write(shared: Shared, instances: Vec<Arc<Instance>>, busy: Arc<AtomicBool>, random: Random) {
    let mut conn = shared.rows.connect().await;
    for number in 1.. {
        sleep(random.millis(1..50)).await;
        if number % BURST == 0 {
            for _ in 0..random.range(22..30) {
                if busy.load(Relaxed) {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
        if !busy.load(Relaxed) {
            return;
        }
        if let Some(token) = shared.rows.change(&mut conn, key(&random), &random).await
            && random.percent(60)
        {
            let own = random.pick(&instances);
            own.fence(token.key, token.floor);
            own.read(token.key, Some(token.at)).await;
        }
    }
}

async fn read(shared: Shared, instances: Vec<Arc<Instance>>, busy: Arc<AtomicBool>, random: Random) {
    while busy.load(Relaxed) {
        sleep(random.millis(0..25)).await;
        let instance = random.pick(&instances);
        match shared.rows.token(&random).filter(|_| random.percent(15)) {
            Some(token) => {
                instance.fence(token.key, token.floor);
                instance.read(token.key, Some(token.at)).await;
            }
            None => drop(instance.read(key(&random), None).await),
        }
    }
}

/// Long enough for what is unmarked and stale to be noticed.
pub(crate) const AWHILE: Duration = Duration::from_millis(1600);
