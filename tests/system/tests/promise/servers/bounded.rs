//! A table without a version column: its loads are locking reads at the real primary.

use super::run::Run;
use aqueduct_kit::faults;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_versions_is_at_most_delta_old() {
    let mut run = Run::start("promise-bounded").await;
    for _ in 0..faults() {
        run.work().await;
        run.check().await;
    }
    run.end().await;
}
