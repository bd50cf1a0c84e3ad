//! What each does when its clock steps back by an hour, tried where a clock can be given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aqueduct_ids::{Clock, DEFAULT_EPOCH_MS, IdError, Lease, LeaseOptions, Route};
use aqueduct_kit::Scratch;
use ferroid::generator::{AtomicSnowflakeGenerator, Poll};
use ferroid::id::SnowflakeTwitterId;
use ferroid::time::TimeSource;
use uuid::{ContextV7, Timestamp, Uuid};

const HOUR_MS: u64 = 3_600_000;
const START: u64 = DEFAULT_EPOCH_MS + 10 * HOUR_MS;

pub(super) fn ours() -> String {
    let scratch = Scratch::new("bench-clock");
    let unix_ms = Arc::new(AtomicU64::new(START));
    let read = Arc::clone(&unix_ms);
    let clock = Clock::from_fn(move || read.load(Ordering::SeqCst));
    let Ok(lease) = Lease::open(scratch.path(), LeaseOptions { clock, ..LeaseOptions::default() }) else {
        return "the lease could not be opened".to_owned();
    };
    let ids = lease.generator();
    let mint = || ids.next_id(Route::of_hash(1)).ok();
    let before = mint();
    unix_ms.fetch_sub(900, Ordering::SeqCst);
    let followed = mint().zip(before).is_some_and(|(after, before)| after > before);
    unix_ms.store(START - HOUR_MS, Ordering::SeqCst);
    match ids.next_id(Route::of_hash(1)) {
        Err(IdError::ClockBehind { by }) if followed => {
            format!("refuses, and says for how long ({} min); up to a second it goes on", by.as_secs() / 60)
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn uuid7() -> String {
    let context = ContextV7::new();
    let at = |unix_ms: u64| Uuid::new_v7(Timestamp::from_unix(&context, unix_ms / 1000, 0));
    let (before, after) = (at(START), at(START - HOUR_MS));
    if after > before {
        "goes on at the time before".to_owned()
    } else {
        "goes back with it; 74 random bits keep IDs apart".to_owned()
    }
}

struct Given<'a>(&'a AtomicU64);

impl TimeSource<u64> for Given<'_> {
    fn current_millis(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(super) fn ferroid() -> String {
    let ms = AtomicU64::new(10 * HOUR_MS);
    let generator = AtomicSnowflakeGenerator::<SnowflakeTwitterId, _>::new(1, Given(&ms));
    let _first = generator.poll_id();
    ms.fetch_sub(HOUR_MS, Ordering::SeqCst);
    match generator.poll_id() {
        Poll::Pending { yield_for } => {
            format!(
                "waits ({} min); its own clock is the monotonic one, so only a restart sees the step, and nothing remembers",
                yield_for / 60_000
            )
        }
        Poll::Ready { .. } => "goes back with it".to_owned(),
    }
}
