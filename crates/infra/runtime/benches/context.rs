//! ns per operation of what each request pays here: `cargo bench -p aqueduct-runtime --bench context`.

use aqueduct_runtime::{clock, context::Context, drain};
use std::hint::black_box;
use tokio::time::Instant;

#[expect(clippy::print_stdout, reason = "the output of a benchmark")]
fn measure<T>(name: &str, mut operation: impl FnMut() -> T) {
    const ROUNDS: u32 = 5_000_000;
    let best = (0..5)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..ROUNDS {
                black_box(operation());
            }
            begin.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<24} {best:>7.1} ns");
}

fn main() {
    let root = Context::new_root(true);
    let header = root.traceparent();
    measure("traceparent parse", || Context::parse_traceparent(black_box(&header)));
    measure("traceparent format", || black_box(&root).traceparent());
    measure("new root", || Context::new_root(black_box(false)));
    measure("child", || black_box(&root).child());
    let (_handle, drain) = drain::channel();
    measure("drain guard", || drain.guard());
    measure("drain is_started", || drain.is_started());
    measure("wall clock", clock::now_unix_ms);
    measure("rfc3339", || clock::rfc3339(black_box(1_740_817_800_125)));
}
