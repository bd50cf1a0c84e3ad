//! How busy the process is, for balancers that weigh: `/health?metrics=cpu,mem`. Sampled once a second in the
//! background.

use super::machine::{Cpu, Machine};
use super::{Health, Probe};
use crate::json;
use crate::metrics::Total;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

const PERIOD: Duration = Duration::from_secs(1);
/// The latency is the mean over this many periods.
const LATENCY_PERIODS: usize = 10;

type ReadTotal = Arc<dyn Fn() -> Total + Send + Sync>;

/// The last sample; each figure an `f64` in bits.
#[derive(Default)]
pub(super) struct Load {
    cpu: AtomicU64,
    mem: AtomicU64,
    latency_ms: AtomicU64,
    latency: Mutex<Option<ReadTotal>>,
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").finish_non_exhaustive()
    }
}

impl Health {
    /// `/health`: `{"cpu":0.62,"mem":0.78,"latency_ms":42}`. `cpu` and `mem` are fractions of what the process may
    /// use: of its cgroup's limit, or of the machine when it has none. `latency_ms` is the mean of the requests of
    /// the last 10 seconds, 0 when there were none.
    ///
    /// `query` is the query string, still encoded. `metrics=cpu,mem` chooses; `latency_ms` is always there. Without
    /// it everything is shown. Always 200, ready or not, but for an unknown metric: 400 with its name.
    pub fn health(&self, query: Option<&str>) -> Probe {
        let chosen = match query.and_then(chosen_metrics).map_or(Ok(Chosen::ALL), |list| Chosen::parse(&list))
        {
            Ok(chosen) => chosen,
            Err(unknown) => return refuse(&unknown),
        };
        let load = &self.shared.load;
        let mut body = Vec::with_capacity(64);
        body.push(b'{');
        if chosen.cpu {
            put(&mut body, "cpu", &load.cpu);
        }
        if chosen.mem {
            put(&mut body, "mem", &load.mem);
        }
        put(&mut body, "latency_ms", &load.latency_ms);
        body.push(b'}');
        Probe { status: 200, body: body.into() }
    }

    /// Where the request latency comes from: for example [`Histograms::total`](crate::metrics::Histograms::total) of
    /// the request durations. Read once a second.
    pub fn watch_latency(&self, read: impl Fn() -> Total + Send + Sync + 'static) {
        let read: ReadTotal = Arc::new(read);
        *self.shared.load.latency.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
    }

    /// Keeps the figures of [`health`](Self::health) up to date as long as it is polled. It reads a few files of
    /// `/proc` and `/sys` once a second, which the kernel answers from memory.
    pub async fn sample(self) -> Infallible {
        self.sample_at(Path::new("/")).await
    }

    /// Like [`sample`](Self::sample), below another root.
    pub(super) async fn sample_at(self, root: &Path) -> Infallible {
        let machine = Machine::at(root);
        let begin = Instant::now();
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cpu_before: Option<Cpu> = None;
        let mut latencies = VecDeque::with_capacity(LATENCY_PERIODS + 1);
        loop {
            ticks.tick().await;
            let load = &self.shared.load;
            if let Some(cpu) = machine.cpu(begin.elapsed()) {
                store(&load.cpu, cpu_before.map_or(0.0, |before| cpu.fraction_since(before)));
                cpu_before = Some(cpu);
            }
            if let Some(mem) = machine.memory() {
                store(&load.mem, mem);
            }
            let read = load.latency.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(read) = read {
                latencies.push_back(read());
                store(&load.latency_ms, recent_mean_ms(&latencies));
                if latencies.len() > LATENCY_PERIODS {
                    latencies.pop_front();
                }
            }
        }
    }
}

fn recent_mean_ms(totals: &VecDeque<Total>) -> f64 {
    let (Some(first), Some(last)) = (totals.front(), totals.back()) else {
        return 0.0;
    };
    let sum = last.sum.saturating_sub(first.sum).as_secs_f64() * 1000.0;
    match last.count.saturating_sub(first.count) {
        0 => 0.0,
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 requests in ten seconds")]
        count => sum / count as f64,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    cpu: bool,
    mem: bool,
}

impl Chosen {
    const ALL: Self = Self { cpu: true, mem: true };

    /// Reads `cpu,mem`; the error is the first unknown name.
    fn parse(list: &str) -> Result<Self, String> {
        let mut chosen = Self { cpu: false, mem: false };
        for name in list.split(',') {
            match name {
                "cpu" => chosen.cpu = true,
                "mem" => chosen.mem = true,
                "latency_ms" => {}
                unknown => return Err(unknown.to_owned()),
            }
        }
        Ok(chosen)
    }
}

/// The value of `metrics` in a query string. Of the characters that clients escape, a proper list has the comma only.
fn chosen_metrics(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("metrics="))?;
    Some(value.replace("%2C", ",").replace("%2c", ","))
}

fn refuse(unknown: &str) -> Probe {
    let mut body = b"{\"error\":".to_vec();
    json::string(&mut body, &format!("unknown metric \"{unknown}\": there are cpu, mem and latency_ms"));
    body.push(b'}');
    Probe { status: 400, body: body.into() }
}

fn store(figure: &AtomicU64, value: f64) {
    figure.store(value.to_bits(), Relaxed);
}

/// Two decimals, and none for a whole number.
fn put(out: &mut Vec<u8>, name: &str, figure: &AtomicU64) {
    json::name(out, name);
    let rounded = (f64::from_bits(figure.load(Relaxed)) * 100.0).round() / 100.0;
    // Writing to a Vec cannot fail.
    drop(write!(out, "{rounded}"));
}
