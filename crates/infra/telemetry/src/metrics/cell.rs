//! The handles that hot paths hold. Each handle is a share of its series that usually one thread writes, so that an
//! increment never waits for another core; a scrape sums the shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Something that a family can hold shares of.
pub(super) trait Cell: Sized {
    /// What a share needs to know at its creation.
    type Shape: Copy;
    /// What a share holds.
    type Value: Clone;
    fn new(shape: Self::Shape) -> Self;
    fn zero(shape: Self::Shape) -> Self::Value;
    /// Adds what the share holds.
    fn add_to(&self, sum: &mut Self::Value);
    /// Adds what a share held whose handles are all gone.
    fn retire(&self, sum: &mut Self::Value) {
        self.add_to(sum);
    }
}

/// Counts events. Clones are the same share.
#[derive(Debug, Clone)]
pub struct Counter(pub(super) Arc<CounterCell>);

/// Aligned so that shares of different threads never meet in a cache line (128: lines are fetched in pairs).
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct CounterCell(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.0.fetch_add(count, Relaxed);
    }
}

impl Cell for CounterCell {
    type Shape = ();
    type Value = u64;

    fn new((): ()) -> Self {
        Self(AtomicU64::new(0))
    }

    fn zero((): ()) -> u64 {
        0
    }

    fn add_to(&self, sum: &mut u64) {
        *sum += self.0.load(Relaxed);
    }
}

/// A value that goes up and down. The series is the sum of its shares. Clones are the same share.
#[derive(Debug, Clone)]
pub struct Gauge(pub(super) Arc<GaugeCell>);

/// See [`CounterCell`].
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct GaugeCell(AtomicI64);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1);
    }

    /// Adds `delta`.
    pub fn add(&self, delta: i64) {
        self.0.0.fetch_add(delta, Relaxed);
    }

    /// Sets this share, not the series.
    pub fn set(&self, value: i64) {
        self.0.0.store(value, Relaxed);
    }
}

impl Cell for GaugeCell {
    type Shape = ();
    type Value = i64;

    fn new((): ()) -> Self {
        Self(AtomicI64::new(0))
    }

    fn zero((): ()) -> i64 {
        0
    }

    fn add_to(&self, sum: &mut i64) {
        *sum += self.0.load(Relaxed);
    }

    /// A gauge tells what is now; nobody is left who could take the value back.
    fn retire(&self, _sum: &mut i64) {}
}

/// The upper bounds of a histogram's buckets (inclusive, ascending, +Inf implied) in the unit that is observed, and
/// how many of these make the base unit that is shown.
#[derive(Debug)]
pub struct Buckets {
    /// At most 31 bounds.
    pub bounds: &'static [u64],
    /// The observed units in one base unit: 1 when they are the same.
    pub per_base_unit: u32,
}

impl Buckets {
    /// Durations, observed in nanoseconds and shown in seconds: 50 µs to 10 s.
    pub const SECONDS: Self = Self {
        bounds: &[
            50_000,
            100_000,
            250_000,
            500_000,
            1_000_000,
            2_500_000,
            5_000_000,
            10_000_000,
            25_000_000,
            50_000_000,
            100_000_000,
            250_000_000,
            500_000_000,
            1_000_000_000,
            2_500_000_000,
            5_000_000_000,
            10_000_000_000,
        ],
        per_base_unit: 1_000_000_000,
    };

    /// Sizes in bytes: 64 B to 16 MiB, by factors of four.
    pub const BYTES: Self = Self {
        bounds: &[64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216],
        per_base_unit: 1,
    };
}

/// Counts observations by size. Clones are the same share.
#[derive(Debug, Clone)]
pub struct Histogram(pub(super) Arc<HistogramCell>);

/// See [`CounterCell`]. No count: it is the sum of the buckets.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct HistogramCell {
    bounds: &'static [u64],
    sum: AtomicU64,
    /// One more than bounds are used.
    buckets: [AtomicU64; 32],
}

/// What a histogram counted, in the unit observed.
#[derive(Debug, Clone)]
pub(super) struct HistogramSum {
    pub(super) sum: u64,
    pub(super) buckets: Vec<u64>,
}

impl Histogram {
    /// Counts one value, in the unit of its [`Buckets`].
    pub fn observe(&self, value: u64) {
        let cell = &*self.0;
        // Comparing with every bound beats a search: no branch depends on the value.
        let bucket: usize = cell.bounds.iter().map(|bound| usize::from(*bound < value)).sum();
        cell.buckets[bucket % 32].fetch_add(1, Relaxed);
        cell.sum.fetch_add(value, Relaxed);
    }

    /// Counts one duration; for buckets that are bounded in nanoseconds.
    pub fn observe_duration(&self, value: Duration) {
        self.observe(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl Cell for HistogramCell {
    type Shape = &'static Buckets;
    type Value = HistogramSum;

    fn new(shape: &'static Buckets) -> Self {
        debug_assert!(shape.bounds.len() < 32 && shape.bounds.is_sorted());
        Self { bounds: shape.bounds, sum: AtomicU64::new(0), buckets: [const { AtomicU64::new(0) }; 32] }
    }

    fn zero(shape: &'static Buckets) -> HistogramSum {
        HistogramSum { sum: 0, buckets: vec![0; shape.bounds.len() + 1] }
    }

    fn add_to(&self, sum: &mut HistogramSum) {
        sum.sum = sum.sum.wrapping_add(self.sum.load(Relaxed));
        for (sum, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Relaxed);
        }
    }
}
