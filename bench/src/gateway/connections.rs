//! What open connections cost: the memory of each while it is idle, and how much dearer a request is when it comes on one of
//! ten thousand.

use anyhow::Result;
use aqueduct_kit::procfs;
use indicatif::ProgressBar;

use super::Args;
use super::fixture::GET_PATH;
use super::h2load::CONNECTIONS;
use super::proxies::{Kind, Proxy};
use crate::clients::http1::Http1;
use crate::clients::{Clients, Plan};

/// One proxy's figures; of the CPU times an element a round.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) proxy: Kind,
    /// Resident memory of one idle connection, in bytes.
    pub(crate) idle_bytes: f64,
    /// CPU of a request on one of few connections.
    pub(crate) few_us: Vec<f64>,
    /// CPU of a request on one of many.
    pub(crate) many_us: Vec<f64>,
    pub(crate) failures: u64,
}

/// Takes the proxies one after the other, before anything else, while their memory is as small as it was at their start. As many
/// requests are in flight on many connections as on few; the connections take turns.
pub(super) fn take(args: &Args, proxies: &[Proxy], bar: &ProgressBar) -> Result<Vec<Figures>> {
    proxies.iter().map(|proxy| one(args, proxy, bar)).collect()
}

fn one(args: &Args, proxy: &Proxy, bar: &ProgressBar) -> Result<Figures> {
    let name = proxy.kind.name();
    bar.set_message(format!("{} connections: {name}", args.connections));
    let mut few = Clients::connect(proxy.http, Http1::get(GET_PATH), CONNECTIONS)?;
    let mut failures = few.run(plan(args.requests.div_ceil(4)))?.failures;
    let before = procfs::resident_bytes(proxy.pid())?;
    let mut many = Clients::connect(proxy.http, Http1::get(GET_PATH), args.connections)?;
    // Each is used once, so that all are connections between two requests.
    failures += many.run(plan(args.connections as u64))?.failures;
    let grown = procfs::resident_bytes(proxy.pid())?.saturating_sub(before);
    let mut figures = Figures {
        proxy: proxy.kind,
        idle_bytes: grown as f64 / args.connections as f64,
        few_us: Vec::new(),
        many_us: Vec::new(),
        failures,
    };
    for round in 1..=args.rounds {
        bar.set_message(format!("{} connections, round {round}: {name}", args.connections));
        for (clients, costs) in [(&mut few, &mut figures.few_us), (&mut many, &mut figures.many_us)] {
            let before = procfs::cpu_time(proxy.pid())?;
            figures.failures += clients.run(plan(args.requests))?.failures;
            let used = procfs::cpu_time(proxy.pid())?.saturating_sub(before);
            costs.push(used.as_secs_f64() * 1e6 / args.requests as f64);
        }
        bar.inc(1);
    }
    Ok(figures)
}

fn plan(requests: u64) -> Plan {
    Plan { requests, in_flight: CONNECTIONS, rate: None }
}
