//! What each page answers, without a socket.

use std::path::Path;
use std::sync::Arc;

use aqueduct_telemetry::health::{Health, OnFailure};
use aqueduct_telemetry::metrics::Registry;
use http_body_util::BodyExt as _;
use hyper::Request;

use super::Facts;
use super::pages::Pages;
use crate::process::Process;
use crate::reload::Active;

fn process() -> Process {
    let process = Process { registry: Arc::new(Registry::new()), health: Health::new() };
    process.registry.collect_process();
    process
}

fn pages(process: &Process) -> Pages {
    let facts = Facts {
        command: "up",
        edge: None,
        services: None,
        data: Some("/srv/data".into()),
        config: Some(Active::new(
            Some(Path::new("gateway.yaml")),
            b"workers: 2\ntoken: abc\n".to_vec(),
            &process.registry,
        )),
    };
    Pages::new(process, facts, "127.0.0.1:9900".parse().unwrap())
}

/// Status, content type and body.
async fn ask(pages: &Pages, method: &str, path: &str, accept: &str) -> (u16, String, String) {
    let request = Request::builder().method(method).uri(path).header("accept", accept).body(()).unwrap();
    let answer = pages.answer(&request.into_parts().0);
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_home_page_links_pages_that_are_there() {
    let process = process();
    process.health.set_started();
    let pages = pages(&process);
    let (status, kind, home) = ask(&pages, "GET", "/", "").await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    let links: Vec<_> = home.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for link in ["/metrics", "/api/status", "/api/config"] {
        assert!(links.contains(&link), "{links:?}");
    }
    for link in links {
        assert_eq!(ask(&pages, "GET", link, "").await.0, 200, "{link}");
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let process = process();
    let pages = pages(&process);
    let (status, kind, text) = ask(&pages, "GET", "/metrics", "*/*").await;
    assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    let (_, kind, text) = ask(&pages, "GET", "/metrics", "application/openmetrics-text").await;
    assert!(kind.starts_with("application/openmetrics-text") && text.ends_with("# EOF\n"), "{kind} {text}");
}

#[tokio::test]
async fn the_status_tells_what_runs_where() {
    let process = process();
    process.health.set_started();
    let (status, kind, text) = ask(&pages(&process), "GET", "/api/status", "").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["command"], "up");
    assert_eq!(status["status"], "ok");
    assert_eq!(status["edge"], serde_json::json!([]));
    assert_eq!(status["services"], serde_json::Value::Null);
    assert_eq!(status["admin"], "127.0.0.1:9900");
    assert_eq!(status["data"], "/srv/data");
    assert_eq!(status["uptimeSeconds"], 0);
}

#[tokio::test]
async fn probes_follow_health() {
    let process = process();
    let store = process.health.check("store", OnFailure::Unavailable);
    process.health.set_started();
    let pages = pages(&process);
    assert_eq!(ask(&pages, "GET", "/readyz", "").await.0, 503);
    store.ok("");
    for path in ["/healthz", "/livez", "/readyz", "/startupz", "/health?metrics=cpu"] {
        assert_eq!(ask(&pages, "GET", path, "").await.0, 200, "{path}");
    }
    store.failed("disk full");
    let (status, _, body) = ask(&pages, "GET", "/healthz", "").await;
    assert!(status == 503 && body.contains("disk full"), "{status} {body}");
    assert_eq!(ask(&pages, "GET", "/livez", "").await.0, 200);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_json() {
    let process = process();
    let pages = pages(&process);
    for (method, path, status, code) in
        [("GET", "/nope", 404, 5), ("GET", "/metrics/", 404, 5), ("POST", "/metrics", 405, 12)]
    {
        let (found, kind, body) = ask(&pages, method, path, "").await;
        assert_eq!((found, kind.as_str()), (status, "application/json"), "{method} {path}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], code, "{method} {path}");
    }
    assert_eq!(ask(&pages, "HEAD", "/metrics", "").await.0, 200);
}

#[tokio::test]
async fn the_configuration_in_use_is_shown_without_its_secrets() {
    let process = process();
    let (status, kind, text) = ask(&pages(&process), "GET", "/api/config", "").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["file"], "gateway.yaml");
    assert_eq!(shown["config"], serde_json::json!({ "workers": 2, "token": "(redacted)" }));
    assert!(shown["lastReload"].is_null() && shown["since"].as_str().unwrap().ends_with('Z'), "{text}");
    // As `sha256sum` prints it.
    assert_eq!(shown["sha256"], "92b4c938c1495297b44f3ed652904a842c38652e23778e31b3f0c886e871ba4a");
}
