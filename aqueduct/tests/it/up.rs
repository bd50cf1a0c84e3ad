//! `aqueduct up`: the whole system, from the banner to the metrics.

use std::fs;
use std::process::Command;

use aqueduct_kit::Scratch;
use aqueduct_kit::process::within;
use serde_json::Value;

use crate::kit::{Up, aqueduct, place, run};

#[test]
fn it_tells_what_runs_where_and_its_lines_to_try_work() {
    let scratch = Scratch::new("banner");
    let up = Up::start(&scratch, &[]);
    up.process.wait_line("loses nothing", within(10)).unwrap();
    let printed = up.process.printed();
    let address = up.ports.edge.address();
    assert!(printed.contains(&format!("edge      http://{address}")), "{printed}");
    assert!(printed.contains(&format!("services  {}", up.ports.services.address())), "{printed}");
    assert!(printed.contains(&format!("admin     http://{}", up.ports.admin.address())), "{printed}");
    assert!(printed.contains(&format!("data      {}", scratch.path().join("data").display())), "{printed}");
    assert!(!printed.contains('\u{1b}'), "colours without a terminal: {printed}");

    let lines: Vec<_> = printed.lines().filter(|line| line.contains("curl -s")).collect();
    assert_eq!(lines.len(), 3, "{printed}");
    let output = Command::new("sh").args(["-c", &lines.join("\n")]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let [id, paid, read] = said.lines().collect::<Vec<_>>().try_into().unwrap();
    for answer in [paid, read] {
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!((&answer["id"], &answer["status"]), (&Value::from(id), &Value::from("PAID")));
    }
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn the_readmes_walk_through_works_as_it_is_written() {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let commands: String = blocks.filter(|block| block.contains("curl")).collect();
    let scratch = Scratch::new("readme");
    let up = Up::start(&scratch, &[]);
    let commands = commands
        .replace("127.0.0.1:8080", &up.ports.edge.address().to_string())
        .replace("127.0.0.1:9900", &up.ports.admin.address().to_string());
    let output = Command::new("sh").args(["-c", &format!("{commands}\nwait")]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for part in [
        r#""status":"SHIPPED","version":"3""#,
        r#""status":"COMPLETED","version":"4""#,
        r#"{"orders":[{"#,
        r#"{"code":9,"message":"#,
        r#"{"transferId":"rent-1","from":"1","to":"2","amountCents":"2500","status":"COMPLETED","createdAt":"#,
        r#"{"id":"2","balanceCents":"2500","version":"2"}"#,
        r#"{"status":"ok","#,
        r#""command":"up""#,
        r#"aqueduct_gateway_requests_total{method="shop.v1.OrderService/PayOrder",code="OK"} 1"#,
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // The watch, in the background, may begin late; but it ends with the last state: as the answers to `:complete`, to
    // the read and to the list do.
    assert_eq!(said.matches(r#""status":"COMPLETED","version":"4""#).count(), 4, "{said}");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let scratch = Scratch::new("restart");
    let up = Up::start(&scratch, &[]);
    let id = place(&mut up.edge());
    assert_eq!(up.stop(), Some(0));
    let up = Up::start(&scratch, &[]);
    let order = up.edge().get(&format!("/v1/orders/{id}")).unwrap().json();
    assert_eq!(order["totalCents"], "900");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn the_admin_server_shows_every_layer() {
    let scratch = Scratch::new("admin");
    let up = Up::start(&scratch, &["--access-log=access.log"]);
    let id = place(&mut up.edge());
    up.edge().get(&format!("/v1/orders/{id}")).unwrap();
    let mut admin = up.admin();
    let status = admin.get("/api/status").unwrap().json();
    assert_eq!(status["command"], "up");
    assert_eq!(status["edge"][0], up.ports.edge.address().to_string());
    assert_eq!(status["services"], up.ports.services.address().to_string());
    assert_eq!(status["data"], scratch.path().join("data").to_str().unwrap());
    let metrics = admin.get("/metrics").unwrap().text();
    for line in [
        "aqueduct_gateway_requests_total{method=\"shop.v1.OrderService/CreateOrder\",code=\"OK\"} 1\n",
        "aqueduct_runtime_threads{runtime=\"gateway-0\"} 1\n",
        "aqueduct_runtime_threads{runtime=\"services\"} ",
        "aqueduct_tasks{name=\"admin\"} 1\n",
        "process_cpu_seconds_total ",
        "aqueduct_access_log_lines_total ",
        "cache",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let healthz = up.edge().get("/healthz").unwrap();
    assert_eq!((healthz.status(), &healthz.json()["checks"]["store"]["ok"]), (200, &Value::from(true)));
    assert_eq!(healthz.json()["checks"].as_object().unwrap().len(), 2, "{}", healthz.text());

    let huge = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
    let mut client = up.admin();
    client.send(huge.as_bytes()).ok();
    // Closed, or told; in no case held in memory.
    assert!(client.read_response(false).map_or(true, |answer| answer.status() == 431));
    assert_eq!(up.stop(), Some(0));

    let log = fs::read_to_string(scratch.path().join("access.log")).unwrap();
    let first: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert!(first["path"].as_str().unwrap().starts_with('/'), "{log}");
    assert!(log.contains(r#""method":"POST","path":"/v1/orders","status":200"#), "{log}");
}

#[test]
fn the_log_can_be_for_machines() {
    let scratch = Scratch::new("json");
    let up = Up::start(&scratch, &["--log-format=json", "--log=info"]);
    up.process.wait_line("loses nothing", within(10)).unwrap();
    let printed = up.process.printed();
    let objects: Vec<Value> = printed
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(objects.iter().any(|object| object["level"] == "INFO"), "{printed}");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn help_shows_examples_and_the_version_is_told() {
    let scratch = Scratch::new("help");
    let version = run(scratch.path(), &["--version"]);
    assert_eq!(
        (version.code, version.stdout.trim()),
        (Some(0), concat!("aqueduct ", env!("CARGO_PKG_VERSION")))
    );
    for command in ["", "up", "gateway", "serve", "check"] {
        let args: Vec<_> = [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let help = run(scratch.path(), &args);
        assert_eq!(help.code, Some(0));
        assert!(help.stdout.contains("Examples:\n  aqueduct "), "{command}: {}", help.stdout);
    }
    let wrong = aqueduct(scratch.path()).arg("fly").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
