//! The state machine, the bodies, and the sampled figures.

use super::{Health, OnFailure, Probe, Status};
use crate::metrics::Total;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[track_caller]
fn check(health: &Health, status: Status, ready: u16) {
    assert_eq!(health.status(), status);
    for probe in [health.healthz(), health.readyz()] {
        assert_eq!(probe.status, ready);
        assert_eq!(body(&probe)["status"], status.as_str());
    }
    assert_eq!(health.livez().status, 200);
}

fn body(probe: &Probe) -> Value {
    serde_json::from_slice(&probe.body).unwrap()
}

#[test]
fn joins_strictly_and_stays_tolerantly() {
    let health = Health::new();
    let store = health.check("store", OnFailure::Unavailable);
    let bus = health.check("bus", OnFailure::Degraded);
    check(&health, Status::Starting, 503);
    store.ok("");
    bus.ok("");
    // All checks pass, but the process has not said that it is set up.
    check(&health, Status::Starting, 503);
    bus.failed("gone");
    health.set_started();
    // To join, the tolerable one counts as well.
    check(&health, Status::Starting, 503);
    assert_eq!(health.startupz().status, 503);
    bus.ok("");
    check(&health, Status::Ok, 200);

    bus.failed("gone");
    check(&health, Status::Degraded, 200);
    store.failed("disk full");
    check(&health, Status::Unavailable, 503);
    assert_eq!(health.startupz().status, 200);
    store.ok("");
    check(&health, Status::Degraded, 200);
    bus.ok("");
    check(&health, Status::Ok, 200);

    health.set_draining();
    check(&health, Status::Draining, 503);
    store.ok("");
    check(&health, Status::Draining, 503);
}

#[test]
fn without_checks_starting_is_enough() {
    let health = Health::default();
    check(&health, Status::Starting, 503);
    health.set_started();
    check(&health, Status::Ok, 200);
}

