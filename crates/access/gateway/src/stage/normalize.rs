//! `normalize`: brings a request into one form, refuses what has none, and takes the trace context out of it. Nothing
//! that belongs to one hop, and nothing that only the gateway may say, gets past [`outbound`].

pub(crate) mod authority;
pub(crate) mod caller;
mod grpc_gateway;
mod path;

use std::borrow::Cow;

use aqueduct_runtime::context::Context;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

use crate::http2::Fields;
use crate::options::{Compat, Paths};
use crate::reject::Reject;
use crate::stage::Stage;

/// W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Who the client is by its certificate; only the gateway says so.
const CLIENT_IDENTITY: HeaderName = HeaderName::from_static("x-aqueduct-client-identity");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Checks method, authority and target, brings the path into one form, and answers with the context of this hop: a child of
/// the caller's span, or a new trace where the caller sent none (or nonsense, which the specification treats alike). What
/// HTTP/1 adds is checked by its codec.
pub(crate) fn normalize(head: &mut Parts, paths: Paths) -> Result<Context, Reject> {
    if head.version >= Version::HTTP_2 && !authority::agrees(head) {
        let message = "Host and :authority must be one valid host, the same where both are there";
        return Err(Reject::bad_request(Stage::Normalize, "host", message));
    }
    if head.method == Method::CONNECT {
        return Err(Reject::bad_request(Stage::Normalize, "connect", "CONNECT is not served here"));
    }
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Reject::bad_request(Stage::Normalize, "target", "only OPTIONS can be asked of *"));
    }
    normalize_path(head, paths)?;
    if has_any(&head.headers, &[TRACEPARENT, TRACESTATE]) {
        let parent = single(&head.headers, &TRACEPARENT)
            .and_then(|value| Context::parse_traceparent(value.as_bytes()).ok());
        if let Some(parent) = parent {
            return Ok(parent.child());
        }
        // Without a parent its state belongs to nobody.
        head.headers.remove(TRACESTATE);
    }
    Ok(Context::new_root(false))
}

/// Whether there is a header of one of these names, which nearly always there is not: to look at each costs less than to hash all
/// of the names.
pub(crate) fn has_any(headers: &HeaderMap, names: &[HeaderName]) -> bool {
    headers.keys().any(|there| names.contains(there))
}

/// The first header of this name. Where there are few, as in an upstream's answer, to look at each costs less than to hash the name.
pub(crate) fn find<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    const FEW: usize = 8;
    if headers.len() > FEW {
        return headers.get(name);
    }
    headers.iter().find(|(there, _)| *there == name).map(|(_, value)| value)
}

fn normalize_path(head: &mut Parts, paths: Paths) -> Result<(), Reject> {
    let refuse = |message| Reject::bad_request(Stage::Normalize, "path", message);
    let normal = match path::normalize(head.uri.path(), paths).map_err(refuse)? {
        Cow::Borrowed(_) => return Ok(()),
        Cow::Owned(normal) => normal,
    };
    let target = match head.uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{normal}?{query}")),
        None => PathAndQuery::try_from(normal),
    };
    let mut uri = std::mem::take(&mut head.uri).into_parts();
    uri.path_and_query = Some(target.map_err(|_| refuse("the path is not valid"))?);
    head.uri = Uri::from_parts(uri).map_err(|_| refuse("the path is not valid"))?;
    Ok(())
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// What an upstream call is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// An HTTP+JSON request.
    Transcoded,
    /// The same, by the conventions of grpc-gateway.
    Compat,
    /// A grpc-web call.
    GrpcWeb,
    /// A gRPC call, which passes through.
    Grpc,
}

impl Outbound {
    /// A call that is made from HTTP+JSON by these conventions.
    pub(crate) fn transcoded(compat: Compat) -> Self {
        match compat {
            Compat::Off => Outbound::Transcoded,
            Compat::GrpcGateway => Outbound::Compat,
        }
    }
}

