//! `route`: which gRPC method a request is for, by its `google.api.http` binding or by its gRPC path.

use std::rc::Rc;

use aqueduct_transcode::{Code, Lookup, Match};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

use crate::body::Body;
use crate::edge::Edge;
use crate::probe;
use crate::reject::{Dialect, Reject};
use crate::routes::{MethodRoute, Routes};
use crate::stage::Stage;

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Routed<'r> {
    /// An HTTP+JSON request for a method.
    Transcoded(&'r Rc<MethodRoute>, Match<'r>),
    /// A gRPC call for a method.
    Grpc(&'r Rc<MethodRoute>),
    /// The gateway answers itself: a health probe, or OPTIONS.
    Answered(Response<Body>),
}

/// The language in which the client wants its answer, refusals included.
pub(crate) fn dialect(head: &Parts) -> Dialect {
    match head.headers.get(CONTENT_TYPE) {
        Some(value) if is_grpc(value) => Dialect::Grpc,
        _ => Dialect::Json,
    }
}

/// `application/grpc` and its `+proto` kin, but not `application/grpc-web`.
pub(crate) fn is_grpc(content_type: &HeaderValue) -> bool {
    match content_type.as_bytes().strip_prefix(b"application/grpc") {
        Some(rest) => rest.is_empty() || rest.starts_with(b"+") || rest.starts_with(b";"),
        None => false,
    }
}

/// Finds the method. Health probes go before every route.
pub(crate) fn route<'r>(
    edge: &Edge,
    routes: &'r Routes,
    head: &Parts,
    dialect: Dialect,
) -> Result<Routed<'r>, Reject> {
    let path = head.uri.path();
    if dialect == Dialect::Grpc {
        return grpc(routes, head, path);
    }
    if let Some(answer) = probe::answer(edge, head) {
        return Ok(Routed::Answered(answer));
    }
    let mut lookup = routes.router().find(head.method.as_str(), path);
    if head.method == Method::HEAD && matches!(lookup, Lookup::MethodNotAllowed { .. }) {
        // RFC 9110, section 9.3.2: HEAD answers as GET would.
        lookup = routes.router().find("GET", path);
    }
    match lookup {
        Lookup::Found(found) => {
            let Some(method) = routes.method(found.binding.grpc_path()) else {
                return Err(Reject::new(
                    Stage::Route,
                    "no_route",
                    Code::NotFound,
                    "no route matches this path",
                ));
            };
            if found.binding.client_streaming() {
                let message = format!("{} takes a stream, which is not transcoded", method.name);
                return Err(Reject::new(Stage::Route, "client_stream", Code::Unimplemented, message));
            }
            Ok(Routed::Transcoded(method, found))
        }
        Lookup::MethodNotAllowed { allow } if head.method == Method::OPTIONS => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            if let Ok(allow) = HeaderValue::from_str(&allow) {
                answer.headers_mut().insert(ALLOW, allow);
            }
            Ok(Routed::Answered(answer))
        }
        Lookup::MethodNotAllowed { allow } => {
            let message = format!("{} is not allowed here; allowed: {allow}", head.method);
            Err(Reject::new(Stage::Route, "method", Code::Unimplemented, message)
                .with_http(StatusCode::METHOD_NOT_ALLOWED)
                .with_allow(&allow))
        }
        Lookup::NotFound => {
            Err(Reject::new(Stage::Route, "no_route", Code::NotFound, "no route matches this path"))
        }
        Lookup::BadPath => Err(Reject::bad_request(Stage::Route, "path", "the path is not valid")),
    }
}

fn grpc<'r>(routes: &'r Routes, head: &Parts, path: &str) -> Result<Routed<'r>, Reject> {
    if head.version != Version::HTTP_2 {
        let message = "gRPC needs HTTP/2; over HTTP/1.1 send JSON";
        return Err(Reject::bad_request(Stage::Route, "grpc_version", message)
            .with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    if head.method != Method::POST {
        return Err(Reject::bad_request(Stage::Route, "method", "gRPC calls are POST requests"));
    }
    routes.method(path).map(Routed::Grpc).ok_or_else(|| {
        Reject::new(Stage::Route, "no_route", Code::Unimplemented, "no route has this service or method")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_is_grpc() {
        for (value, expect) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("application/grpcx", false),
        ] {
            assert_eq!(is_grpc(&HeaderValue::from_static(value)), expect, "{value}");
        }
    }
}
