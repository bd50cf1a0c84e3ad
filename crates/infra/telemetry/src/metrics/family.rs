//! A family: the series of one name, by their labels. Asking for a label set hands out a new share of its series; a
//! share whose handles are gone is added to the series and freed at the next scrape, so reloads do not pile them up. The series itself stays,
//! but for those of what comes and goes.

use super::cell::{
    Buckets, Cell, Counter, CounterCell, Gauge, GaugeCell, Histogram, HistogramCell, HistogramSum,
};
use super::lock;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) type Labels = Vec<(&'static str, String)>;

/// Counters by label set.
#[derive(Debug, Clone)]
pub struct Counters(Arc<Family<CounterCell>>);

/// Gauges by label set.
#[derive(Debug, Clone)]
pub struct Gauges(Arc<Family<GaugeCell>>);

/// Histograms by label set.
#[derive(Debug, Clone)]
pub struct Histograms(Arc<Family<HistogramCell>>);

/// What all histograms of a family counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// The number of observations.
    pub count: u64,
    /// Their sum; meaningful for durations only.
    pub sum: Duration,
}

struct Family<C: Cell> {
    help: &'static str,
    shape: C::Shape,
    series: Mutex<BTreeMap<Labels, Series<C>>>,
}

struct Series<C: Cell> {
    retired: C::Value,
    shares: Vec<Arc<C>>,
    /// It ends with its last share.
    passing: bool,
}

impl<C: Cell> fmt::Debug for Family<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("help", &self.help).finish_non_exhaustive()
    }
}

impl<C: Cell> Family<C> {
    fn new(help: &'static str, shape: C::Shape) -> Self {
        Self { help, shape, series: Mutex::default() }
    }

    fn share(&self, labels: &[(&'static str, &str)], passing: bool) -> Arc<C> {
        let share = Arc::new(C::new(self.shape));
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut series = lock(&self.series);
        let series = series
            .entry(labels)
            .or_insert_with(|| Series { retired: C::zero(self.shape), shares: Vec::with_capacity(1), passing });
        series.shares.push(Arc::clone(&share));
        share
    }

    fn sums(&self) -> Vec<(Labels, C::Value)> {
        let mut all = lock(&self.series);
        let sums = all.iter_mut().map(|(labels, series)| (labels.clone(), series.sum())).collect();
        // What has ended has been told to its end.
        all.retain(|_, series| !series.passing || !series.shares.is_empty());
        sums
    }

    fn encode(
        &self,
        (name, kind): (&str, MetricType),
        encoder: &mut DescriptorEncoder<'_>,
        mut value: impl FnMut(&mut MetricEncoder<'_>, C::Value) -> fmt::Result,
    ) -> fmt::Result {
        let sums = self.sums();
        if sums.is_empty() {
            return Ok(());
        }
        let mut encoder = encoder.encode_descriptor(name, self.help, None, kind)?;
        for (labels, sum) in sums {
            if labels.is_empty() {
                value(&mut encoder, sum)?;
            } else {
                value(&mut encoder.encode_family(&labels)?, sum)?;
            }
        }
        Ok(())
    }
}

impl<C: Cell> Series<C> {
    fn sum(&mut self) -> C::Value {
        self.shares.retain_mut(|share| {
            // Sole ownership first, then the value: nobody can add to it any more.
            let gone = Arc::get_mut(share).is_some();
            if gone {
                share.retire(&mut self.retired);
            }
            !gone
        });
        let mut sum = self.retired.clone();
        for share in &self.shares {
            share.add_to(&mut sum);
        }
        sum
    }
}

impl Counters {
    pub(super) fn new(help: &'static str, shape: ()) -> Self {
        Self(Arc::new(Family::new(help, shape)))
    }

    /// A new share of the counter with these labels. Ask once a worker and keep it: this locks and allocates.
    pub fn with(&self, labels: &[(&'static str, &str)]) -> Counter {
        Counter(self.0.share(labels, false))
    }

    /// The same of something that comes and goes, as the endpoints of an upstream do: once all shares are gone, the series is shown for the
    /// last time.
    pub fn passing(&self, labels: &[(&'static str, &str)]) -> Counter {
        Counter(self.0.share(labels, true))
    }

    pub(super) fn encode(&self, name: &str, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.0.encode((name, MetricType::Counter), encoder, |encoder, sum| {
            encoder.encode_counter::<NoLabelSet, u64, f64>(&sum, None)
        })
    }
}

impl Gauges {
    pub(super) fn new(help: &'static str, shape: ()) -> Self {
        Self(Arc::new(Family::new(help, shape)))
    }

    /// A new share of the gauge with these labels; see [`Counters::with`].
    pub fn with(&self, labels: &[(&'static str, &str)]) -> Gauge {
        Gauge(self.0.share(labels, false))
    }

    /// The same of something that comes and goes; see [`Counters::passing`].
    pub fn passing(&self, labels: &[(&'static str, &str)]) -> Gauge {
        Gauge(self.0.share(labels, true))
    }

    pub(super) fn encode(&self, name: &str, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.0.encode((name, MetricType::Gauge), encoder, |encoder, sum| encoder.encode_gauge(&sum))
    }
}

impl Histograms {
    pub(super) fn new(help: &'static str, shape: &'static Buckets) -> Self {
        Self(Arc::new(Family::new(help, shape)))
    }

    /// A new share of the histogram with these labels; see [`Counters::with`].
    pub fn with(&self, labels: &[(&'static str, &str)]) -> Histogram {
        Histogram(self.0.share(labels, false))
    }

    /// What all label sets counted so far. For figures that need no label, such as the mean latency.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for (_, HistogramSum { sum, buckets }) in self.0.sums() {
            total.count += buckets.iter().sum::<u64>();
            total.sum += Duration::from_nanos(sum);
        }
        total
    }

    pub(super) fn encode(&self, name: &str, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Buckets { bounds, per_base_unit } = self.0.shape;
        self.0.encode((name, MetricType::Histogram), encoder, |encoder, HistogramSum { sum, buckets }| {
            let bounds = bounds.iter().map(|bound| base(*bound, *per_base_unit)).chain([f64::INFINITY]);
            let count = buckets.iter().sum();
            let buckets: Vec<_> = bounds.zip(buckets).collect();
            encoder.encode_histogram::<NoLabelSet>(base(sum, *per_base_unit), count, &buckets, None)
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric page shows 15 digits at most")]
fn base(value: u64, per_base_unit: u32) -> f64 {
    value as f64 / f64::from(per_base_unit)
}
