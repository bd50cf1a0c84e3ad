//! The proxies under comparison: how each is started before the same backend, with one worker.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use aqueduct_kit::process::within;
use aqueduct_kit::{Port, Process, Profile, Scratch, aqueduct};
use clap::ValueEnum;

use super::backend::Backend;
use super::fixture::Fixture;
use crate::machine::first_line;
use crate::tools;

/// A proxy that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// `aqueduct gateway`, which transcodes
    Aqueduct,
    /// Envoy with grpc_json_transcoder
    Envoy,
    /// nginx, which only passes bytes
    Nginx,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aqueduct => "aqueduct",
            Self::Envoy => "envoy",
            Self::Nginx => "nginx",
        }
    }

    /// The program's own word for its version.
    pub(crate) fn version(self) -> Result<String> {
        Ok(match self {
            Self::Aqueduct => first_line(&aqueduct(Profile::Release).to_string_lossy(), &["--version"]),
            // "PATH  version: HASH/1.40.0/Clean/RELEASE/BoringSSL"
            Self::Envoy => {
                let line = first_line(&program(self)?.to_string_lossy(), &["--version"]);
                line.split_once("version: ").map_or(line.clone(), |(_, version)| version.to_owned())
            }
            Self::Nginx => first_line(&program(self)?.to_string_lossy(), &["-v"]),
        })
    }

    pub(crate) fn find(self) -> Option<std::path::PathBuf> {
        match self {
            Self::Aqueduct => Some(aqueduct(Profile::Release).to_owned()),
            Self::Envoy => tools::envoy(),
            Self::Nginx => tools::on_path("nginx"),
        }
    }

    /// Whether it makes gRPC of JSON; nginx has a JSON backend instead.
    pub(crate) fn transcodes(self) -> bool {
        self != Self::Nginx
    }
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    /// Where it takes HTTP/1.1.
    pub(crate) http: SocketAddr,
    /// Where it takes gRPC.
    pub(crate) grpc: SocketAddr,
    process: Process,
    _ports: [Port; 2],
}

impl Proxy {
    /// Starts a proxy with its files in `scratch`, on core `core` alone if one is given, and waits until it listens.
    pub(crate) fn start(
        kind: Kind,
        core: Option<usize>,
        backend: &Backend,
        fixture: &Fixture,
        scratch: &Scratch,
    ) -> Result<Self> {
        let ports = [Port::free(), Port::free()];
        let http = ports[0].address();
        // The other is for nginx, whose `listen` speaks either HTTP/1.1 or HTTP/2, and for aqueduct's admin server.
        let spare = ports[1].address();
        let grpc = if kind == Kind::Nginx { spare } else { http };
        let descriptors = scratch.write("shop.pb", &fixture.descriptors);
        let fill = |template: &str| fill(template, [http, spare], backend, &descriptors, scratch);
        let program = program(kind)?;
        let mut command = on_core(core, &program);
        match kind {
            Kind::Aqueduct => {
                let file = scratch.write("aqueduct.yaml", fill(include_str!("aqueduct.yaml")));
                command.arg("gateway").arg("--config").arg(file);
            }
            Kind::Envoy => {
                let file = scratch.write("envoy.yaml", fill(include_str!("envoy.yaml")));
                command.arg("--config-path").arg(file).args(["--concurrency", "1", "--disable-hot-restart"]);
                command.args(["--log-level", "warn"]);
            }
            Kind::Nginx => {
                let file = scratch.write("nginx.conf", fill(include_str!("nginx.conf")));
                command.arg("-c").arg(file).arg("-p").arg(scratch.path()).args(["-e", "stderr"]);
            }
        }
        let mut process =
            Process::start(kind.name(), &mut command).with_context(|| format!("start {}", kind.name()))?;
        process.wait_port(http, within(30))?;
        Ok(Self { kind, http, grpc, process, _ports: ports })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

fn program(kind: Kind) -> Result<std::path::PathBuf> {
    kind.find().with_context(|| format!("find {}", kind.name()))
}

/// `taskset` replaces itself by the program, so the pid stays the program's.
fn on_core(core: Option<usize>, program: &Path) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

fn fill(
    template: &str,
    [http, spare]: [SocketAddr; 2],
    backend: &Backend,
    descriptors: &Path,
    scratch: &Scratch,
) -> String {
    // Started by root, nginx would hand its worker to a user who may not read the scratch folder.
    let user = if first_line("id", &["-u"]) == "0" { "user root;" } else { "" };
    template
        .replace("@PORT@", &http.port().to_string())
        .replace("@SPARE@", &spare.port().to_string())
        .replace("@GRPC@", &backend.grpc.port().to_string())
        .replace("@HTTP@", &backend.http.port().to_string())
        .replace("@DESCRIPTORS@", &descriptors.to_string_lossy())
        .replace("@FOLDER@", &scratch.path().to_string_lossy())
        .replace("@USER@", user)
}