#[test]
fn a_check_of_the_same_name_is_the_same() {
    let health = Health::new();
    health.check("store", OnFailure::Unavailable).ok("");
    health.set_started();
    health.check("store", OnFailure::Unavailable).failed("gone");
    check(&health, Status::Unavailable, 503);
    assert_eq!(body(&health.healthz())["checks"].as_object().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_body_tells_what_and_since_when() {
    let health = Health::new();
    let store = health.check("store", OnFailure::Unavailable);
    health.check("re\"dis", OnFailure::Degraded);
    tokio::time::advance(Duration::from_millis(100)).await;
    store.ok("");
    tokio::time::advance(Duration::from_millis(30)).await;
    store.ok("3 segments");
    tokio::time::advance(Duration::from_millis(4)).await;
    let cdc = health.check("cdc", OnFailure::Degraded);
    cdc.lag(Some(Duration::from_millis(120)));
    let expect = json!({
        "status": "starting",
        "checks": {
            "store": { "ok": true, "detail": "3 segments", "since_ms": 34, "age_ms": 4 },
            "re\"dis": { "ok": false, "detail": "not reported yet", "since_ms": 134, "age_ms": 134 },
            "cdc": { "ok": false, "detail": "not reported yet", "lag_ms": 120, "since_ms": 0, "age_ms": 0 },
        }
    });
    assert_eq!(body(&health.healthz()), expect);
    let outside = json!({
        "status": "starting",
        "checks": {
            "store": { "ok": true, "since_ms": 34, "age_ms": 4 },
            "re\"dis": { "ok": false, "since_ms": 134, "age_ms": 134 },
            "cdc": { "ok": false, "lag_ms": 120, "since_ms": 0, "age_ms": 0 },
        }
    });
    assert_eq!(body(&health.healthz_outside()), outside);
    assert_eq!(health.livez().body, r#"{"status":"starting"}"#);
}

#[tokio::test]
async fn subscribers_hear_of_changes_only() {
    let health = Health::new();
    let mut status = health.subscribe();
    let bus = health.check("bus", OnFailure::Degraded);
    bus.ok("");
    assert!(!status.has_changed().unwrap());
    health.set_started();
    assert_eq!(*status.borrow_and_update(), Status::Ok);
    bus.ok("again");
    assert!(!status.has_changed().unwrap());
    bus.failed("");
    status.changed().await.unwrap();
    assert_eq!(*status.borrow(), Status::Degraded);
}

#[track_caller]
fn check_query(health: &Health, query: Option<&str>, status: u16, expect: &str) {
    let probe = health.health(query);
    assert_eq!((probe.status, str::from_utf8(&probe.body).unwrap()), (status, expect), "{query:?}");
}

#[test]
fn metrics_are_chosen_by_the_query() {
    let health = Health::new();
    let all = r#"{"cpu":0,"mem":0,"latency_ms":0}"#;
    check_query(&health, None, 200, all);
    check_query(&health, Some("other=1"), 200, all);
    check_query(&health, Some("metrics=cpu,mem"), 200, all);
    check_query(&health, Some("a=b&metrics=mem%2Ccpu"), 200, all);
    check_query(&health, Some("metrics=mem"), 200, r#"{"mem":0,"latency_ms":0}"#);
    check_query(&health, Some("metrics=latency_ms"), 200, r#"{"latency_ms":0}"#);
    let unknown =
        |name| format!(r#"{{"error":"unknown metric \"{name}\": there are cpu, mem and latency_ms"}}"#);
    check_query(&health, Some("metrics=cpu,disk"), 400, &unknown("disk"));
    check_query(&health, Some("metrics="), 400, &unknown(""));
}

#[tokio::test(start_paused = true)]
async fn figures_are_sampled_once_a_second() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("proc/stat", "cpu  0 0 0 1000 0 0 0 0\n");
    write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 22 kB\n");
    let health = Health::new();
    // One request of 42 ms a read, after 1000 fast ones that are older than the window.
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    health.watch_latency(move || {
        let read = counted.fetch_add(1, Relaxed);
        Total { count: 1000 + read, sum: Duration::from_millis(1000 + read * 42) }
    });
    let path = root.path().to_owned();
    let sampled = health.clone();
    let sampler = aqueduct_runtime::task::spawn("sampler", async move { sampled.sample_at(&path).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    check_query(&health, None, 200, r#"{"cpu":0,"mem":0.78,"latency_ms":0}"#);
    write("proc/stat", "cpu  62 0 0 1038 0 0 0 0\n");
    tokio::time::sleep(Duration::from_secs(1)).await;
    check_query(&health, None, 200, r#"{"cpu":0.62,"mem":0.78,"latency_ms":42}"#);
    // A machine that says nothing more keeps its last figures; the latency goes on.
    std::fs::remove_dir_all(root.path().join("proc")).unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    check_query(&health, Some("metrics=cpu,mem"), 200, r#"{"cpu":0.62,"mem":0.78,"latency_ms":42}"#);
    assert_eq!(reads.load(Relaxed), 22);
    sampler.abort();
}

#[tokio::test(start_paused = true)]
async fn the_latency_forgets_what_is_old() {
    let health = Health::new();
    let total = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&total);
    health.watch_latency(move || {
        let count = read.load(Relaxed);
        Total { count, sum: Duration::from_micros(1500) * u32::try_from(count).unwrap() }
    });
    let sampler = aqueduct_runtime::task::spawn("sampler", health.clone().sample());
    tokio::time::sleep(Duration::from_millis(10)).await;
    total.store(4, Relaxed);
    tokio::time::sleep(Duration::from_secs(9)).await;
    check_query(&health, Some("metrics=latency_ms"), 200, r#"{"latency_ms":1.5}"#);
    tokio::time::sleep(Duration::from_secs(2)).await;
    check_query(&health, Some("metrics=latency_ms"), 200, r#"{"latency_ms":0}"#);
    sampler.abort();
}

#[test]
fn a_check_that_is_removed_counts_no_more_and_a_late_one_counts_once_it_has_reported() {
    let health = Health::new();
    let first = health.check("first", OnFailure::Unavailable);
    first.ok("");
    health.set_started();
    let late = health.check("late", OnFailure::Unavailable);
    assert_eq!(health.status(), Status::Ok, "nobody has said that it fails");
    late.failed("down");
    assert_eq!(health.status(), Status::Unavailable);
    late.remove();
    assert_eq!(health.status(), Status::Ok);
    late.failed("still down");
    assert_eq!(health.status(), Status::Ok);
    first.failed("away");
    assert_eq!(health.status(), Status::Unavailable, "the others are who they were");
}
