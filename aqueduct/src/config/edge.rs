//! The keys that a gateway has alone and in the whole system: where it listens, its bounds, its log.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aqueduct_gateway::{Limits, Listen, Options, Probes, Problem, Timeouts};
use aqueduct_telemetry::access::{Format, Target, Template};

use super::value::{Fields, Value};
use super::{limit, outside, tls};

/// One address of a mapping with that one key, as in messages.
pub(super) const ADDRESS: &str = r#"{ address: "127.0.0.1:8080" }"#;

const GIB: usize = 1 << 30;
/// No duration is longer.
const LONGEST: Duration = Duration::from_hours(720);

/// Where the access log goes and how much of it, as a file says it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AccessLogFile {
    /// `None` is off.
    pub(crate) target: Option<Target>,
    pub(crate) format: Format,
    /// The share of requests that is logged, 0 to 1.
    pub(crate) sample: f64,
}

impl Default for AccessLogFile {
    /// Off, and everything once it is on.
    fn default() -> Self {
        Self { target: None, format: Format::Json, sample: 1.0 }
    }
}

/// The listeners for which there is no place, since another part of the process listens there: `others` by what they are.
pub(super) fn overlaps(listen: &[Listen], others: &[(&str, Option<SocketAddr>)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, listen) in listen.iter().enumerate() {
        for (who, other) in others {
            let Some(other) = other.filter(|other| listen.overlaps(*other)) else { continue };
            let message = overlap("the edge", listen.address, who, other);
            problems.push(Problem { path: format!("listen[{index}].address"), message });
        }
    }
    problems
}

pub(super) fn overlap(what: &str, address: SocketAddr, who: &str, other: SocketAddr) -> String {
    format!("{what} cannot listen on {address}: {who} on {other}; choose another address for one of them")
}

/// Reads `listen`, `workers`, `limits`, `timeouts`, `probes`, what is believed of the outside, and the rate limits.
pub(super) fn read(fields: &mut Fields<'_>, options: &mut Options, base: &Path) {
    fields.set("listen", &mut options.listen, |value| Some(listen(value, base)));
    fields.set("workers", &mut options.workers, |value| value.integer(1..=1024));
    if let Some(mut section) = fields.get("limits").and_then(|value| value.fields("{ body_bytes: 4MiB }")) {
        limits(&mut section, &mut options.limits);
        section.finish();
    }
    if let Some(mut section) = fields.get("timeouts").and_then(|value| value.fields("{ request: 15s }")) {
        timeouts(&mut section, &mut options.timeouts);
        section.finish();
    }
    if let Some(value) = fields.get("probes") {
        options.probes = probes(&value);
    }
    outside::read(fields, options);
    limit::read(fields, options);
    fields.set("refusal_header", &mut options.refusal_header, Value::boolean);
}

fn listen(value: &Value<'_>, base: &Path) -> Vec<Listen> {
    value.items(&format!("[{ADDRESS}]")).iter().map(|item| listen_item(item, base)).collect()
}

/// One whose address is wrong keeps its place: the ones behind it keep their numbers.
fn listen_item(value: &Value<'_>, base: &Path) -> Listen {
    let mut listen = Listen::plain(SocketAddr::from(([0; 4], 0)));
    if let Some(mut fields) = value.fields(ADDRESS) {
        let address = fields.require("address").and_then(|value| value.parsed(address_text));
        listen.address = address.unwrap_or(listen.address);
        listen.tls = fields.get("tls").and_then(|value| tls::listen(&value, base));
        fields.finish();
    }
    listen
}

/// The address of `{ address: … }`.
pub(super) fn address_field(value: &Value<'_>) -> Option<SocketAddr> {
    let mut fields = value.fields(ADDRESS)?;
    let address = fields.require("address");
    fields.finish();
    address?.parsed(address_text)
}

/// `IP:PORT`.
pub(crate) fn address_text(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not IP:PORT, such as 127.0.0.1:8080 or [::1]:8080 (names are not looked up)")
    })
}

/// An address whose host may be a name.
pub(crate) fn host_and_port(text: &str) -> Result<String, String> {
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        !host.is_empty() && host.bytes().all(letters) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not HOST:PORT, such as 127.0.0.1:50061"))
    }
}

