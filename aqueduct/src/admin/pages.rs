//! The pages of the admin server.

use std::net::SocketAddr;
use std::sync::Arc;

use aqueduct_runtime::clock;
use aqueduct_telemetry::health::{Health, Probe};
use aqueduct_telemetry::metrics::{Format, Registry};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use super::Facts;
use crate::process::Process;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// What the pages are made of.
#[derive(Debug)]
pub(super) struct Pages {
    registry: Arc<Registry>,
    health: Health,
    facts: Facts,
    admin: SocketAddr,
    started: Instant,
    started_ms: u64,
}

impl Pages {
    pub(super) fn new(process: &Process, facts: Facts, admin: SocketAddr) -> Self {
        Self {
            registry: Arc::clone(&process.registry),
            health: process.health.clone(),
            facts,
            admin,
            started: Instant::now(),
            started_ms: clock::now_unix_ms(),
        }
    }

    /// The answer to a request with this head. A body is not read.
    pub(super) fn answer(&self, head: &Parts) -> Response<Full<Bytes>> {
        if head.method != Method::GET && head.method != Method::HEAD {
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, 12, "only GET and HEAD here");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match head.uri.path() {
            "/" => respond(StatusCode::OK, HTML, self.home()),
            "/metrics" => self.metrics(head),
            "/api/status" => respond(StatusCode::OK, JSON, self.status().to_string()),
            "/api/config" => match &self.facts.config {
                Some(config) => respond(StatusCode::OK, JSON, config.show().to_string()),
                None => refusal(StatusCode::NOT_FOUND, 5, "this command has no configuration file"),
            },
            "/healthz" => probe(self.health.healthz()),
            "/livez" => probe(self.health.livez()),
            "/readyz" => probe(self.health.readyz()),
            "/startupz" => probe(self.health.startupz()),
            "/health" => probe(self.health.health(head.uri.query())),
            _ => refusal(StatusCode::NOT_FOUND, 5, "no such page; / links those there are"),
        }
    }

    fn metrics(&self, head: &Parts) -> Response<Full<Bytes>> {
        let accept = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Format::negotiate(accept);
        respond(StatusCode::OK, format.content_type(), self.registry.encode(format))
    }

    fn status(&self) -> serde_json::Value {
        let started_at = clock::rfc3339(self.started_ms);
        let Facts { command, edge, services, data, config: _ } = &self.facts;
        let edge = edge.as_ref().map(|gateway| gateway.addresses()).unwrap_or_default();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": command,
            "status": self.health.status().as_str(),
            "pid": std::process::id(),
            "startedAt": String::from_utf8_lossy(&started_at),
            "uptimeSeconds": self.started.elapsed().as_secs(),
            "edge": edge.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "services": services.map(|address| address.to_string()),
            "admin": self.admin.to_string(),
            "data": data.as_ref().map(|data| data.display().to_string()),
        })
    }

    fn home(&self) -> String {
        let config = self.facts.config.as_ref().map(|_| "/api/config");
        let links = ["/metrics", "/api/status", "/healthz", "/livez", "/readyz", "/startupz", "/health"];
        let links = links.into_iter().chain(config);
        let links: Vec<_> = links.map(|path| format!("<li><a href=\"{path}\">{path}</a></li>\n")).collect();
        let links = links.concat();
        let (version, status) = (env!("CARGO_PKG_VERSION"), self.health.status());
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>aqueduct</title>\n\
             <style>body {{ font: 1rem/1.6 system-ui, sans-serif; margin: 3rem auto; max-width: 40rem; \
             padding: 0 1rem; color-scheme: light dark; }}</style>\n\
             <h1>aqueduct {version}</h1>\n<p>{}: {status}</p>\n<ul>\n{links}</ul>\n</html>\n",
            self.facts.command
        )
    }
}

fn probe(Probe { status, body }: Probe) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, JSON, body)
}

/// Errors look as they do at the edge: `google.rpc.Status` in JSON.
fn refusal(status: StatusCode, code: u8, message: &str) -> Response<Full<Bytes>> {
    respond(status, JSON, json!({ "code": code, "message": message }).to_string())
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
