//! A gateway's own file: what the services look like, where they run, which goes where, and the keys of `edge`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use aqueduct_gateway::{Descriptors, Options, Probes, Problem, Route, Upstream};

use super::auth;
use super::edge::{self, AccessLogFile, beside, positive};
use super::report::Problems;
use super::route;
use super::tls;
use super::value::{Fields, Value};
use super::{Source, read_at_most};

/// Keys that only a gateway's file has.
pub(super) const TELLING: [&str; 4] = ["listen", "descriptors", "upstreams", "routes"];

/// Where metrics and status are, unless the file says otherwise.
pub(crate) const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// Everything that `aqueduct gateway` is told.
#[derive(Debug)]
pub(crate) struct GatewayFile {
    pub(crate) options: Options,
    /// `None` is off.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) access_log: AccessLogFile,
}

impl GatewayFile {
    /// The addresses that are good by themselves, but not beside each other.
    pub(super) fn overlaps(&self) -> Vec<Problem> {
        edge::overlaps(&self.options.listen, &[("the admin server does", self.admin)])
    }
}

pub(super) fn read(mut fields: Fields<'_>, Source { base, problems }: Source<'_>) -> GatewayFile {
    let mut options = Options { probes: Some(Probes::default()), request_ids: true, ..Options::default() };
    edge::read(&mut fields, &mut options, base);
    auth::read(&mut fields, &mut options, base);
    fields.set("descriptors", &mut options.descriptors, |value| Some(descriptors(value, base)));
    fields.set("upstreams", &mut options.upstreams, |value| Some(upstreams(value, base)));
    fields.set("routes", &mut options.routes, |value| Some(routes(value)));
    let mut admin = Some(ADMIN);
    if let Some(value) = fields.get("admin") {
        edge::admin(&value, &mut admin);
    }
    let access_log = edge::access_log(&mut fields, base);
    fields.finish();
    if problems.any_in("descriptors") {
        // Without all of them nobody can say which services there are.
        options.descriptors.clear();
    }
    validate(&options, "", problems);
    GatewayFile { options, admin, access_log }
}

/// What only the gateway itself can judge, at the places where it is written. `section` is where its options stand.
pub(super) fn validate(options: &Options, section: &str, problems: &Problems) {
    for problem in options.validate() {
        let at_file = problem.path.starts_with("descriptors[") && problem.path.ends_with(']');
        let path = if at_file { format!("{}.file", problem.path) } else { problem.path };
        problems.add_later(format!("{section}{path}"), problem.message);
    }
}

fn descriptors(value: &Value<'_>, base: &Path) -> Vec<Descriptors> {
    value.items("[{ file: shop.pb }]").iter().filter_map(|item| source(item, base)).collect()
}

fn source(item: &Value<'_>, base: &Path) -> Option<Descriptors> {
    let mut fields = item.fields("{ file: shop.pb } or { reflection: orders }")?;
    let source = match (fields.has_any(&["file"]), fields.has_any(&["reflection"])) {
        (true, false) => fields.get("file").and_then(|file| descriptor_set(&file, base)),
        (false, true) => reflection(&mut fields),
        (file, _) => {
            let wrong = if file {
                "either `file` or `reflection`, not both"
            } else {
                "`file` or `reflection` is missing"
            };
            item.problem(wrong);
            // Known, so that only others are told as unknown.
            for name in ["file", "reflection", "every"] {
                fields.get(name);
            }
            None
        }
    };
    fields.finish();
    source
}

fn descriptor_set(file: &Value<'_>, base: &Path) -> Option<Descriptors> {
    let name = file.text()?.to_owned();
    let path = beside(base, &name);
    match read_at_most(&path, Descriptors::MAX_BYTES as u64) {
        Ok(Some(bytes)) => {
            // What came out of a pipe does not come again.
            let file = path.is_file().then_some(path);
            Some(Descriptors::Set { name, bytes: bytes.into(), file })
        }
        Ok(None) => {
            file.problem(format!("`{name}` is larger than {} MiB", Descriptors::MAX_BYTES >> 20));
            None
        }
        Err(error) => {
            file.problem(format!("cannot read `{name}`: {error}"));
            None
        }
    }
}

fn reflection(fields: &mut Fields<'_>) -> Option<Descriptors> {
    let mut source = Descriptors::reflection(fields.get("reflection")?.text()?);
    if let Descriptors::Reflection { every, .. } = &mut source {
        fields.set("every", every, positive);
    }
    Some(source)
}

fn upstreams(value: &Value<'_>, base: &Path) -> BTreeMap<String, Upstream> {
    let example = r#"{ orders: { endpoints: ["127.0.0.1:50051"] } }"#;
    let named = value.named(example).into_iter();
    named.map(|(name, value)| (name.to_owned(), upstream(&value, base))).collect()
}

fn upstream(value: &Value<'_>, base: &Path) -> Upstream {
    let mut upstream = Upstream::new(Vec::new());
    let Some(mut fields) = value.fields(r#"{ endpoints: ["127.0.0.1:50051"] }"#) else { return upstream };
    if let Some(value) = fields.require("endpoints") {
        let items = value.items(r#"["127.0.0.1:50051"]"#);
        upstream.endpoints = items.iter().map(|item| item.text().unwrap_or_default().to_owned()).collect();
    }
    upstream.tls = fields.get("tls").and_then(|value| tls::upstream(&value, base));
    fields.set("connect_timeout", &mut upstream.connect_timeout, positive);
    fields.set("idle_timeout", &mut upstream.idle_timeout, positive);
    fields.set("connections", &mut upstream.connections, |value| value.integer(1..=1_000));
    fields.set("health", &mut upstream.health, Value::boolean);
    if let Some(value) = fields.get("max_concurrency").filter(|value| !value.is_off()) {
        upstream.max_concurrency = value.integer(1..=10_000_000);
    }
    fields.set("max_queue", &mut upstream.max_queue, |value| value.integer(0..=1_000_000));
    fields.set("queue_timeout", &mut upstream.queue_timeout, positive);
    fields.finish();
    upstream
}

fn routes(value: &Value<'_>) -> Vec<Route> {
    value.items("[{ service: shop.v1.OrderService, upstream: orders }]").iter().map(route::read).collect()
}
