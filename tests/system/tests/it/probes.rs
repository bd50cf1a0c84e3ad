//! What probes and scrapes are told.

mod exposition;

use serde_json::Value;

use crate::shop::refused;
use crate::site::Site;

#[test]
fn probes_answer_on_the_edge_and_on_the_admin_port() {
    let site = Site::new("probes");
    let _process = site.up();
    for address in [site.edge(), site.admin()] {
        let mut client = aqueduct_kit::Client::new(address);
        for path in ["/healthz", "/livez", "/readyz", "/startupz"] {
            let answer = client.get(path).unwrap();
            assert_eq!(answer.status(), 200, "{path} of {address}: {}", answer.text());
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.json()["status"], "ok", "{path} of {address}");
        }
        let healthz = client.get("/healthz").unwrap().json();
        let checks = healthz["checks"].as_object().unwrap();
        assert_eq!(
            checks.keys().collect::<Vec<_>>(),
            ["saga", "store"],
            "one object per configured dependency"
        );
        assert_eq!(checks["store"]["ok"], true);
    }
}

#[test]
fn load_figures_are_fractions_and_can_be_chosen() {
    let site = Site::new("load");
    let _process = site.up();
    let mut client = site.client();
    let figures = client.get("/health?metrics=cpu,mem").unwrap().json();
    for name in ["cpu", "mem"] {
        let figure = figures[name].as_f64().unwrap_or(-1.0);
        assert!((0.0..=1.0).contains(&figure), "{name} in {figures}");
    }
    assert!(figures["latency_ms"].is_number(), "{figures}");
    assert_eq!(client.get("/health?metrics=mem").unwrap().json().get("cpu"), None);
    assert_eq!(client.get("/health?metrics=moon").unwrap().status(), 400);
}

#[test]
fn a_probe_path_takes_no_other_method_and_the_admin_server_no_other_path() {
    let site = Site::new("probe-method");
    let _process = site.up();
    let answer = site.client().request("POST", "/healthz", &[], b"").unwrap();
    assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET, HEAD")));
    let mut admin = aqueduct_kit::Client::new(site.admin());
    refused(&admin.get("/nowhere").unwrap(), 404, 5);
    assert_eq!(admin.request("DELETE", "/metrics", &[], b"").unwrap().status(), 405);
    let status = admin.get("/api/status").unwrap().json();
    assert_eq!(status["command"], "up");
    assert_eq!(status["edge"][0], Value::from(site.edge().to_string()));
}

/// The names that dashboards and alerts are built on.
const PROMISED: [(&str, &str); 17] = [
    ("aqueduct_gateway_requests_total", "counter"),
    ("aqueduct_gateway_request_duration_seconds", "histogram"),
    ("aqueduct_gateway_stage_duration_seconds", "histogram"),
    ("aqueduct_gateway_rejects_total", "counter"),
    ("aqueduct_gateway_requests_in_flight", "gauge"),
    ("aqueduct_upstream_connections_opened_total", "counter"),
    ("aqueduct_upstream_connections_reused_total", "counter"),
    ("aqueduct_shop_requests_total", "counter"),
    ("aqueduct_shop_request_duration_seconds", "histogram"),
    ("aqueduct_cache_reads_total", "counter"),
    ("aqueduct_cache_bytes", "gauge"),
    ("aqueduct_fsm_commits_total", "counter"),
    ("aqueduct_fsm_batch_size", "histogram"),
    ("aqueduct_fsm_sync_seconds", "histogram"),
    ("aqueduct_runtime_busy_seconds_total", "counter"),
    ("process_cpu_seconds_total", "counter"),
    ("process_resident_memory_bytes", "gauge"),
];

#[test]
fn metrics_have_the_promised_families_and_count_what_happened() {
    let site = Site::new("metrics");
    let _process = site.up();
    let mut shop = site.shop();
    let id = shop.create(1).id;
    for _ in 0..3 {
        shop.get(id);
    }
    shop.event(id, "pay", "");
    assert_eq!(shop.client.get("/nowhere").unwrap().status(), 404);
    assert_eq!(shop.try_event(id, "pay", "").unwrap().status(), 400);

    let page = exposition::parse(&site.metrics()).unwrap_or_else(|fault| panic!("{fault}"));
    for (family, kind) in PROMISED {
        assert_eq!(page.kind(family), Some(kind), "{family}");
    }
    let documented = include_str!("../../../../docs/operating.md");
    let text = site.metrics();
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        let name = family.strip_suffix("_total").unwrap_or(family);
        assert!(documented.contains(&format!("`{name}`")), "docs/operating.md does not tell what {name} is");
    }
    let counts = [
        ("aqueduct_gateway_requests_total", r#"method="shop.v1.OrderService/GetOrder",code="OK""#, 3.0),
        (
            "aqueduct_gateway_requests_total",
            r#"method="shop.v1.OrderService/PayOrder",code="FAILED_PRECONDITION""#,
            1.0,
        ),
        ("aqueduct_gateway_rejects_total", r#"stage="route",reason="no_route""#, 1.0),
        ("aqueduct_shop_requests_total", r#"method="PayOrder",code="OK""#, 1.0),
        ("aqueduct_fsm_changes_total", r#"kind="create""#, 1.0),
        ("aqueduct_fsm_changes_total", r#"kind="transition""#, 1.0),
        ("aqueduct_cache_reads_total", r#"answer="hit""#, 2.0),
        ("aqueduct_cache_reads_total", r#"answer="miss""#, 1.0),
        ("aqueduct_gateway_requests_in_flight", "", 0.0),
    ];
    for (name, labels, count) in counts {
        assert_eq!(page.value(name, labels), Some(count), "{name}{{{labels}}}");
    }
    let syncs = page.value("aqueduct_fsm_sync_seconds_count", "").unwrap();
    assert_eq!(Some(syncs), page.value("aqueduct_fsm_commits_total", ""));
}
