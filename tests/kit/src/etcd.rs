//! A private etcd: one member, which syncs every write before it acknowledges it.

use std::io;
use std::ops::{Deref, DerefMut};

use crate::http::Client;
use crate::port::Port;
use crate::process::within;
use crate::scratch::Scratch;
use crate::server::{Place, Server, failure};
use crate::wait::until;

/// A running etcd; how to end, pause and restart it stands at [`Server`].
#[derive(Debug)]
pub struct Etcd {
    server: Server,
    /// Where other members would talk to it.
    _peers: Port,
}

impl Etcd {
    /// Starts a server in a folder of `scratch`, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When etcd is not installed, or does not start, with its log.
    pub fn start(scratch: &Scratch) -> io::Result<Self> {
        let (place, peers) = (Place::in_scratch(scratch, "etcd"), Port::free());
        let clients = format!("http://127.0.0.1:{}", place.port());
        let others = format!("http://{}", peers.address());
        let data = place.folder().join("data").display().to_string();
        let args = [
            ("name", "one"),
            ("data-dir", &data),
            ("listen-client-urls", &clients),
            ("advertise-client-urls", &clients),
            ("listen-peer-urls", &others),
            ("initial-advertise-peer-urls", &others),
            ("initial-cluster", &format!("one={others}")),
        ];
        let args = args.iter().map(|(name, value)| format!("--{name}={value}")).collect();
        let mut etcd = Self { server: Server::spawn("etcd", place, args)?, _peers: peers };
        etcd.wait_ready()?;
        Ok(etcd)
    }

    /// Waits until it answers, which it does once it leads its cluster of one.
    ///
    /// # Errors
    ///
    /// When it ends, or does not answer, with its log.
    pub fn wait_ready(&mut self) -> io::Result<()> {
        self.server.wait_ready()?;
        let address = self.address();
        let healthy = || {
            let answer = Client::new(address).get("/health").ok()?;
            (answer.status() == 200 && answer.text().contains("true")).then_some(())
        };
        until(within(60), healthy).ok_or_else(|| failure("etcd does not say that it is healthy"))
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

impl Deref for Etcd {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Etcd {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
