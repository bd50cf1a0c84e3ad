//! Nanoseconds and allocations for a message of half a kilobyte, each way, next to prost-reflect (a message object in
//! between) and serde_json (which tokenises only). `cargo bench -p aqueduct-transcode`.
//!
//! Each figure is the best of several rounds in one process: machines are shared, and compare only within one run.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unsafe_code,
    reason = "a bench prints, fails loudly, reads the real clock and counts in the allocator"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aqueduct_transcode::{Lookup, Options, Request, Router, Schema, Target, Transcoder};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::de::IgnoredAny;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const JSON: &[u8] = br#"{"id":"7205759403792794","userId":"42","status":"PAID","version":"2","items":[{"sku":"AQ-1001-BLUE","quantity":2,"priceCents":"1999","weightKg":0.75},{"sku":"AQ-2002-RED","quantity":1,"priceCents":"24900"},{"sku":"AQ-3003","quantity":12,"priceCents":"349","tags":["gift","fragile"]}],"totalCents":"33086","note":"Please leave it at the door","createdAt":"2024-05-17T09:30:15.250Z","labels":{"channel":"web","campaign":"spring"},"address":{"street":"1 Via Appia","city":"Roma","zip":"00184","geo":{"lat":41.8902,"lon":12.4922}}}"#;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // prost's own types would lose the google.api.http options.
    let bytes = protox::Compiler::new([here.join("benches"), here.join("../../../proto")])
        .unwrap()
        .open_file("bench.proto")
        .unwrap()
        .include_imports(true)
        .encode_file_descriptor_set();
    let schema = Schema::decode(&bytes).unwrap();
    let pool = DescriptorPool::decode(&*bytes).unwrap();
    let descriptor = pool.get_message_by_name("bench.v1.Order").unwrap();
    let options = Options::default();
    let target =
        Target { schema: &schema, message: schema.message("bench.v1.Order").unwrap(), options: &options };

    let mut transcoder = Transcoder::new();
    let mut wire = Vec::new();
    transcoder.json_to_wire(target, JSON, &mut wire).unwrap();
    println!("message: {} bytes of JSON, {} on the wire\n", JSON.len(), wire.len());

    let mut out = Vec::with_capacity(1024);
    report("JSON -> wire", || {
        out.clear();
        transcoder.json_to_wire(target, black_box(JSON), &mut out).unwrap();
    });
    report("  prost-reflect", || {
        let mut deserializer = serde_json::Deserializer::from_slice(black_box(JSON));
        black_box(
            DynamicMessage::deserialize(descriptor.clone(), &mut deserializer).unwrap().encode_to_vec(),
        );
    });
    report("  serde_json, tokens only", || {
        black_box(serde_json::from_slice::<IgnoredAny>(black_box(JSON)).unwrap());
    });
    report("wire -> JSON", || {
        out.clear();
        transcoder.wire_to_json(target, black_box(&wire), &mut out).unwrap();
    });
    report("  prost-reflect", || {
        let message = DynamicMessage::decode(descriptor.clone(), black_box(&*wire)).unwrap();
        black_box(serde_json::to_vec(&message).unwrap());
    });

    let router = Router::builder(&schema).service("bench.v1.Orders", 0).build().unwrap();
    let path = "/v1/orders/7205759403792794:pay";
    report("find a route", || {
        black_box(router.find("POST", black_box(path)));
    });
    let path = "/v1/orders/7205759403792794";
    let Lookup::Found(found) = router.find("GET", path) else { unreachable!("it is bound") };
    report("bind a path and a query", || {
        out.clear();
        let request = Request { path, query: Some("userId=42&address.city=Roma+Nord"), body: b"" };
        transcoder.encode_request(&found, request, &mut out).unwrap();
    });
}

/// The best of 30 rounds of about 10 ms. An argument selects the lines that contain it.
fn report(name: &str, mut run: impl FnMut()) {
    if std::env::args().skip(1).any(|argument| !argument.starts_with('-') && !name.contains(&argument)) {
        return;
    }
    for _ in 0..2000 {
        run();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..1000 {
        run();
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    let mut best = Duration::MAX;
    let mut rounds = 1u32;
    for _ in 0..30 {
        let start = Instant::now();
        for _ in 0..rounds {
            run();
        }
        let took = start.elapsed();
        best = best.min(took / rounds);
        rounds = u32::try_from(10_000_000 / best.as_nanos().max(1)).map_or(1, |rounds| rounds.max(1));
    }
    println!("{name:28} {:>7} ns {:>5} allocations", best.as_nanos(), allocations / 1000);
}
