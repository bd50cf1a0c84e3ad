//! Promises that instances break on purpose: the check must notice each, and say which it is.

use std::time::Duration;

use aqueduct_cache::Mutation;
use aqueduct_sim::checker::Rule;

use super::run::Run;

/// More than is ever needed.
const TRIES: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_ignores_fences_is_noticed() {
    let mut run = Run::broken("promise-broken-fence", Some(Mutation::FenceKeepsEntry)).await;
    for _ in 0..TRIES {
        run.work().await;
        let seen = run.seen().await;
        if seen.broke(Rule::ReadYourWrites) && seen.broke(Rule::Current) {
            return run.end().await;
        }
    }
    panic!("nobody noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_believes_to_be_current_is_noticed() {
    let mut run = Run::broken("promise-broken-watermark", Some(Mutation::NoWatermark)).await;
    for _ in 0..TRIES {
        run.work().await;
        run.blocking("SIGSTOP of the capture", |site| site.cdc.pause().unwrap());
        run.work_for(Duration::from_millis(2500)).await;
        run.blocking("SIGCONT", |site| site.cdc.resume().unwrap());
        let seen = run.seen().await;
        if seen.broke(Rule::Current) {
            return run.end().await;
        }
    }
    panic!("nobody noticed");
}
