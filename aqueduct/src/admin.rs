//! The admin server: metrics, status and probes over plain HTTP/1.1, on a port of its own. What it shows is in memory,
//! and none of it is secret; it takes no orders.

mod pages;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use aqueduct_gateway::Gateway;
use aqueduct_runtime::task::{self, Owned};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::bind::bind;
use crate::process::Process;
use crate::reload::Active;
use pages::Pages;

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// For a request's head, also while a kept connection is idle.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;
/// For a whole connection: whoever reads slowly does not keep its place for ever.
const CONNECTION_WITHIN: Duration = Duration::from_mins(10);
/// The pause after an accept failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What runs where, as the status tells it.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The subcommand.
    pub(crate) command: &'static str,
    /// The part where clients connect.
    pub(crate) edge: Option<Arc<Gateway>>,
    /// Where the services listen.
    pub(crate) services: Option<SocketAddr>,
    /// The data folder.
    pub(crate) data: Option<PathBuf>,
    /// The configuration in use, of a command that has one.
    pub(crate) config: Option<Active>,
}

/// An admin server that listens but does not answer yet, or none.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: Option<(SocketAddr, TcpListener)>,
}

impl Admin {
    /// Listens on `address`, if there is one; on the socket of another process if it is for that.
    pub(crate) fn bind(address: Option<SocketAddr>, inherited: Option<TcpListener>) -> Result<Self> {
        let is_for = |listener: &TcpListener, address: SocketAddr| {
            let found = listener.local_addr();
            found.is_ok_and(|found| found.ip() == address.ip() && [0, found.port()].contains(&address.port()))
        };
        let listen = |address| {
            let inherited = inherited.filter(|listener| is_for(listener, address));
            let listener = inherited.map_or_else(|| bind(address, "--admin"), Ok)?;
            anyhow::Ok((listener.local_addr()?, listener))
        };
        Ok(Self { listener: address.map(listen).transpose()? })
    }

    /// Answers from now on, until the end or until it is handed over: probes are wanted while the rest drains.
    pub(crate) fn serve(self, process: &Process, facts: Facts) -> Option<Serving> {
        let (address, listener) = self.listener?;
        let pages = Arc::new(Pages::new(process, facts, address));
        let listener = Arc::new(listener);
        let accepting = task::spawn("admin", accept(Arc::clone(&listener), pages)).into();
        Some(Serving { address, listener, accepting })
    }
}

/// An admin server that answers. It accepts until this is dropped.
#[derive(Debug)]
#[must_use = "it answers no more once this is dropped"]
pub(crate) struct Serving {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    accepting: Owned,
}

impl Serving {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle of its socket, for another process.
    pub(crate) fn socket(&self) -> std::io::Result<TcpListener> {
        self.listener.try_clone()
    }

    /// Accepts no more: another process does.
    pub(crate) fn hand_over(self) {
        drop(self.accepting);
    }
}

async fn accept(listener: Arc<TcpListener>, pages: Arc<Pages>) {
    let listener = match listener.try_clone().and_then(tokio::net::TcpListener::from_std) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin server cannot listen");
            return;
        }
    };
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = Arc::clone(&pages);
                task::spawn("admin-connection", async move {
                    serve(stream, &pages).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin server cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, pages: &Pages) {
    let service = service_fn(|request| {
        let (head, _unread) = request.into_parts();
        let answer = pages.answer(&head);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // How a client leaves is its own affair.
    drop(tokio::time::timeout(CONNECTION_WITHIN, connection).await);
}

#[cfg(test)]
mod tests;