/// Headers of a call that are the gateway's, about.
const OURS: usize = 8;

/// The headers of the upstream call: those of the client that may pass the trust boundary, then ours.
pub(crate) fn outbound(inbound: &HeaderMap, kind: Outbound, context: &Context) -> Fields {
    let mut out = Fields::with_capacity(inbound.len() + OURS);
    let named = ConnectionOptions::of(inbound);
    for (name, value) in inbound.iter().filter(|(name, _)| !named.contains(name)) {
        if kind == Outbound::Compat {
            grpc_gateway::append(&mut out, name, value);
        } else if passes(name, kind) {
            append(&mut out, name, value);
        }
    }
    match kind {
        Outbound::Grpc => {}
        Outbound::Transcoded | Outbound::Compat | Outbound::GrpcWeb => {
            out.insert(CONTENT_TYPE, crate::reject::APPLICATION_GRPC);
        }
    }
    out.insert(TE, HeaderValue::from_static("trailers"));
    if let Ok(mut traceparent) = HeaderValue::from_bytes(&context.traceparent()) {
        once(&mut traceparent);
        out.insert(TRACEPARENT, traceparent);
    }
    out
}

/// Tells the upstream who the client is by its certificate, which has been verified.
pub(crate) fn vouch(out: &mut Fields, identity: Option<&HeaderValue>) {
    if let Some(identity) = identity {
        out.insert(CLIENT_IDENTITY, identity.clone());
    }
}

/// Joined binary values go on one by one: gRPC allows the joined form, but not every server reads it.
fn append(out: &mut Fields, name: &HeaderName, value: &HeaderValue) {
    if !name.as_str().ends_with("-bin") || !value.as_bytes().contains(&b',') {
        out.append(name.clone(), value.clone());
        return;
    }
    for part in value.as_bytes().split(|byte| *byte == b',') {
        if let Ok(part) = HeaderValue::from_bytes(part.trim_ascii()) {
            out.append(name.clone(), part);
        }
    }
}

/// gRPC over HTTP/2, "Binary-Header": the values of metadata whose names end with `-bin` are base64. A server that cannot read
/// one ends the call, or the connection; here the client is told which.
pub(crate) fn check_binary(headers: &HeaderMap) -> Result<(), Reject> {
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().ends_with("-bin")) {
        // Several values may be joined by commas.
        let good = value.as_bytes().split(|byte| *byte == b',').all(|part| is_base64(part.trim_ascii()));
        if !good {
            let message = format!("the header {name} is binary metadata and must be base64");
            return Err(Reject::bad_request(Stage::Normalize, "binary_header", message));
        }
    }
    Ok(())
}

