//! `route`: which gRPC method a request is for, by its `google.api.http` binding or by its gRPC path.

pub(crate) mod auth;

use std::rc::Rc;

use aqueduct_transcode::{Code, Lookup, Match};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

use crate::body::Body;
use crate::cors;
use crate::edge::Edge;
use crate::grpc_web;
use crate::options::Compat;
use crate::probe;
use crate::reject::{Dialect, Reject};
use crate::routes::{MethodRoute, Routes, Unread};
use crate::stage::Stage;
use crate::stage::normalize;
use crate::stage::transcode::request::is_form;

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
    match normalize::find(&head.headers, &CONTENT_TYPE) {
        Some(value) if is_grpc(value) => Dialect::Grpc,
        Some(value) => grpc_web::Kind::of(value).map_or(Dialect::Json, Dialect::GrpcWeb),
        None => Dialect::Json,
    }
}

/// `application/grpc` and its `+proto` kin, but not `application/grpc-web`.
pub(crate) fn is_grpc(content_type: &HeaderValue) -> bool {
    grpc_web::after(content_type.as_bytes(), b"application/grpc")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+") || rest.starts_with(b";"))
}

/// Finds the method. Health probes go before every route.
pub(crate) fn route<'r>(
    edge: &Edge,
    routes: &'r Routes,
    head: &Parts,
    dialect: Dialect,
) -> Result<Routed<'r>, Reject> {
    if dialect != Dialect::Json {
        return grpc(routes, head, dialect);
    }
    if let Some(answer) = probe::answer(edge, head) {
        return Ok(Routed::Answered(answer));
    }
    if let Some(answer) = preflight(routes, head) {
        return Ok(Routed::Answered(answer));
    }
    if head.uri.path() == "*" {
        return Ok(Routed::Answered(options(EVERYWHERE)));
    }
    let lookup = find(routes, head);
    let known = matches!(lookup, Lookup::Found(_) | Lookup::BadPath);
    if let Some(unread) = routes.unread().first().filter(|_| !known) {
        return Err(not_read(unread));
    }
    match lookup {
        Lookup::Found(found) => {
            let method = routes.method_of(found.binding).ok_or_else(no_route)?;
            Ok(Routed::Transcoded(method, found))
        }
        Lookup::MethodNotAllowed { allow } if head.method == Method::OPTIONS => {
            Ok(Routed::Answered(options(&allow)))
        }
        Lookup::MethodNotAllowed { allow } => {
            let message = format!("{} is not allowed here; allowed: {allow}", head.method);
            Err(Reject::new(Stage::Route, "method", Code::Unimplemented, message)
                .with_http(StatusCode::METHOD_NOT_ALLOWED)
                .with_allow(&allow))
        }
        Lookup::NotFound => Err(no_route()),
        Lookup::BadPath => Err(Reject::bad_request(Stage::Route, "path", "the path is not valid")),
    }
}

/// The methods that routes may have. What `OPTIONS *` asks for is true of the server, not of each path (RFC 9110, section 9.3.7).
const EVERYWHERE: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

fn options(allow: &str) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allow) = HeaderValue::from_str(allow) {
        answer.headers_mut().insert(ALLOW, allow);
    }
    answer
}

/// The method that another HTTP method would reach by this path; one that other sites' pages may call, if there is one.
#[cold]
pub(crate) fn beside<'r>(routes: &'r Routes, head: &Parts) -> Option<&'r Rc<MethodRoute>> {
    let path = head.uri.path();
    let Lookup::MethodNotAllowed { allow } = routes.router().find(head.method.as_str(), path) else {
        return None;
    };
    allow.split(", ").find_map(|method| match routes.router().find(method, path) {
        Lookup::Found(found) => routes.method_of(found.binding).filter(|method| method.route.cors.is_some()),
        _ => None,
    })
}

#[cold]
fn no_route() -> Reject {
    Reject::new(Stage::Route, "no_route", Code::NotFound, "no route matches this path")
}

fn find<'r>(routes: &'r Routes, head: &Parts) -> Lookup<'r> {
    let router = routes.router();
    let path = head.uri.path();
    let form = routes.any_compat() && head.method == Method::POST && is_form(&head.headers);
    if form && let Some(found) = overridden(routes, head) {
        return Lookup::Found(found);
    }
    let lookup = router.find(head.method.as_str(), path);
    match lookup {
        // grpc-gateway takes a form for whatever method there is: parameters that are too long for a URL.
        Lookup::MethodNotAllowed { .. } if form => {
            let methods = ["GET", "PUT", "PATCH", "DELETE"];
            methods.into_iter().find_map(|method| compat(routes, method, path)).map_or(lookup, Lookup::Found)
        }
        lookup => lookup,
    }
}

/// grpc-gateway's `X-HTTP-Method-Override`, which counts for forms only.
fn overridden<'r>(routes: &'r Routes, head: &Parts) -> Option<Match<'r>> {
    let method = head.headers.get("x-http-method-override")?.to_str().ok()?.to_ascii_uppercase();
    compat(routes, &method, head.uri.path())
}

/// The binding, if its route follows grpc-gateway's conventions.
fn compat<'r>(routes: &'r Routes, method: &str, path: &str) -> Option<Match<'r>> {
    let Lookup::Found(found) = routes.router().find(method, path) else { return None };
    let route = &routes.method_of(found.binding)?.route;
    (route.compat == Compat::GrpcGateway).then_some(found)
}

/// Answers a browser that asks whether a page may send a request, where the route it would take has CORS.
fn preflight(routes: &Routes, head: &Parts) -> Option<Response<Body>> {
    let asked = cors::preflight_method(head)?;
    let path = head.uri.path();
    let method = match routes.router().find(asked.as_str(), path) {
        Lookup::Found(found) => routes.method_of(found.binding),
        // A grpc-web call.
        _ if asked == Method::POST => routes.method(path),
        _ => None,
    };
    Some(method?.route.cors.as_ref()?.preflight(head, &asked))
}

fn grpc<'r>(routes: &'r Routes, head: &Parts, dialect: Dialect) -> Result<Routed<'r>, Reject> {
    if dialect == Dialect::Grpc && head.version != Version::HTTP_2 {
        let message = "gRPC needs HTTP/2; over HTTP/1.1 send JSON or grpc-web";
        return Err(Reject::bad_request(Stage::Route, "grpc_version", message)
            .with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    if head.method != Method::POST {
        return Err(Reject::bad_request(Stage::Route, "method", "gRPC calls are POST requests"));
    }
    let path = head.uri.path();
    routes.method(path).map(Routed::Grpc).ok_or_else(|| {
        let service = path.strip_prefix('/').and_then(|path| Some(path.split_once('/')?.0));
        let unread = routes.unread().iter().find(|unread| service == Some(&unread.service));
        unread.map_or_else(unknown, not_read)
    })
}

#[cold]
fn unknown() -> Reject {
    Reject::new(Stage::Route, "no_route", Code::Unimplemented, "no route has this service or method")
}

/// What the upstream has not told yet may be what was asked for.
#[cold]
fn not_read(unread: &Unread) -> Reject {
    let message = format!("the descriptors of the upstream `{}` have not been read yet", unread.upstream);
    Reject::new(Stage::Route, "not_read", Code::Unavailable, message).with_retry_after(1)
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
            ("Application/gRPC", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("application/grpcx", false),
        ] {
            assert_eq!(is_grpc(&HeaderValue::from_static(value)), expect, "{value}");
        }
    }
}
