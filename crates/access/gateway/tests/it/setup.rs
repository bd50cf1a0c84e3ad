//! A gateway before a backend, and what a test asks it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aqueduct_gateway::{Descriptors, Gateway, Listen, Observers, Options, Probes, Route, Upstream};
use aqueduct_telemetry::access::AccessLog;
use aqueduct_telemetry::health::Health;
use aqueduct_telemetry::metrics::Registry;

use crate::backend::Backend;
use crate::http::Connection;

#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) gateway: Option<Gateway>,
    pub(crate) registry: Registry,
    pub(crate) health: Health,
    pub(crate) backend: Backend,
    pub(crate) address: SocketAddr,
}

pub(crate) fn descriptors() -> Vec<u8> {
    compile(str::to_owned)
}

/// The descriptors of `echo.proto` with a change.
pub(crate) fn compile(change: impl Fn(&str) -> String) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("echo.proto"), change(include_str!("echo.proto"))).unwrap();
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../proto");
    let types = concat!(env!("CARGO_MANIFEST_DIR"), "/../transcode/proto");
    let mut compiler = protox::Compiler::new([folder.path(), Path::new(proto), Path::new(types)]).unwrap();
    compiler.include_imports(true).open_file("echo.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

pub(crate) fn options(endpoints: Vec<String>) -> Options {
    let mut upstream = Upstream::new(endpoints);
    upstream.health = false;
    Options {
        listen: vec![Listen::plain(SocketAddr::from(([127, 0, 0, 1], 0)))],
        workers: 1,
        descriptors: vec![Descriptors::set("echo", descriptors())],
        upstreams: BTreeMap::from([("echo".into(), upstream)]),
        routes: vec![Route::new("test.v1.Echo", "echo")],
        probes: Some(Probes::default()),
        ..Options::default()
    }
}

impl Setup {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::observed(None, change)
    }

    /// With an access log.
    pub(crate) fn observed(access: Option<AccessLog>, change: impl FnOnce(&mut Options)) -> Self {
        let backend = Backend::start();
        let mut options = options(vec![backend.address.to_string()]);
        change(&mut options);
        let registry = Registry::new();
        let health = Health::new();
        health.set_started();
        let observers = Observers { registry: &registry, access, health: health.clone() };
        let gateway = Gateway::start(options, observers).unwrap();
        let address = gateway.addresses()[0];
        Self { gateway: Some(gateway), registry, health, backend, address }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// The value of a metric's line, 0 when there is none.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let page = self.registry.encode(aqueduct_telemetry::metrics::Format::Text);
        page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok()).unwrap_or_default()
    }

    /// The status and the content of `/healthz` as the admin server shows it.
    pub(crate) fn healthz(&self) -> (u16, String) {
        let probe = self.health.healthz();
        (probe.status, String::from_utf8(probe.body.to_vec()).unwrap())
    }

    pub(crate) fn drain(&mut self) -> usize {
        let gateway = self.gateway.take().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(gateway.drain()).left
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            // On a thread of its own, since some tests are asynchronous. What is in flight at the end of a test is of
            // no interest.
            let end = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let patience = Duration::from_millis(200);
                drop(runtime.block_on(async { tokio::time::timeout(patience, gateway.drain()).await }));
            };
            std::thread::spawn(end).join().unwrap_or_default();
        }
    }
}