/// The address of the admin server, or `off`.
pub(super) fn admin(value: &Value<'_>, place: &mut Option<SocketAddr>) {
    if value.is_off() {
        *place = None;
    } else if let Some(address) = address_field(value) {
        *place = Some(address);
    }
}

fn limits(fields: &mut Fields<'_>, limits: &mut Limits) {
    fields.set("head_bytes", &mut limits.head_bytes, |value| value.bytes(8 << 10..=16 << 20));
    fields.set("headers", &mut limits.headers, |value| value.integer(1..=10_000));
    fields.set("body_bytes", &mut limits.body_bytes, |value| value.bytes(1..=GIB));
    fields.set("message_bytes", &mut limits.message_bytes, |value| value.bytes(1..=GIB));
    fields.set("nesting", &mut limits.nesting, |value| small(value, 1..=200));
    fields.set("elements", &mut limits.elements, |value| small(value, 1..=100_000_000));
    fields.set("requests", &mut limits.requests, |value| value.integer(1..=10_000_000));
    fields.set("connections", &mut limits.connections, |value| value.integer(1..=10_000_000));
    fields.set("connections_per_address", &mut limits.connections_per_address, |value| {
        value.integer(0..=10_000_000)
    });
    fields.set("handshakes", &mut limits.handshakes, |value| value.integer(1..=1_000_000));
    fields.set("streams", &mut limits.streams, |value| small(value, 1..=1_000_000));
}

pub(super) fn small(value: &Value<'_>, range: RangeInclusive<usize>) -> Option<u32> {
    value.integer(range).and_then(|number| u32::try_from(number).ok())
}

fn timeouts(fields: &mut Fields<'_>, timeouts: &mut Timeouts) {
    fields.set("request", &mut timeouts.request, positive);
    fields.set("max_request", &mut timeouts.max_request, positive);
    fields.set("head", &mut timeouts.head, positive);
    fields.set("body", &mut timeouts.body, positive);
    fields.set("write", &mut timeouts.write, positive);
    fields.set("idle", &mut timeouts.idle, positive);
    fields.set("keep_alive", &mut timeouts.keep_alive, positive);
    fields.set("drain", &mut timeouts.drain, |value| value.duration(Duration::ZERO..=LONGEST));
}

/// A duration that is not 0.
pub(super) fn positive(value: &Value<'_>) -> Option<Duration> {
    value.duration(Duration::from_millis(1)..=LONGEST)
}

fn probes(value: &Value<'_>) -> Option<Probes> {
    if value.is_off() {
        return None;
    }
    let mut probes = Probes::default();
    if let Some(mut fields) = value.fields("{ healthz: /healthz }") {
        fields.set("healthz", &mut probes.healthz, path);
        fields.set("livez", &mut probes.livez, path);
        fields.set("readyz", &mut probes.readyz, path);
        fields.set("startupz", &mut probes.startupz, path);
        fields.set("health", &mut probes.health, path);
        fields.finish();
    }
    Some(probes)
}

fn path(value: &Value<'_>) -> Option<String> {
    value.parsed(|text| {
        let good = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
        if good { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a path, such as /healthz")) }
    })
}

/// Reads `access_log`: `off`, or `{ file, format, sample }`.
pub(super) fn access_log(fields: &mut Fields<'_>, base: &Path) -> AccessLogFile {
    let mut log = AccessLogFile::default();
    let Some(value) = fields.get("access_log").filter(|value| !value.is_off()) else { return log };
    if let Some(mut fields) = value.fields("{ file: access.log, sample: 0.1 }") {
        let file = fields.require("file").and_then(|value| value.text());
        log.target = file.map(|file| access_target(file, base));
        fields.set("format", &mut log.format, |value| value.parsed(line_format));
        fields.set("sample", &mut log.sample, Value::fraction);
        fields.finish();
    }
    log
}

/// `json`, or a template.
fn line_format(text: &str) -> Result<Format, String> {
    if text == "json" { Ok(Format::Json) } else { Template::parse(text).map(Format::Template) }
}

/// `-` is standard output.
fn access_target(file: &str, base: &Path) -> Target {
    if file == "-" { Target::Stdout } else { Target::File(beside(base, file)) }
}

/// A path as the file means it.
pub(super) fn beside(base: &Path, path: &str) -> PathBuf {
    base.join(path)
}
