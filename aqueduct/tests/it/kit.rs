//! The binary, run to its end or running, on a folder and ports of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Scratch, until};
use serde_json::{Value, json};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The last line of standard error: the one that tells why.
    pub(crate) fn reason(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

/// The binary, with nothing from the tester's environment that would change what it says.
pub(crate) fn aqueduct(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
    command.current_dir(folder);
    for name in
        ["AQUEDUCT_LOG", "AQUEDUCT_LOG_FORMAT", "RUST_LOG", "NO_COLOR", "CLICOLOR_FORCE", "RUST_BACKTRACE"]
    {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Ended {
    let output = aqueduct(folder).args(args).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running `aqueduct up`.
pub(crate) struct Up {
    pub(crate) process: Process,
    pub(crate) ports: Ports,
}

/// The ports of a system, held for as long as this lives.
pub(crate) struct Ports {
    pub(crate) edge: Port,
    pub(crate) services: Port,
    pub(crate) admin: Port,
}

impl Ports {
    pub(crate) fn free() -> Self {
        Self { edge: Port::free(), services: Port::free(), admin: Port::free() }
    }

    /// The arguments of `up` on these ports, with the store in `data`.
    pub(crate) fn up(&self, data: &str) -> Vec<String> {
        let flags = ["--listen", "--services", "--admin"].map(str::to_owned);
        let addresses = [&self.edge, &self.services, &self.admin].map(|port| port.address().to_string());
        let mut args = vec!["up".to_owned(), "--workers=2".to_owned(), format!("--data={data}")];
        args.extend(flags.into_iter().zip(addresses).map(|(flag, address)| format!("{flag}={address}")));
        args
    }
}

impl Up {
    /// Starts in `folder`, with the store in its `data`, and waits until it is ready.
    pub(crate) fn start(folder: &Scratch, more: &[&str]) -> Self {
        Self::start_on(Ports::free(), &mut aqueduct(folder.path()), more)
    }

    /// Starts `command` with the arguments of `up`.
    pub(crate) fn start_on(ports: Ports, command: &mut Command, more: &[&str]) -> Self {
        let mut process = Process::start("up", command.args(ports.up("data")).args(more)).unwrap();
        process.wait_port(ports.edge.address(), within(30)).unwrap();
        ready(&mut process, ports.edge.address());
        Self { process, ports }
    }

    pub(crate) fn edge(&self) -> Client {
        Client::new(self.ports.edge.address())
    }

    pub(crate) fn admin(&self) -> Client {
        Client::new(self.ports.admin.address())
    }

    /// Ends it as a service manager does, and answers with the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.process.terminate().unwrap();
        self.process.wait_exit(within(30)).unwrap().code()
    }
}

/// Waits until the edge at `address` wants requests.
pub(crate) fn ready(process: &mut Process, address: SocketAddr) {
    let ready = until(within(30), || {
        let answer = Client::new(address).get("/readyz").ok()?;
        (answer.status() == 200).then_some(())
    });
    assert!(ready.is_some() && process.exited().is_none(), "{}", process.printed());
}

/// An order that can be placed.
pub(crate) fn order() -> Value {
    json!({"userId": "7", "items": [{"sku": "tea", "quantity": 2, "priceCents": "450"}], "note": "ring twice"})
}

/// Places an order and answers with its id.
pub(crate) fn place(edge: &mut Client) -> String {
    let answer = edge.post("/v1/orders", &order()).unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The head of a request that places an order, and half of its body: in flight until the other half is sent.
pub(crate) fn halves() -> (String, String) {
    let body = order().to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + first, second.to_owned())
}
