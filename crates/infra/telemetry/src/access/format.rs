//! How a line looks: JSON with every member there is, or a template of the operator's own.

use super::Entry;
use super::line;
use crate::json;
use aqueduct_runtime::clock;
use std::io::Write as _;

/// How a line looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON object with all that is known.
    #[default]
    Json,
    /// Text with values in it.
    Template(Template),
}

impl Format {
    /// Appends the line and its end.
    pub(super) fn render(&self, out: &mut Vec<u8>, entry: &Entry<'_>, now_unix_ms: u64) {
        match self {
            Format::Json => line::render(out, entry, now_unix_ms),
            Format::Template(template) => template.render(out, entry, now_unix_ms),
        }
    }
}

/// A line with `{names}` in it, such as `{client} {method} {path} {status} {duration}`. A brace itself is written twice. What is
/// not known is a `-`. Bytes that could end the line, drive a terminal or close a quote are written as `\xHH`.
///
/// ```
/// use aqueduct_telemetry::access::Template;
/// assert!(Template::parse("{client} \"{method} {path}\" {status}").is_ok());
/// assert!(Template::parse("{clinet}").unwrap_err().contains("known: "));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Name),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Time,
    Client,
    Method,
    Path,
    Route,
    Status,
    GrpcStatus,
    Duration,
    RequestBytes,
    ResponseBytes,
    Upstream,
    Reject,
    RequestId,
    TraceId,
}

const NAMES: [(&str, Name); 14] = [
    ("time", Name::Time),
    ("client", Name::Client),
    ("method", Name::Method),
    ("path", Name::Path),
    ("route", Name::Route),
    ("status", Name::Status),
    ("grpc_status", Name::GrpcStatus),
    ("duration", Name::Duration),
    ("request_bytes", Name::RequestBytes),
    ("response_bytes", Name::ResponseBytes),
    ("upstream", Name::Upstream),
    ("reject", Name::Reject),
    ("request_id", Name::RequestId),
    ("trace_id", Name::TraceId),
];

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it; of a name, which there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}', '\n', '\r']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(behind) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.extend(from.chars().next());
                rest = behind;
            } else if let Some((name, behind)) = from.strip_prefix('{').and_then(|it| it.split_once('}')) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Value(known(name)?));
                rest = behind;
            } else if from.starts_with(['\n', '\r']) {
                return Err("one request is one line: the template has a line end".to_owned());
            } else {
                return Err(format!(
                    "a brace without its other at `{from}`; a brace itself is written twice"
                ));
            }
        }
        plain.push_str(rest);
        plain.push('\n');
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    fn render(&self, out: &mut Vec<u8>, entry: &Entry<'_>, now_unix_ms: u64) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Value(name) => name.render(out, entry, now_unix_ms),
            }
        }
    }
}

fn known(name: &str) -> Result<Name, String> {
    let found = NAMES.iter().find(|(known, _)| *known == name);
    found.map(|(_, name)| *name).ok_or_else(|| {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
        format!("there is no `{{{name}}}`; known: {}", names.join(", "))
    })
}

impl Name {
    fn render(self, out: &mut Vec<u8>, entry: &Entry<'_>, now_unix_ms: u64) {
        match self {
            Name::Time => out.extend_from_slice(&clock::rfc3339(now_unix_ms)),
            Name::Client => match entry.client {
                Some(client) => line::address(out, client),
                None => out.push(b'-'),
            },
            Name::Method => text(out, Some(entry.method)),
            Name::Path => text(out, Some(entry.path)),
            Name::Route => text(out, entry.route),
            Name::Status => json::integer(out, entry.status),
            Name::GrpcStatus => match entry.grpc_status {
                Some(status) => json::integer(out, status),
                None => out.push(b'-'),
            },
            Name::Duration => {
                let (seconds, micros) = (entry.duration.as_secs(), entry.duration.subsec_micros());
                // Writing to a Vec cannot fail.
                drop(write!(out, "{seconds}.{micros:06}"));
            }
            Name::RequestBytes => json::integer(out, entry.request_bytes),
            Name::ResponseBytes => json::integer(out, entry.response_bytes),
            Name::Upstream => text(out, entry.upstream),
            Name::Reject => {
                text(out, entry.reject.map(|reject| reject.stage));
                if let Some(reject) = entry.reject {
                    out.push(b'/');
                    text(out, Some(reject.reason));
                }
            }
            Name::RequestId => text(out, entry.request_id),
            Name::TraceId => out.extend_from_slice(&entry.context.trace_id_hex()),
        }
    }
}

fn text(out: &mut Vec<u8>, value: Option<&str>) {
    for byte in value.unwrap_or("-").bytes() {
        if byte.is_ascii_control() || matches!(byte, b'"' | b'\\') {
            drop(write!(out, "\\x{byte:02X}"));
        } else {
            out.push(byte);
        }
    }
}
