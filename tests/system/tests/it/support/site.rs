//! A place for one system: its ports, its data folder and how it is started. What runs there comes and goes; the place
//! stays, so that a restart finds everything where it was.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Profile, Scratch, aqueduct};

use crate::shop::Shop;

/// The last line of what `up` prints; everything listens when it is there.
const UP: &str = "Ctrl-C stops it";

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) scratch: Scratch,
    edge: Port,
    services: Port,
    admin: Port,
    config: Option<PathBuf>,
}

impl Site {
    pub(crate) fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        Self { scratch, edge: Port::free(), services: Port::free(), admin: Port::free(), config: None }
    }

    /// A site whose `up` reads this configuration; addresses and folder are given by flags all the same.
    pub(crate) fn with_config(name: &str, yaml: &str) -> Self {
        let mut site = Self::new(name);
        site.config = Some(site.scratch.write("system.yaml", yaml));
        site
    }

    /// Where clients connect.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.edge.address()
    }

    /// Where the services listen.
    pub(crate) fn services(&self) -> SocketAddr {
        self.services.address()
    }

    /// Where metrics are.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.address()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// `aqueduct up` on this site.
    pub(crate) fn command(&self) -> Command {
        self.command_on(&self.data())
    }

    /// `aqueduct up` on this site's ports, but another folder.
    pub(crate) fn command_on(&self, data: &Path) -> Command {
        let mut command = Command::new(binary());
        command.arg("up").arg("--data").arg(data);
        self.add_flags(&mut command);
        command
    }

    /// `aqueduct up` under a program that watches it.
    pub(crate) fn command_under(&self, program: &str, options: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(options).arg(binary()).arg("up").arg("--data").arg(self.data());
        self.add_flags(&mut command);
        command
    }

    fn add_flags(&self, command: &mut Command) {
        command.current_dir(self.scratch.path());
        for (flag, address) in
            [("--listen", self.edge()), ("--services", self.services()), ("--admin", self.admin())]
        {
            command.arg(flag).arg(address.to_string());
        }
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
    }

    /// Starts the system and waits until it says that it is up.
    pub(crate) fn up(&self) -> Process {
        start_up(&mut self.command())
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.edge())
    }

    pub(crate) fn shop(&self) -> Shop {
        Shop::new(self.edge())
    }

    /// The page of metrics.
    pub(crate) fn metrics(&self) -> String {
        let page = Client::new(self.admin()).get("/metrics").unwrap();
        assert_eq!(page.status(), 200);
        page.text()
    }
}

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    aqueduct(Profile::Debug)
}

/// Runs an `up` until it says that it is up.
pub(crate) fn start_up(command: &mut Command) -> Process {
    let process = Process::start("aqueduct up", command).unwrap();
    process.wait_line(UP, within(60)).unwrap();
    process
}

/// Runs a command that must fail by itself, and answers its exit code and everything that it printed.
pub(crate) fn fails(command: &mut Command) -> (Option<i32>, String) {
    let mut process = Process::start("aqueduct", command).unwrap();
    let (status, printed) = process.finish(within(60)).unwrap();
    assert!(!status.success(), "it went well: {printed}");
    (status.code(), printed)
}

/// Nothing that ran wrote of a panic.
pub(crate) fn no_panic(process: &Process) {
    let printed = process.printed();
    assert!(!printed.contains("panicked"), "{printed}");
}
