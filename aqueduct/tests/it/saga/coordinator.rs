//! A running `aqueduct saga serve`.

use std::path::Path;
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Response, Scratch, until};
use serde_json::{Value, json};

use crate::kit::aqueduct;

/// The coordinator, on the store in the folder `data`.
pub(crate) struct Sagas {
    pub(crate) process: Process,
    pub(crate) port: Port,
    pub(crate) admin: Port,
}

impl Sagas {
    pub(crate) fn start(folder: &Scratch, more: &[&str]) -> Self {
        Self::start_on((Port::free(), Port::free()), folder.path(), more)
    }

    /// Starts it on these ports, and waits until it is ready.
    pub(crate) fn start_on((port, admin): (Port, Port), folder: &Path, more: &[&str]) -> Self {
        let (listen, at) = (port.address().to_string(), admin.address().to_string());
        let mut command = aqueduct(folder);
        command.args(["saga", "serve", "--listen", &listen, "--admin", &at]).args(more);
        if !more.contains(&"--config") {
            command.args(["--data", "data"]);
        }
        let mut process = Process::start("sagas", &mut command).unwrap();
        process.wait_port(port.address(), within(30)).unwrap();
        let ready = until(within(30), || {
            let answer = Client::new(port.address()).get("/readyz").ok()?;
            (answer.status() == 200).then_some(())
        });
        assert!(ready.is_some() && process.exited().is_none(), "{}", process.printed());
        Self { process, port, admin }
    }

    /// Ends it with SIGKILL, and starts it again at the same place.
    pub(crate) fn crash(mut self, folder: &Scratch, more: &[&str]) -> Self {
        self.process.kill().unwrap();
        Self::start_on((self.port, self.admin), folder.path(), more)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.port.address())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.client().post(path, body).unwrap()
    }

    /// Submits what must be taken.
    pub(crate) fn submit(&self, saga: &Value) {
        let answer = self.post("/v1/sagas", saga);
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }

    pub(crate) fn get(&self, id: &str) -> Value {
        let answer = self.client().get(&format!("/v1/sagas/{id}")).unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    }

    /// Waits until the saga has this status.
    pub(crate) fn wait(&self, id: &str, status: &str) -> Value {
        let found = until(within(60), || Some(self.get(id)).filter(|saga| saga["status"] == status));
        assert!(found.is_some(), "it is not {status}: {:#}", self.get(id));
        found.unwrap()
    }

    /// An operator's decision.
    pub(crate) fn decide(&self, id: &str, what: &str, actor: &str) -> Response {
        let path = format!("/v1/sagas/{id}:{what}");
        self.client().request("POST", &path, &[("x-saga-actor", actor)], b"").unwrap()
    }

    /// Ends it as a service manager does, and answers with the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.process.terminate().unwrap();
        self.process.wait_exit(within(30)).unwrap().code()
    }

    pub(crate) fn metrics(&self) -> String {
        Client::new(self.admin.address()).get("/metrics").unwrap().text()
    }
}

/// A saga with steps of `(name, kind, url)`.
pub(crate) fn saga(id: &str, deadline: Duration, steps: &[(&str, &str, String)]) -> Value {
    let steps: Vec<_> = steps
        .iter()
        .map(|(name, kind, url)| json!({"name": name, "kind": kind, "url": url, "payload": {"of": name}}))
        .collect();
    json!({"sagaId": id, "deadlineMs": u64::try_from(deadline.as_millis()).unwrap(), "steps": steps})
}
