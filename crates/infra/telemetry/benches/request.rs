//! What telemetry costs a request that is not sampled, in ns and allocations; the goal is 200 ns and none:
//! `cargo bench -p aqueduct-telemetry --bench request`. It fails when a request allocates.

use aqueduct_runtime::{context::Context, drain};
use aqueduct_telemetry::access::{AccessLog, AccessOptions, Entry, Target};
use aqueduct_telemetry::metrics::{Buckets, Registry};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts")]
// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: u32 = 1_000_000;

/// Returns the allocations of the last run.
#[expect(clippy::print_stdout, reason = "the output of a benchmark")]
fn measure<T>(name: &str, mut operation: impl FnMut(u32) -> T) -> u64 {
    let mut best = f64::INFINITY;
    let mut allocations = 0;
    for _ in 0..5 {
        let before = ALLOCATIONS.load(Relaxed);
        let begin = Instant::now();
        for round in 0..ROUNDS {
            black_box(operation(round));
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
        allocations = ALLOCATIONS.load(Relaxed) - before;
    }
    println!("{name:<44} {best:>7.1} ns {allocations:>9} allocations in {ROUNDS}");
    allocations
}

fn entry(context: Context) -> Entry<'static> {
    Entry {
        route: Some("/v1/orders/{id}"),
        grpc_status: Some(0),
        duration: Duration::from_micros(180),
        response_bytes: 493,
        client: Some(([127, 0, 0, 1], 45678).into()),
        upstream: Some("orders"),
        ..Entry::new("GET", "/v1/orders/123456789012345678", 200, context)
    }
}

fn open(sample: f64) -> std::io::Result<AccessLog> {
    let options =
        AccessOptions { sample, target: Target::File("/dev/null".into()), ..AccessOptions::default() };
    // The writer goes on until the process ends.
    AccessLog::open(&options).map(|(log, _)| log)
}

fn main() -> std::io::Result<()> {
    let registry = Registry::new();
    let requests =
        registry.counters("requests", "Requests").with(&[("route", "/v1/orders/{id}"), ("code", "200")]);
    let in_flight = registry.gauges("requests_in_flight", "Requests in flight").with(&[]);
    let durations = registry.histograms("request_duration_seconds", "Time to answer", &Buckets::SECONDS);
    let duration = durations.with(&[("route", "/v1/orders/{id}")]);
    let stages = ["normalize", "route", "deadline", "pick", "transcode", "forward"];
    let stages = stages.map(|stage| durations.with(&[("stage", stage)]));
    let [none, some, all] = [open(0.0)?, open(0.01)?, open(1.0)?];
    let (_handle, drain) = drain::channel();
    let header = Context::new_root(false).traceparent();
    let context = Context::new_root(false);

    measure("counter", |_| requests.inc());
    measure("histogram, 50 µs to 10 s", |round| duration.observe(u64::from(round)));
    measure("access log, every request", |_| all.record(&entry(Context::new_root(false))));
    measure("access log, 1 %", |_| some.record(&entry(Context::new_root(false))));
    measure("access log, not sampled", |_| none.record(&entry(context)));

    let allocations = measure("request: all but the stages, not sampled", |round| {
        let guard = drain.guard();
        let context = Context::parse_traceparent(black_box(&header)).unwrap_or(context).child();
        in_flight.inc();
        let out = black_box(context.traceparent());
        in_flight.dec();
        requests.inc();
        duration.observe(u64::from(round));
        none.record(&entry(context));
        drop(guard);
        out
    });
    let staged = measure("  and a histogram for each of six stages", |round| {
        for stage in &stages {
            stage.observe(u64::from(round));
        }
    });
    assert_eq!((allocations, staged), (0, 0), "a request must not allocate");
    Ok(())
}
