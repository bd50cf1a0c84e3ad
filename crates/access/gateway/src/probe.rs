//! The health probes: answered from what is in memory, before any route.

use aqueduct_telemetry::health::Probe;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use crate::body::Body;
use crate::edge::Edge;
use crate::reject::APPLICATION_JSON;

/// The answer, when the path is that of a probe.
pub(crate) fn answer(edge: &Edge, head: &Parts) -> Option<Response<Body>> {
    let options = edge.options();
    let probes = options.probes.as_ref()?;
    let health = &edge.shared.health;
    let path = head.uri.path();
    let probe = match path {
        _ if path == probes.healthz => health.healthz_outside(),
        _ if path == probes.livez => health.livez(),
        _ if path == probes.readyz => health.readyz(),
        _ if path == probes.startupz => health.startupz(),
        _ if path == probes.health => health.health(head.uri.query()),
        _ => return None,
    };
    Some(render(&head.method, probe))
}

fn render(method: &Method, probe: Probe) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if *method != Method::GET && *method != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    *response.status_mut() = StatusCode::from_u16(probe.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, APPLICATION_JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = Body::full(probe.body);
    response
}
