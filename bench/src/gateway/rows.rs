//! The rows of requests: what each proxy needs for one at its peak, and how long each lets one wait at one rate for all.

use anyhow::{Context as _, Result};
use aqueduct_kit::procfs;
use indicatif::ProgressBar;

use super::fixture::{Fixture, GET_PATH, GRPC_PATH, POST_PATH, STREAM_MESSAGES, STREAM_PATH};
use super::h2load::{Bodies, CONNECTIONS};
use super::proxies::{Kind, Proxy};
use super::{Args, Section};
use crate::clients::grpc::Grpc;
use crate::clients::http1::Http1;
use crate::clients::{Clients, Dialect, Outcome, Plan};
use crate::median::median;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Get,
    Post,
    Grpc,
    Stream,
}

impl Row {
    pub(crate) fn of(section: Section) -> Option<Self> {
        match section {
            Section::Get => Some(Self::Get),
            Section::Post => Some(Self::Post),
            Section::Grpc => Some(Self::Grpc),
            Section::Stream => Some(Self::Stream),
            Section::Connections | Section::Tls => None,
        }
    }

    pub(crate) fn title(self) -> String {
        match self {
            Self::Get => "GET, transcoded".to_owned(),
            Self::Post => "POST of 1 KB, transcoded".to_owned(),
            Self::Grpc => "gRPC, passed through".to_owned(),
            Self::Stream => format!("gRPC stream of {STREAM_MESSAGES} messages, passed through"),
        }
    }

    /// A stream is many messages of work.
    fn requests(self, args: &Args) -> u64 {
        let requests = if self == Self::Stream { args.requests.div_ceil(20) } else { args.requests };
        requests.max(CONNECTIONS as u64)
    }
}

/// One proxy's figures of one row, an element a round.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) row: Row,
    pub(crate) proxy: Kind,
    pub(crate) cpu_us: Vec<f64>,
    /// Requests a second at most.
    pub(crate) peak: Vec<f64>,
    /// At the fixed rate.
    pub(crate) times: Vec<Outcome>,
    /// The fixed rate.
    pub(crate) rate: f64,
    pub(crate) failures: u64,
}

impl Figures {
    /// The part of the time at the peak for which the proxy has work, of one core.
    pub(crate) fn busy(&self) -> f64 {
        median(self.cpu_us.iter().zip(&self.peak).map(|(cpu_us, peak)| cpu_us * peak / 1e6))
    }

    pub(crate) fn quantile(&self, part: f64) -> f64 {
        median(self.times.iter().map(|times| times.quantile(part)))
    }
}

/// How loaded the fixed rate is, as a part of Envoy's peak.
pub(crate) const SHARE: f64 = 0.7;
/// Seconds of one load at the fixed rate.
const SECONDS: f64 = 3.0;

/// Takes a row: all rounds at the peak, and then all at the rate that came of it. Round 0 of each warms up, and is not counted.
pub(super) fn take(
    row: Row,
    args: &Args,
    proxies: &[Proxy],
    (bodies, fixture): (&Bodies, &Fixture),
    bar: &ProgressBar,
) -> Result<Vec<Figures>> {
    let mut all: Vec<Figures> = proxies.iter().map(|proxy| Figures::new(row, proxy.kind)).collect();
    for round in 0..=args.rounds {
        for (proxy, figures) in proxies.iter().zip(&mut all) {
            bar.inc(1);
            bar.set_message(format!("{}, round {round}: {}", row.title(), proxy.kind.name()));
            let requests = row.requests(args);
            let requests = if round == 0 { requests.div_ceil(10).max(CONNECTIONS as u64) } else { requests };
            let before = procfs::cpu_time(proxy.pid())?;
            let peak = bodies.load(row, proxy, requests)?;
            let used = procfs::cpu_time(proxy.pid())?.saturating_sub(before);
            if round > 0 {
                figures.cpu_us.push(used.as_secs_f64() * 1e6 / requests as f64);
                figures.peak.push(peak.rate);
                figures.failures += peak.failures;
            }
        }
    }
    let rate = rate(&all).context("find a rate for all")?;
    for round in 0..=args.rounds {
        for (proxy, figures) in proxies.iter().zip(&mut all) {
            bar.inc(1);
            bar.set_message(format!("{} at {rate:.0}/s, round {round}: {}", row.title(), proxy.kind.name()));
            let seconds = if round == 0 { 0.3 } else { args.seconds(SECONDS) };
            let outcome = fixed(row, proxy, fixture, (rate, seconds))?;
            if round > 0 {
                figures.rate = rate;
                figures.failures += outcome.failures;
                figures.times.push(outcome);
            }
        }
    }
    Ok(all)
}

/// A part of Envoy's peak, or without Envoy of the slowest's.
fn rate(all: &[Figures]) -> Option<f64> {
    let peak = |figures: &Figures| median(figures.peak.iter().copied());
    let envoy = all.iter().find(|figures| figures.proxy == Kind::Envoy).map(peak);
    envoy.or_else(|| all.iter().map(peak).min_by(f64::total_cmp)).map(|peak| peak * SHARE)
}

fn fixed(row: Row, proxy: &Proxy, fixture: &Fixture, pace: (f64, f64)) -> Result<Outcome> {
    let (one, all) = (fixture.order_frame.len(), fixture.order_frame.len() * STREAM_MESSAGES);
    match row {
        Row::Get => run(proxy.http, Http1::get(GET_PATH), pace),
        Row::Post => run(proxy.http, Http1::post(POST_PATH, &fixture.create.to_string()), pace),
        Row::Grpc => run(proxy.grpc, Grpc::new(GRPC_PATH, &fixture.get_frame, one), pace),
        Row::Stream => run(proxy.grpc, Grpc::new(STREAM_PATH, &fixture.get_frame, all), pace),
    }
}

fn run<D: Dialect>(
    address: std::net::SocketAddr,
    dialect: D,
    (rate, seconds): (f64, f64),
) -> Result<Outcome> {
    let mut clients = Clients::connect(address, dialect, CONNECTIONS)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
    let requests = (rate * seconds).ceil() as u64;
    clients.run(Plan { requests, in_flight: CONNECTIONS, rate: Some(rate) })
}

impl Figures {
    fn new(row: Row, proxy: Kind) -> Self {
        Self {
            row,
            proxy,
            cpu_us: Vec::new(),
            peak: Vec::new(),
            times: Vec::new(),
            rate: f64::NAN,
            failures: 0,
        }
    }
}
