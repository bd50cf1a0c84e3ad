//! Which runtime a worker should have, in ns per spawned task that is woken once:
//! `cargo bench -p aqueduct-runtime --bench local`.

use std::future::poll_fn;
use std::task::Poll;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

const TASKS: u32 = 200_000;
const BATCH: usize = 64;

/// A task that is polled twice, as one that had to wait for an event.
async fn work() {
    let mut woken = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut woken, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn spawn_many(spawn: impl Fn() -> JoinHandle<()>) -> f64 {
    let begin = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    for _ in 0..TASKS / 64 {
        batch.extend(std::iter::repeat_with(&spawn).take(BATCH));
        for task in batch.drain(..) {
            assert!(task.await.is_ok());
        }
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(TASKS)
}

#[expect(clippy::print_stdout, reason = "the output of a benchmark")]
#[expect(clippy::disallowed_methods, reason = "tokio's own spawn is what is measured")]
fn main() -> std::io::Result<()> {
    let local_runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let current_thread = Builder::new_current_thread().enable_all().build()?;
    let set = LocalSet::new();
    for _ in 0..3 {
        let local = local_runtime.block_on(spawn_many(|| tokio::task::spawn_local(work())));
        let tracked =
            local_runtime.block_on(spawn_many(|| aqueduct_runtime::task::spawn_local("work", work())));
        let send = current_thread.block_on(spawn_many(|| tokio::spawn(work())));
        let in_set = set.block_on(&current_thread, spawn_many(|| tokio::task::spawn_local(work())));
        println!(
            "LocalRuntime {local:>6.0} ns  (tracked {tracked:.0})  Send {send:>6.0} ns  LocalSet {in_set:>6.0} ns"
        );
    }
    Ok(())
}
