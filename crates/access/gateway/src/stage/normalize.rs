//! `normalize`: brings a request into one form, refuses what has none, and takes the trace context out of it. Nothing
//! that belongs to one hop, and nothing that only the gateway may say, gets past [`outbound`].

use aqueduct_runtime::context::Context;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};

use crate::reject::Reject;
use crate::stage::Stage;

/// W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Checks the request line and `Host`, and answers with the context of this hop: a child of the caller's span, or a
/// new trace where the caller sent none (or nonsense, which the specification treats alike).
pub(crate) fn normalize(head: &mut Parts) -> Result<Context, Reject> {
    if head.version < Version::HTTP_2 {
        check_host(head)?;
    }
    if head.method == Method::CONNECT {
        return Err(Reject::bad_request(Stage::Normalize, "connect", "CONNECT is not served here"));
    }
    let parent = single(&head.headers, &TRACEPARENT)
        .and_then(|value| Context::parse_traceparent(value.as_bytes()).ok());
    if let Some(parent) = parent {
        return Ok(parent.child());
    }
    // Without a parent its state belongs to nobody.
    head.headers.remove(TRACESTATE);
    Ok(Context::new_root(false))
}

/// RFC 9112 section 3.2: exactly one `Host` in an HTTP/1.1 request.
fn check_host(head: &Parts) -> Result<(), Reject> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => Ok(()),
        (None, _) if head.version < Version::HTTP_11 => Ok(()),
        (None, _) => Err(Reject::bad_request(Stage::Normalize, "host", "the Host header is missing")),
        (Some(_), Some(_)) => {
            Err(Reject::bad_request(Stage::Normalize, "host", "there is more than one Host header"))
        }
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether an upstream call is made from JSON, or is a gRPC call that passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outbound {
    Transcoded,
    Grpc,
}

/// The headers of the upstream call: those of the client that may pass the trust boundary, then ours.
pub(crate) fn outbound(inbound: &HeaderMap, kind: Outbound, context: &Context) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(inbound.len() + 4);
    let named = ConnectionOptions::of(inbound);
    for (name, value) in inbound {
        if passes(name, kind) && !named.contains(name) {
            out.append(name, value.clone());
        }
    }
    if kind == Outbound::Transcoded {
        out.insert(CONTENT_TYPE, crate::reject::APPLICATION_GRPC);
    }
    out.insert(TE, HeaderValue::from_static("trailers"));
    if let Ok(mut traceparent) = HeaderValue::from_bytes(&context.traceparent()) {
        once(&mut traceparent);
        out.insert(TRACEPARENT, traceparent);
    }
    out
}

/// Marks a value that no other request will have. HPACK then leaves its table alone: an entry that is never found again
/// costs an insertion and an eviction on both sides, and pushes useful entries out.
pub(crate) fn once(value: &mut HeaderValue) {
    value.set_sensitive(true);
}

/// Whether a client's header goes on. A transcoded call loses what describes its JSON, and every `grpc-` header: those
/// are the gateway's to write there.
fn passes(name: &HeaderName, kind: Outbound) -> bool {
    let text = name.as_str();
    match text.as_bytes().first() {
        Some(b'a') if kind == Outbound::Transcoded => !text.starts_with("accept"),
        Some(b'c') if kind == Outbound::Transcoded => {
            *name != CONTENT_TYPE && *name != CONTENT_LENGTH && *name != CONNECTION
        }
        Some(b'c') => *name != CONNECTION && *name != CONTENT_LENGTH,
        Some(b'e') => *name != EXPECT,
        Some(b'f') => text != "forwarded",
        Some(b'g') if kind == Outbound::Transcoded => !text.starts_with("grpc-"),
        Some(b'h') => *name != HOST && text != "http2-settings",
        Some(b'k') => text != "keep-alive",
        Some(b'p') => !text.starts_with("proxy-"),
        Some(b't') => *name != TE && *name != TRAILER && *name != TRANSFER_ENCODING && *name != TRACEPARENT,
        Some(b'u') => *name != UPGRADE,
        Some(b'x') => {
            !(text.starts_with("x-forwarded-")
                || text == "x-real-ip"
                || text == "x-aqueduct-color"
                || text == "x-aqueduct-age-ms")
        }
        _ => true,
    }
}

/// The header names that `Connection` declares to be of this hop (RFC 9110 section 7.6.1).
struct ConnectionOptions<'a> {
    inbound: &'a HeaderMap,
    any: bool,
}

impl<'a> ConnectionOptions<'a> {
    fn of(inbound: &'a HeaderMap) -> Self {
        Self { inbound, any: inbound.contains_key(CONNECTION) }
    }

    fn contains(&self, name: &HeaderName) -> bool {
        self.any
            && self.inbound.get_all(CONNECTION).iter().any(|value| {
                value
                    .as_bytes()
                    .split(|byte| *byte == b',')
                    .any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::builder()).body(()).unwrap().into_parts().0
    }

    #[test]
    fn host_must_be_there_once() {
        assert!(normalize(&mut head(|r| r.header("host", "a"))).is_ok());
        assert!(normalize(&mut head(|r| r)).is_err());
        assert!(normalize(&mut head(|r| r.header("host", "a").header("host", "a"))).is_err());
        assert!(normalize(&mut head(|r| r.version(Version::HTTP_2))).is_ok());
        assert!(normalize(&mut head(|r| r.version(Version::HTTP_10))).is_ok());
        assert!(normalize(&mut head(|r| r.method("CONNECT").header("host", "a"))).is_err());
    }

    #[test]
    fn a_trace_goes_on_and_a_bad_one_starts_anew() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = normalize(&mut head(|r| r.header("host", "a").header("traceparent", parent))).unwrap();
        assert_eq!(context.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_ne!(context.span_id(), 0x00f0_67aa_0ba9_02b7);
        assert!(context.sampled());
        let mut bad =
            head(|r| r.header("host", "a").header("traceparent", "00-x").header("tracestate", "a=b"));
        assert!(normalize(&mut bad).is_ok());
        assert!(!bad.headers.contains_key("tracestate"));
    }

    #[test]
    fn only_what_may_pass_goes_upstream() {
        let inbound = [
            ("host", "a"),
            ("authorization", "Bearer x"),
            ("x-tenant", "7"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("proxy-authorization", "x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("grpc-timeout", "1S"),
            ("grpc-encoding", "gzip"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=x"),
            ("x-aqueduct-color", "blue"),
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("x-aqueduct-token", "t"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in inbound {
            headers.append(name, HeaderValue::from_static(value));
        }
        let context = Context::new_root(false);
        let names = |kind| {
            let mut names: Vec<_> =
                outbound(&headers, kind, &context).keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            names
        };
        let transcoded =
            ["authorization", "content-type", "te", "traceparent", "x-aqueduct-token", "x-tenant"];
        assert_eq!(names(Outbound::Transcoded), transcoded);
        let mut grpc: Vec<_> =
            transcoded.iter().copied().chain(["accept", "grpc-encoding", "grpc-timeout"]).collect();
        grpc.sort_unstable();
        assert_eq!(names(Outbound::Grpc), grpc);
        assert_eq!(outbound(&headers, Outbound::Transcoded, &context)["te"], "trailers");
    }
}
