//! Certificates, keys and authorities in files: read about once a second, and used when they are others. What belongs
//! together, all of one address or of one upstream, is replaced together; a state that is bad, such as a new certificate
//! beside the old key, is passed over for the next.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::task::{self, Owned};
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use crate::edge::Edge;
use crate::metrics::TlsReloadMetrics;
use crate::options::Options;
use crate::tls::options::{Pem, Tls, UpstreamTls};
use crate::tls::pem::Wrong;
use crate::tls::{Acceptor, Active, Connector, overdue};

/// What is replaced together.
#[derive(Debug)]
struct Unit {
    side: Side,
    /// Something was read that has not been tried yet.
    pending: bool,
}

#[derive(Debug)]
enum Side {
    Listen(Arc<Acceptor>, Tls),
    Upstream(Arc<Connector>, UpstreamTls),
}

impl Unit {
    fn pems(&mut self) -> Vec<&mut Pem> {
        match &mut self.side {
            Side::Listen(_, tls) => tls.pems_mut().collect(),
            Side::Upstream(_, tls) => tls.pems_mut().collect(),
        }
    }

    fn replace(&self) -> Result<(), Vec<Wrong>> {
        match &self.side {
            Side::Listen(acceptor, tls) => acceptor.replace(tls),
            Side::Upstream(connector, tls) => connector.replace(tls),
        }
    }

    /// Reads all files and uses what they say if it is new. Blocks.
    fn look(&mut self) -> Outcome {
        let (mut changed, mut unavailable) = (false, None);
        for pem in self.pems() {
            let Some(file) = &pem.file else { continue };
            match read(file) {
                Ok(text) if text == pem.text => {}
                Ok(text) => {
                    pem.text = text;
                    changed = true;
                }
                Err(error) => unavailable = Some(format!("{}: {error}", pem.name)),
            }
        }
        self.pending |= changed;
        if let Some(why) = unavailable {
            return Outcome::Unavailable(why);
        }
        if !std::mem::take(&mut self.pending) {
            return Outcome::Same;
        }
        match self.replace() {
            Ok(()) => Outcome::Swapped(self.pems().into_iter().filter_map(|pem| overdue(pem)).collect()),
            Err(wrong) => {
                let all: Vec<_> = wrong.into_iter().map(|wrong| wrong.message).collect();
                Outcome::Invalid(all.join("; "))
            }
        }
    }
}

/// What came of a look.
#[derive(Debug)]
enum Outcome {
    Same,
    /// With what should be looked at.
    Swapped(Vec<String>),
    Invalid(String),
    Unavailable(String),
}

fn read(file: &PathBuf) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(file)?.take(Pem::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > Pem::MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", Pem::MAX_BYTES >> 20)));
    }
    Ok(bytes.into())
}

/// Looks for changes until the tasks are dropped. Called by one worker for all.
pub(crate) fn watch(edge: &Rc<Edge>, options: &Options, active: &Active) -> Vec<Owned> {
    let metrics = Rc::new(edge.shared.families.tls_reloads());
    let listen = options.listen.iter().filter_map(|listen| {
        let side = Side::Listen(Arc::clone(active.acceptor(listen.address)?), listen.tls.clone()?);
        Some((listen.address.to_string(), side))
    });
    let upstreams = options.upstreams.iter().filter_map(|(name, upstream)| {
        let side = Side::Upstream(Arc::clone(active.connector(name)?), upstream.tls.clone()?);
        Some((format!("the upstream `{name}`"), side))
    });
    let watched = listen.chain(upstreams).filter_map(|(name, side)| {
        let mut unit = Unit { side, pending: false };
        unit.pems().iter().any(|pem| pem.file.is_some()).then_some((name, unit))
    });
    let poll = options.timeouts.poll;
    watched
        .map(|(name, unit)| {
            task::spawn_local("tls-files", follow(name, unit, poll, Rc::clone(&metrics))).into()
        })
        .collect()
}

async fn follow(name: String, mut unit: Unit, poll: Duration, metrics: Rc<TlsReloadMetrics>) {
    let mut unavailable = None;
    let mut ticks = interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A slow disk must not hold up the worker's requests.
        let looked = tokio::task::spawn_blocking(move || {
            let outcome = unit.look();
            (unit, outcome)
        });
        // An error: the runtime ends.
        let Ok((same, outcome)) = looked.await else { return };
        unit = same;
        if let Outcome::Unavailable(why) = outcome {
            metrics.unavailable.inc();
            if unavailable.as_ref() != Some(&why) {
                tracing::warn!(of = name, why, "certificates cannot be read; those of before stay");
            }
            unavailable = Some(why);
            continue;
        }
        unavailable = None;
        match outcome {
            Outcome::Swapped(warnings) => {
                metrics.swapped.inc();
                tracing::info!(of = name, "new certificates are in use");
                for warning in warnings {
                    tracing::warn!(of = name, "{warning}");
                }
            }
            Outcome::Invalid(why) => {
                metrics.invalid.inc();
                tracing::warn!(of = name, why, "certificates are refused; those of before stay");
            }
            Outcome::Same | Outcome::Unavailable(_) => {}
        }
    }
}
