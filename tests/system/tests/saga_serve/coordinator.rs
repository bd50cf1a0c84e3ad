//! The coordinator: `aqueduct saga serve` as a process that is killed, stopped and started again on one data folder, and what its
//! users say to it.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Profile, Response, Scratch, aqueduct, until};
use serde_json::Value;

/// What ends a saga.
pub(crate) const TERMINAL: [&str; 3] = ["COMPLETED", "COMPENSATED", "ABANDONED"];

/// Silence is given up soon, so that a test of many faults is not long.
pub(crate) const FAST: &[&str] = &["--attempt-timeout", "400ms"];

pub(crate) struct Coordinator {
    port: Port,
    /// Where its log is, and how it works.
    flags: Vec<String>,
    env: Vec<(String, String)>,
    /// `None` while it is down.
    process: Mutex<Option<Process>>,
    log: PathBuf,
    /// The test is over: it is not started again.
    over: AtomicBool,
}

/// A coordinator, and its end with the test: threads that serve participants know it for longer.
pub(crate) struct Owned {
    coordinator: Arc<Coordinator>,
    _scratch: Scratch,
}

impl Deref for Owned {
    type Target = Arc<Coordinator>;

    fn deref(&self) -> &Arc<Coordinator> {
        &self.coordinator
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.coordinator.over.store(true, Relaxed);
        self.coordinator.kill();
    }
}

impl Coordinator {
    /// A coordinator that is ready, on a folder of its own.
    pub(crate) fn start(name: &str, flags: &[&str]) -> Owned {
        let scratch = Scratch::new(name);
        let data = scratch.join("data").display().to_string();
        Self::start_at(scratch, &[&["--data", &data], flags].concat())
    }

    /// A coordinator that is ready, on whatever the flags name.
    pub(crate) fn start_at(scratch: Scratch, flags: &[&str]) -> Owned {
        Self::start_in(scratch, flags, Vec::new())
    }

    /// The same, with more in its environment.
    pub(crate) fn start_in(scratch: Scratch, flags: &[&str], env: Vec<(String, String)>) -> Owned {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let log = scratch.join("coordinator.log");
        let (process, over) = (Mutex::new(None), AtomicBool::new(false));
        let coordinator = Arc::new(Self { port: Port::free(), flags, env, process, log, over });
        let owned = Owned { coordinator, _scratch: scratch };
        owned.restart();
        owned
    }

    /// The command that serves the same, on an address.
    pub(crate) fn command(&self, listen: SocketAddr) -> Command {
        let mut command = Command::new(aqueduct(Profile::Debug));
        command.args(["saga", "serve", "--listen", &listen.to_string()]).args(&self.flags);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, unless it runs, and waits until it says that it is ready, or is killed again.
    pub(crate) fn restart(&self) {
        if !self.begin() {
            return;
        }
        let ready = until(within(30), || {
            // Whoever is called while it recovers may kill it: nothing is held here.
            match self.process.lock().unwrap().as_mut() {
                Some(process) => assert_eq!(process.exited(), None, "it ended: {}", process.printed()),
                None => return Some(()),
            }
            let ready = self.client().get("/readyz").ok()?;
            (ready.status() == 200).then_some(())
        });
        assert_eq!(ready, Some(()), "the coordinator is not ready in time");
    }

    /// Starts it. False when it runs already.
    fn begin(&self) -> bool {
        let mut slot = self.process.lock().unwrap();
        let down = slot.is_none() && !self.over.load(Relaxed);
        if down {
            let mut command = self.command(self.port.address());
            *slot = Some(Process::start_with_log("coordinator", &mut command, &self.log).unwrap());
        }
        down
    }

    /// Kills it with -9. It may be dead already.
    pub(crate) fn kill(&self) {
        if let Some(mut process) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            process.kill().unwrap();
        }
    }

    /// Stops it in its tracks.
    pub(crate) fn pause(&self) {
        if let Some(process) = self.process.lock().unwrap().as_mut() {
            process.pause().unwrap();
        }
    }

    pub(crate) fn resume(&self) {
        if let Some(process) = self.process.lock().unwrap().as_mut() {
            process.resume().unwrap();
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.lock().unwrap().as_ref().map(Process::pid).unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What it has logged, since its first start.
    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.port.address())
    }

    /// Submits once.
    pub(crate) fn submit(&self, body: &str) -> io::Result<Response> {
        let headers = [("content-type", "application/json")];
        self.client().request("POST", "/v1/sagas", &headers, body.as_bytes())
    }

    /// A saga as it is now; the status of the answer, and its JSON.
    pub(crate) fn get(&self, id: &str) -> io::Result<(u16, Value)> {
        let answer = self.client().get(&format!("/v1/sagas/{id}"))?;
        Ok((answer.status(), answer.json()))
    }

    /// `retry`, `skip` or `abandon`.
    pub(crate) fn operate(&self, id: &str, what: &str, actor: &str) -> io::Result<Response> {
        let path = format!("/v1/sagas/{id}:{what}");
        self.client().request("POST", &path, &[("x-saga-actor", actor)], b"")
    }

    /// Waits for a status; the saga as it is then.
    pub(crate) fn wait(&self, id: &str, wanted: &[&str]) -> Value {
        let mut last = Value::Null;
        let found = until(Duration::from_secs(40), || {
            last = self.get(id).ok().filter(|(status, _)| *status == 200)?.1;
            let status = last["status"].as_str().unwrap_or_default();
            wanted.contains(&status).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("{id} is not {wanted:?} in time: {last:#}"))
    }
}
