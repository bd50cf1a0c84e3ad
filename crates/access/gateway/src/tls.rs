//! TLS on both sides: of clients where a listening socket has certificates, of upstreams where they want it.
//!
//! rustls with *ring*: one C compiler is all it needs, where aws-lc-rs would add CMake and most of a minute to a cold
//! build. There is no OpenSSL.

mod acceptor;
mod certificates;
mod connector;
mod files;
mod options;
mod pem;
mod x509;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use aqueduct_runtime::clock;

use crate::options::{Options, Problem};
use crate::tls::pem::Wrong;
use crate::tls::x509::Reading;

pub use options::{ClientAuth, KeyPair, Pem, Tls, TlsVersion, UpstreamTls};

pub(crate) use acceptor::Acceptor;
pub(crate) use connector::{Connector, http1_client};
pub(crate) use files::watch;

/// What the options' TLS was made into. All workers share it.
#[derive(Debug, Default)]
pub(crate) struct Active {
    acceptors: Vec<(SocketAddr, Arc<Acceptor>)>,
    connectors: BTreeMap<String, Arc<Connector>>,
}

impl Active {
    /// Makes it, or tells all that is wrong. Nothing is in use yet.
    pub(crate) fn new(options: &Options) -> Result<Self, Vec<Problem>> {
        let (mut active, mut problems) = (Self::default(), Vec::new());
        for (index, listen) in options.listen.iter().enumerate() {
            let Some(tls) = &listen.tls else { continue };
            match Acceptor::new(tls) {
                Ok(acceptor) => active.acceptors.push((listen.address, Arc::new(acceptor))),
                Err(wrong) => problems.extend(placed(&format!("listen[{index}].tls"), wrong)),
            }
        }
        for (name, upstream) in &options.upstreams {
            let Some(tls) = &upstream.tls else { continue };
            match Connector::new(tls) {
                Ok(connector) => {
                    active.connectors.insert(name.clone(), Arc::new(connector));
                }
                Err(wrong) => problems.extend(placed(&format!("upstreams.{name}.tls"), wrong)),
            }
        }
        if problems.is_empty() { Ok(active) } else { Err(problems) }
    }

    /// The same with what goes on of what was made of the options `before`, which stays as it is: clients of an address that
    /// stays can resume their sessions, and endpoints that are to be spoken to as before keep their connections.
    pub(crate) fn after(self: &Arc<Self>, (before, old): (&Self, &Options), options: &Options) -> Arc<Self> {
        let acceptors = self.acceptors.iter().map(|(address, next)| {
            let tls = options.listen.iter().find(|listen| listen.address == *address);
            let tls = tls.and_then(|listen| listen.tls.as_ref());
            let kept = before.acceptor(*address).zip(tls).and_then(|(known, tls)| known.successor(tls).ok());
            (*address, kept.unwrap_or_else(|| Arc::clone(next)))
        });
        let connectors = self.connectors.iter().map(|(name, next)| {
            let tls =
                |options: &Options| options.upstreams.get(name).and_then(|upstream| upstream.tls.clone());
            let kept = before.connector(name).filter(|_| tls(old) == tls(options));
            (name.clone(), Arc::clone(kept.unwrap_or(next)))
        });
        Arc::new(Self { acceptors: acceptors.collect(), connectors: connectors.collect() })
    }

    /// TLS for the clients of an address, as it is configured.
    pub(crate) fn acceptor(&self, address: SocketAddr) -> Option<&Arc<Acceptor>> {
        self.acceptors.iter().find(|(known, _)| *known == address).map(|(_, acceptor)| acceptor)
    }

    /// TLS for the connections to an upstream.
    pub(crate) fn connector(&self, upstream: &str) -> Option<&Arc<Connector>> {
        self.connectors.get(upstream)
    }
}

fn placed(section: &str, wrong: Vec<Wrong>) -> impl Iterator<Item = Problem> {
    let section = section.to_owned();
    wrong
        .into_iter()
        .map(move |Wrong { field, message }| Problem { path: format!("{section}.{field}"), message })
}

impl Options {
    /// What is no error but should be looked at: certificates that are not valid now.
    pub fn warnings(&self) -> Vec<Problem> {
        let listen =
            self.listen.iter().enumerate().filter_map(|(index, listen)| {
                let pairs = listen.tls.as_ref()?.certificates.iter().enumerate();
                Some(pairs.map(move |(pair, it)| {
                    (format!("listen[{index}].tls.certificates[{pair}].cert"), &it.cert)
                }))
            });
        let upstreams = self.upstreams.iter().filter_map(|(name, upstream)| {
            let pair = upstream.tls.as_ref()?.client.as_ref()?;
            Some((format!("upstreams.{name}.tls.client_cert"), &pair.cert))
        });
        let all = listen.flatten().chain(upstreams);
        all.filter_map(|(path, cert)| Some(Problem { path, message: overdue(cert)? })).collect()
    }
}

/// What is wrong with the time of a certificate.
fn overdue(cert: &Pem) -> Option<String> {
    let chain = pem::certificates(cert).ok()?;
    let (from, until) = chain.first().and_then(|first| Reading::of(first))?.validity();
    let now = clock::since_epoch();
    let (what, time) = match (now < from, now >= until) {
        (true, _) => ("is not valid before", from),
        (_, true) => ("expired at", until),
        _ => return None,
    };
    let time = clock::rfc3339(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    Some(format!("the certificate {} {what} {}", cert.name, String::from_utf8_lossy(&time)))
}
