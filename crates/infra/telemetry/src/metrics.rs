//! Metrics in the Prometheus model. Hot paths hold handles and add to memory of their own; the rest is read only at
//! a scrape, from snapshots that other crates offer.
//!
//! Names are given without the prefix `aqueduct_` and without `_total`, in base units: `request_duration_seconds`,
//! `cache_bytes`, `cache_hits`.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod cell;
mod collect;
mod family;
mod process;
pub(crate) use process::number_after;
mod text_format;

pub use cell::{Buckets, Counter, Gauge, Histogram};
pub use collect::{HistogramSnapshot, Number, Snapshot};
pub use family::{Counters, Gauges, Histograms, Total};

/// Everything that a scrape shows. Families and collectors may be added at any time.
#[derive(Debug)]
pub struct Registry {
    families: Arc<Families>,
    /// `/proc` figures have names fixed by convention, without our prefix.
    prefixed: prometheus_client::registry::Registry,
    process: Mutex<Option<prometheus_client::registry::Registry>>,
}

#[derive(Default)]
struct Families {
    counters: Mutex<BTreeMap<&'static str, Counters>>,
    gauges: Mutex<BTreeMap<&'static str, Gauges>>,
    histograms: Mutex<BTreeMap<&'static str, Histograms>>,
    collectors: Mutex<Vec<Collect>>,
}

type Collect = Arc<dyn Fn(&mut Snapshot<'_, '_>) + Send + Sync>;

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        let families = Arc::<Families>::default();
        let mut prefixed = prometheus_client::registry::Registry::with_prefix("aqueduct");
        prefixed.register_collector(Box::new(Arc::clone(&families)));
        Self { families, prefixed, process: Mutex::default() }
    }

    /// The counters of this name: the same ones whenever it is asked for again. `help` says what is counted.
    pub fn counters(&self, name: &'static str, help: &'static str) -> Counters {
        lock(&self.families.counters).entry(name).or_insert_with(|| Counters::new(help, ())).clone()
    }

    /// The gauges of this name, likewise.
    pub fn gauges(&self, name: &'static str, help: &'static str) -> Gauges {
        lock(&self.families.gauges).entry(name).or_insert_with(|| Gauges::new(help, ())).clone()
    }

    /// The histograms of this name, likewise; `buckets` counts the first time.
    pub fn histograms(
        &self,
        name: &'static str,
        help: &'static str,
        buckets: &'static Buckets,
    ) -> Histograms {
        lock(&self.families.histograms).entry(name).or_insert_with(|| Histograms::new(help, buckets)).clone()
    }

    /// Adds a collector, which is called at each scrape. It must be quick and must not use this registry.
    ///
    /// ```
    /// # let registry = aqueduct_telemetry::metrics::Registry::new();
    /// # struct Stats { hits: u64, bytes: u64 }
    /// # let stats = || Stats { hits: 3, bytes: 4096 };
    /// registry.collect(move |snapshot| {
    ///     let Stats { hits, bytes } = stats();
    ///     snapshot.counter("cache_hits", "Reads answered from memory", hits);
    ///     snapshot.gauge("cache_bytes", "Memory held by entries", bytes);
    /// });
    /// # let page = registry.encode(Default::default());
    /// # assert!(page.contains("# TYPE aqueduct_cache_hits_total counter\naqueduct_cache_hits_total 3\n"), "{page}");
    /// ```
    pub fn collect(&self, collector: impl Fn(&mut Snapshot<'_, '_>) + Send + Sync + 'static) {
        lock(&self.families.collectors).push(Arc::new(collector));
    }

    /// The page a scrape gets.
    pub fn encode(&self, format: Format) -> String {
        let mut page = String::with_capacity(16 * 1024);
        for registry in [Some(&self.prefixed), lock(&self.process).as_ref()].into_iter().flatten() {
            let written = text::encode_registry(&mut page, registry);
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        match format {
            Format::Text => text_format::from_open_metrics(&page),
            Format::OpenMetrics => page + "# EOF\n",
        }
    }
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Families").finish_non_exhaustive()
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, counters) in &*lock(&self.counters) {
            counters.encode(name, &mut encoder)?;
        }
        for (name, gauges) in &*lock(&self.gauges) {
            gauges.encode(name, &mut encoder)?;
        }
        for (name, histograms) in &*lock(&self.histograms) {
            histograms.encode(name, &mut encoder)?;
        }
        // Called without the lock: a slow collector delays the scrape, not those who register.
        let collectors = lock(&self.collectors).clone();
        let mut snapshot = Snapshot::new(&mut encoder);
        for collector in collectors {
            collector(&mut snapshot);
        }
        snapshot.finish()
    }
}

/// How a scrape's page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The Prometheus text format 0.0.4, as `promtool check metrics` reads it.
    #[default]
    Text,
    /// `OpenMetrics` 1.0, which Prometheus asks for.
    OpenMetrics,
}

impl Format {
    /// The format for a request with this `accept` header: `OpenMetrics` for those who name it.
    pub fn negotiate(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Text,
        }
    }

    /// The `content-type` of the page.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Nothing here leaves data half written when it panics, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
