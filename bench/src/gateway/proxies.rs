//! The proxies under comparison: how each is started before the same backend, with one worker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use aqueduct_kit::process::within;
use aqueduct_kit::{Port, Process, Profile, Scratch, aqueduct};
use clap::ValueEnum;

use super::backend::Backend;
use super::handshakes::Certificate;
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
    /// HAProxy, which only passes bytes
    Haproxy,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aqueduct => "aqueduct",
            Self::Envoy => "envoy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
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
            Self::Nginx | Self::Haproxy => first_line(&program(self)?.to_string_lossy(), &["-v"]),
        })
    }

    pub(crate) fn find(self) -> Option<PathBuf> {
        match self {
            Self::Aqueduct => Some(aqueduct(Profile::Release).to_owned()),
            Self::Envoy => tools::envoy(),
            Self::Nginx | Self::Haproxy => tools::on_path(self.name()),
        }
    }

    /// Whether it makes gRPC of JSON; the others have a JSON backend instead.
    pub(crate) fn transcodes(self) -> bool {
        matches!(self, Self::Aqueduct | Self::Envoy)
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
    /// Where it takes HTTP/1.1 over TLS, if it can.
    pub(crate) tls: Option<SocketAddr>,
    process: Process,
    _ports: Ports,
}

/// The ports of one proxy.
#[derive(Debug)]
struct Ports {
    http: Port,
    /// For those whose `listen` speaks either HTTP/1.1 or HTTP/2.
    grpc: Port,
    tls: Port,
    admin: Port,
}

/// What all proxies are started with.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    /// The core that they have to themselves.
    pub(crate) core: Option<usize>,
    pub(crate) backend: &'a Backend,
    pub(crate) descriptors: PathBuf,
    pub(crate) certificate: &'a Certificate,
    pub(crate) scratch: &'a Scratch,
}

impl Proxy {
    /// Starts a proxy and waits until it listens.
    pub(crate) fn start(kind: Kind, setting: &Setting<'_>) -> Result<Self> {
        let ports = Ports { http: Port::free(), grpc: Port::free(), tls: Port::free(), admin: Port::free() };
        let program = program(kind)?;
        let mut tls = Some(ports.tls.address());
        let mut command = on_core(setting.core, &program);
        let write = |name: &str, template: &str| setting.scratch.write(name, setting.fill(template, &ports));
        match kind {
            Kind::Aqueduct => {
                let template = include_str!("aqueduct.yaml");
                let mut file = write("aqueduct.yaml", &template.replace("@TLS_LISTENER@", TLS_LISTENER));
                if !check(&program, &file) {
                    tls = None;
                    file = write("aqueduct.yaml", &template.replace("@TLS_LISTENER@", ""));
                }
                command.arg("gateway").arg("--config").arg(file);
            }
            Kind::Envoy => {
                command.arg("--config-path").arg(write("envoy.yaml", include_str!("envoy.yaml")));
                command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]);
            }
            Kind::Nginx => {
                command.arg("-c").arg(write("nginx.conf", include_str!("nginx.conf")));
                command.arg("-p").arg(setting.scratch.path()).args(["-e", "stderr"]);
            }
            Kind::Haproxy => {
                // In the foreground, one process.
                command.arg("-db").arg("-f").arg(write("haproxy.cfg", include_str!("haproxy.cfg")));
            }
        }
        let mut process =
            Process::start(kind.name(), &mut command).with_context(|| format!("start {}", kind.name()))?;
        let http = ports.http.address();
        process.wait_port(http, within(30))?;
        let grpc = if kind.transcodes() { http } else { ports.grpc.address() };
        Ok(Self { kind, http, grpc, tls, process, _ports: ports })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it as an operator would. A build that counts for a profile writes its counts then.
    pub(crate) fn end(mut self) -> Result<()> {
        self.process.terminate()?;
        self.process
            .wait_exit(within(30))
            .with_context(|| format!("wait for {} to end", self.kind.name()))?;
        Ok(())
    }
}

const TLS_LISTENER: &str =
    r#"  - { address: "127.0.0.1:@TLS@", tls: { certificates: [{ cert: "@CERT@", key: "@KEY@" }] } }"#;

/// Whether this build of the gateway knows all that stands in a file.
fn check(program: &Path, file: &Path) -> bool {
    Command::new(program).arg("check").arg(file).output().is_ok_and(|output| output.status.success())
}

fn program(kind: Kind) -> Result<PathBuf> {
    kind.find().with_context(|| format!("find {}", kind.name()))
}

/// `taskset` replaces itself by the program, so the pid stays the program's.
fn on_core(core: Option<usize>, program: &Path) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

impl Setting<'_> {
    fn fill(&self, template: &str, ports: &Ports) -> String {
        // Started by root, nginx would hand its worker to a user who may not read the scratch folder.
        let user = if first_line("id", &["-u"]) == "0" { "user root;" } else { "" };
        let path = |path: &Path| path.to_string_lossy().into_owned();
        template
            .replace("@PORT@", &ports.http.number().to_string())
            .replace("@SPARE@", &ports.grpc.number().to_string())
            .replace("@TLS@", &ports.tls.number().to_string())
            .replace("@ADMIN@", &ports.admin.number().to_string())
            .replace("@GRPC@", &self.backend.grpc.port().to_string())
            .replace("@HTTP@", &self.backend.http.port().to_string())
            .replace("@DESCRIPTORS@", &path(&self.descriptors))
            .replace("@CERT@", &path(&self.certificate.cert))
            .replace("@KEY@", &path(&self.certificate.key))
            .replace("@BOTH@", &path(&self.certificate.both))
            .replace("@FOLDER@", &path(self.scratch.path()))
            .replace("@USER@", user)
    }
}
