//! A running system takes up another configuration, or says why not.

use aqueduct_kit::process::within;
use aqueduct_kit::{Scratch, until};
use serde_json::json;

use crate::kit::{Up, place};

fn config(up: &Up) -> serde_json::Value {
    let page = up.admin().get("/api/config").unwrap();
    assert_eq!(page.status(), 200);
    page.json()
}

/// Waits for what came of the last reading, and answers the page.
fn wait_result(up: &Up, result: &str) -> serde_json::Value {
    let told = until(within(20), || Some(config(up)).filter(|page| page["lastReload"]["result"] == result));
    assert!(told.is_some(), "never {result}: {}", config(up));
    told.unwrap()
}

#[test]
fn a_changed_file_is_taken_up_as_a_whole_or_not_at_all() {
    let scratch = Scratch::new("reload");
    scratch.write("c.yaml", "gateway: { workers: 3 }\n");
    let mut up = Up::start(&scratch, &["--config=c.yaml"]);
    let mut edge = up.edge();
    place(&mut edge);
    let body = json!({ "userId": "1", "note": "x".repeat(100) });
    assert_eq!(edge.post("/v1/orders", &body).unwrap().status(), 400, "no items");

    scratch.write("c.yaml", "gateway: { limits: { body_bytes: 64 } }\ndata: { cache_bytes: 8MiB }\n");
    let page = wait_result(&up, "applied");
    assert_eq!(page["lastReload"]["askedBy"], "a change of the file");
    assert_eq!(page["needsRestart"], json!(["data"]));
    assert_eq!(page["config"]["gateway"]["limits"]["body_bytes"], 64);
    assert_eq!(edge.post("/v1/orders", &body).unwrap().status(), 413, "on the same connection");

    // Two things are wrong: both are told, at their places, and nothing changes.
    scratch.write("c.yaml", "gateway:\n  limits: { body_bytes: 1MB, headers: 0 }\n");
    up.process.hang_up().unwrap();
    let wrong = wait_result(&up, "invalid");
    let problems = wrong["lastReload"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{wrong}");
    assert_eq!((&problems[0]["line"], &problems[0]["column"]), (&json!(2), &json!(25)), "{wrong}");
    assert_eq!((&wrong["since"], &wrong["sha256"]), (&page["since"], &page["sha256"]));
    up.process.wait_line("c.yaml:2:25: ", within(10)).unwrap();
    up.process.wait_line("c.yaml:2:39: ", within(10)).unwrap();
    assert_eq!(edge.post("/v1/orders", &body).unwrap().status(), 413);

    std::fs::remove_file(scratch.join("c.yaml")).unwrap();
    wait_result(&up, "unreadable");
    scratch.write("c.yaml", "gateway: { workers: 1 }\n");
    let page = wait_result(&up, "applied");
    assert_eq!(page["needsRestart"], json!([]));
    assert_eq!(up.edge().post("/v1/orders", &body).unwrap().status(), 400);
    let metrics = up.admin().get("/metrics").unwrap().text();
    assert!(metrics.contains("\naqueduct_config_reloads_total{result=\"applied\"} 2\n"), "{metrics}");
    assert_eq!(up.stop(), Some(0));
}

/// Addresses are tried last, when the file itself is good.
#[test]
fn an_address_that_cannot_be_had_is_told_at_its_place() {
    let scratch = Scratch::new("reload-address");
    scratch.write("c.yaml", "gateway: {}\n");
    let ports = crate::kit::Ports::free();
    let (taken, edge) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), ports.edge.address());
    let text = |more: &str| format!("gateway:\n  listen: [{{ address: \"{edge}\" }}{more}]\n");
    scratch.write("c.yaml", text(""));
    let mut args = ports.up("data");
    args.retain(|arg| !arg.starts_with("--listen"));
    let mut command = crate::kit::aqueduct(scratch.path());
    let process = aqueduct_kit::Process::start("up", command.args(args).arg("--config=c.yaml")).unwrap();
    let up = Up { process, ports };
    up.process.wait_line("Ctrl-C stops it", within(60)).unwrap();
    let address = taken.local_addr().unwrap();
    scratch.write("c.yaml", text(&format!(", {{ address: \"{address}\" }}")));
    let wrong = wait_result(&up, "invalid");
    let problem = &wrong["lastReload"]["problems"][0];
    assert_eq!(
        (&problem["line"], &problem["path"]),
        (&json!(2), &json!("gateway.listen[1].address")),
        "{wrong}"
    );
    assert!(problem["message"].as_str().unwrap().contains(&address.to_string()), "{wrong}");
    assert_eq!(up.edge().get("/livez").unwrap().status(), 200);
    assert_eq!(up.stop(), Some(0));
}
