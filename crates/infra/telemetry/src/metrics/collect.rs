//! Figures that are read at a scrape only: the adapter between the snapshot structs of other crates and the page.

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::time::Duration;

/// Takes the figures of one scrape. Each name may be given once a scrape.
#[derive(Debug)]
pub struct Snapshot<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    /// The first error; what follows it is skipped.
    result: fmt::Result,
}

/// The value of a counter or a gauge; a duration counts in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Integer(u64),
    /// Any number.
    Float(f64),
}

/// The state of a histogram with fixed buckets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramSnapshot<'a> {
    /// The inclusive upper bounds in base units, ascending, without +Inf.
    pub bounds: &'a [f64],
    /// The observations in each bucket, not accumulated; the last one, beyond all bounds, is one more than `bounds`.
    pub counts: &'a [u64],
    /// The sum of all observations in base units.
    pub sum: f64,
}

impl<'a, 'e> Snapshot<'a, 'e> {
    pub(super) fn new(encoder: &'a mut DescriptorEncoder<'e>) -> Self {
        Self { encoder, result: Ok(()) }
    }

    pub(super) fn finish(self) -> fmt::Result {
        self.result
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Into<Number>) {
        self.counters(name, help, [([], value)]);
    }

    /// A counter's series, each with its labels (all label sets have the same names).
    pub fn counters<'l, const N: usize, V: Into<Number>>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
    ) {
        self.family((name, help, MetricType::Counter), series, |encoder, value| match value.into() {
            Number::Integer(value) => encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None),
            Number::Float(value) => encoder.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        });
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<Number>) {
        self.gauges(name, help, [([], value)]);
    }

    /// A gauge's series, each with its labels.
    pub fn gauges<'l, const N: usize, V: Into<Number>>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
    ) {
        self.family((name, help, MetricType::Gauge), series, |encoder, value| match value.into() {
            Number::Integer(value) => encoder.encode_gauge(&value),
            Number::Float(value) => encoder.encode_gauge(&value),
        });
    }

    /// A histogram without labels.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: HistogramSnapshot<'_>) {
        self.histograms(name, help, [([], histogram)]);
    }

    /// A histogram's series, each with its labels.
    pub fn histograms<'l, 'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'l str, &'l str); N], HistogramSnapshot<'h>)>,
    ) {
        self.family((name, help, MetricType::Histogram), series, |encoder, histogram| {
            let HistogramSnapshot { bounds, counts, sum } = histogram;
            debug_assert_eq!(bounds.len() + 1, counts.len(), "the last bucket has no bound");
            let bounds = bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
            encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
        });
    }

    fn family<'l, const N: usize, V>(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        series: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
        value: impl Fn(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) {
        if self.result.is_ok() {
            self.result = self.encoder.encode_descriptor(name, help, None, kind).and_then(|mut encoder| {
                series.into_iter().try_for_each(|(labels, series)| {
                    if N == 0 {
                        return value(&mut encoder, series);
                    }
                    value(&mut encoder.encode_family(&labels)?, series)
                })
            });
        }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Integer(value as u64)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<Duration> for Number {
    fn from(value: Duration) -> Self {
        Self::Float(value.as_secs_f64())
    }
}
