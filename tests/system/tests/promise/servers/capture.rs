//! The capture is killed, or stands still.

use aqueduct_kit::faults;
use std::time::Duration;

use super::run::Run;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_when_the_capture_is_killed() {
    let mut run = Run::start("promise-capture-kill").await;
    for _ in 0..faults() {
        run.work().await;
        run.blocking("kill -9 of the capture", |site| {
            site.cdc.kill().unwrap();
            site.start_cdc();
        });
        run.work_for(Duration::from_millis(600)).await;
        // What it read meanwhile it could not publish: no checkpoint may stand behind that. What it had sent dies with the bus.
        run.blocking("the bus stands still", |site| site.nats.pause().unwrap());
        run.work_for(Duration::from_millis(600)).await;
        // No later change makes up for one that is lost.
        run.rest().await;
        run.blocking("kill -9 of the capture and of the bus", |site| {
            site.cdc.kill().unwrap();
            site.nats.kill9().unwrap();
            site.nats.restart().unwrap();
            site.start_cdc();
        });
        let seen = run.check().await;
        assert!(seen.missed >= 6, "two new epochs for each of three: {seen:?}");
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_when_the_capture_stands_still() {
    let mut run = Run::start("promise-capture-stop").await;
    for _ in 0..faults() {
        run.work().await;
        run.blocking("SIGSTOP of the capture", |site| site.cdc.pause().unwrap());
        run.work_for(Duration::from_millis(2500)).await;
        run.blocking("SIGCONT", |site| site.cdc.resume().unwrap());
        run.work().await;
        let seen = run.check().await;
        assert!(seen.marked > 10, "nothing was stale: {seen:?}");
    }
    run.end().await;
}