/// The standard alphabet, padded or not.
fn is_base64(text: &[u8]) -> bool {
    let digits = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    let padded = digits.len() != text.len();
    digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && digits.len() % 4 != 1
        && (!padded || text.len().is_multiple_of(4))
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
    let json = matches!(kind, Outbound::Transcoded | Outbound::Compat);
    match text.as_bytes().first() {
        Some(b'a') if kind != Outbound::Grpc => !text.starts_with("accept"),
        Some(b'c') if kind == Outbound::Grpc => *name != CONNECTION && *name != CONTENT_LENGTH,
        Some(b'c') => {
            *name != CONTENT_TYPE
                && *name != CONTENT_LENGTH
                && *name != CONNECTION
                && *name != CONTENT_ENCODING
        }
        Some(b'e') => *name != EXPECT,
        Some(b'f') => text != "forwarded",
        Some(b'g') if json => !text.starts_with("grpc-"),
        Some(b'h') => *name != HOST && text != "http2-settings",
        Some(b'k') => text != "keep-alive",
        Some(b'p') => !text.starts_with("proxy-"),
        Some(b't') => *name != TE && *name != TRAILER && *name != TRANSFER_ENCODING && *name != TRACEPARENT,
        Some(b'u') => *name != UPGRADE,
        Some(b'x') => {
            !(text.starts_with("x-forwarded-")
                || text == "x-real-ip"
                || text == "x-grpc-web"
                || (text.starts_with("x-aqueduct-") && text != "x-aqueduct-token"))
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
        Self { inbound, any: has_any(inbound, &[CONNECTION]) }
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
    fn neither_tunnels_nor_everything_is_served() {
        let served = |method: &str, uri: &str| {
            normalize(&mut head(|r| r.method(method).uri(uri)), Paths::default()).is_ok()
        };
        assert!(served("GET", "/") && served("OPTIONS", "*"));
        assert!(!served("CONNECT", "a:80") && !served("GET", "*"));
    }

    #[test]
    fn a_trace_goes_on_and_a_bad_one_starts_anew() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context =
            normalize(&mut head(|r| r.header("host", "a").header("traceparent", parent)), Paths::default())
                .unwrap();
        assert_eq!(context.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_ne!(context.span_id(), 0x00f0_67aa_0ba9_02b7);
        assert!(context.sampled());
        let mut bad =
            head(|r| r.header("host", "a").header("traceparent", "00-x").header("tracestate", "a=b"));
        assert!(normalize(&mut bad, Paths::default()).is_ok());
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
            ("x-aqueduct-client-identity", "spiffe://shop/admin"),
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
                outbound(&headers, kind, &context).iter().map(|(name, _)| name.as_str().to_owned()).collect();
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
        let out = outbound(&headers, Outbound::Transcoded, &context);
        assert!(out.iter().any(|(name, value)| *name == TE && value == "trailers"));
    }

    #[test]
    fn grpc_gateway_metadata_loses_its_prefix_and_gains_no_way_around_the_boundary() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("grpc-metadata-x-tenant", "7"),
            ("grpc-metadata-x-aqueduct-color", "blue"),
            ("grpc-metadata-x-aqueduct-client-identity", "spiffe://shop/admin"),
            ("grpc-metadata-grpc-timeout", "1S"),
            ("grpc-metadata-x-forwarded-for", "1.2.3.4"),
            ("grpc-metadata-connection", "close"),
            ("authorization", "Bearer x"),
            ("content-type", "application/json"),
            ("x-tenant", "8"),
            ("x-aqueduct-token", "t"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let out = outbound(&headers, Outbound::Compat, &Context::new_root(false));
        let mut lines: Vec<_> = out
            .iter()
            .filter(|(name, _)| *name != TRACEPARENT && *name != TE)
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        let expect = [
            "authorization: Bearer x",
            "content-type: application/grpc",
            "grpcgateway-authorization: Bearer x",
            "grpcgateway-content-type: application/json",
            "x-aqueduct-token: t",
            "x-tenant: 7",
        ];
        assert_eq!(lines, expect);
    }

    #[test]
    fn joined_binary_values_go_on_one_by_one() {
        let mut headers = HeaderMap::new();
        headers.insert("x-y-bin", HeaderValue::from_static("AA, AQ=="));
        let out = outbound(&headers, Outbound::Transcoded, &Context::new_root(false));
        let values = out.iter().filter(|(name, _)| *name == "x-y-bin").map(|(_, value)| value);
        assert_eq!(values.collect::<Vec<_>>(), ["AA", "AQ=="]);
    }

    #[test]
    fn binary_metadata_must_be_base64() {
        let check = |value: &'static str, good| {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("x-y-bin"), HeaderValue::from_static(value))]);
            assert_eq!(check_binary(&headers).is_ok(), good, "{value}");
        };
        for good in ["", "AA", "AAA", "AAAA", "AA==", "AAA=", "+/+/", "AA, AAAA"] {
            check(good, true);
        }
        for bad in ["A", "AA=", "AAAA=", "A===", "AA-_", "a b", "=", "AAAAA"] {
            check(bad, false);
        }
        assert!(check_binary(&HeaderMap::new()).is_ok());
    }
}
