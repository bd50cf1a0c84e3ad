//! A private NATS server with JetStream, which syncs every message before it acknowledges it.

use std::fs;
use std::io;
use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};

use crate::certificates::Certificate;
use crate::scratch::Scratch;
use crate::server::{Place, Server};

/// A running NATS server; how to end, pause and restart it stands at [`Server`].
#[derive(Debug)]
pub struct Nats {
    server: Server,
}

impl Nats {
    /// Starts a server in a folder of `scratch`, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When NATS is not installed, or does not start, with its log.
    pub fn start(scratch: &Scratch) -> io::Result<Self> {
        let mut nats = Self::spawn(Place::in_scratch(scratch, "nats"))?;
        nats.wait_ready()?;
        Ok(nats)
    }

    /// As [`Nats::start`], for encrypted connections only, of clients that show a certificate of the same authority.
    ///
    /// # Errors
    ///
    /// As [`Nats::start`].
    pub fn start_tls(scratch: &Scratch, certificate: &Certificate) -> io::Result<Self> {
        let [ca, cert, key] = certificate.paths();
        let tls = json!({ "ca_file": ca, "cert_file": cert, "key_file": key, "verify": true });
        let mut nats = Self::spawn_with(Place::in_scratch(scratch, "nats"), Some(tls))?;
        nats.wait_ready()?;
        Ok(nats)
    }

    /// Starts a server at `place`, where an earlier one may have left its streams, and does not wait for it.
    ///
    /// # Errors
    ///
    /// When NATS is not installed, or the folder cannot be written.
    pub fn spawn(place: Place) -> io::Result<Self> {
        Self::spawn_with(place, None)
    }

    fn spawn_with(place: Place, tls: Option<Value>) -> io::Result<Self> {
        let store = place.folder().join("jetstream");
        fs::create_dir_all(&store)?;
        // Its configuration may be written as JSON.
        let mut config = json!({
            "listen": format!("127.0.0.1:{}", place.port()),
            // Before a message is acknowledged. By default it is every two minutes.
            "jetstream": { "store_dir": store, "sync_interval": "always" },
        });
        if let Some(tls) = tls {
            config["tls"] = tls;
        }
        let file = place.folder().join("nats.conf");
        fs::write(&file, config.to_string())?;
        let args = vec!["--config".to_owned(), file.display().to_string()];
        Ok(Self { server: Server::spawn("nats-server", place, args)? })
    }

    /// Waits until it accepts connections, which it does once its streams are recovered.
    ///
    /// # Errors
    ///
    /// When it ends, or does not start, with its log.
    pub fn wait_ready(&mut self) -> io::Result<()> {
        self.server.wait_ready()
    }

    /// `nats://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Lets it run on when this process has ended. Its place must be a detached one.
    pub fn detach(self) {
        self.server.detach();
    }
}

impl Deref for Nats {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Nats {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
