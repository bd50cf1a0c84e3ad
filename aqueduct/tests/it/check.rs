//! `aqueduct check`: what it says of good and of bad files, where it says it, and the exit code.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use aqueduct_kit::Scratch;
use aqueduct_shop::proto::DESCRIPTOR_SET;

use crate::kit::{aqueduct, run};

const SMALLEST: &str = r#"listen: [{ address: "127.0.0.1:8080" }]
descriptors: [{ file: shop.pb }]            # a FileDescriptorSet
upstreams: { orders: { endpoints: ["127.0.0.1:50051"] } }
routes: [{ service: shop.v1.OrderService, upstream: orders }]
"#;

fn scratch(text: &str) -> Scratch {
    let scratch = Scratch::new("check");
    fs::create_dir(scratch.path().join("etc")).unwrap();
    fs::write(scratch.path().join("etc/shop.pb"), DESCRIPTOR_SET).unwrap();
    fs::write(scratch.path().join("etc/c.yaml"), text).unwrap();
    scratch
}

#[test]
fn a_good_file_is_told_with_what_each_route_maps_to() {
    let ended = run(scratch(SMALLEST).path(), &["check", "etc/c.yaml"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let expect = "\
ok etc/c.yaml: a gateway
  listen    127.0.0.1:8080
  admin     127.0.0.1:9900
  upstream  orders → 127.0.0.1:50051
  route     POST   /v1/orders               → shop.v1.OrderService/CreateOrder
  route     GET    /v1/orders/{id}          → shop.v1.OrderService/GetOrder
  route     GET    /v1/orders               → shop.v1.OrderService/ListOrders
  route     POST   /v1/orders/{id}:pay      → shop.v1.OrderService/PayOrder
  route     POST   /v1/orders/{id}:ship     → shop.v1.OrderService/ShipOrder
  route     POST   /v1/orders/{id}:complete → shop.v1.OrderService/CompleteOrder
  route     GET    /v1/orders/{id}:watch    → shop.v1.OrderService/WatchOrder  stream
";
    assert_eq!(ended.stdout, expect);
}

#[test]
fn the_whole_systems_file_is_checked_too() {
    let ended = run(scratch("data: { dir: d }\nadmin: off\n").path(), &["check", "etc/c.yaml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let head: Vec<_> = ended.stdout.lines().take(5).collect();
    let expect = [
        "ok etc/c.yaml: the whole system",
        "  listen    127.0.0.1:8080",
        "  services  127.0.0.1:50051",
        "  admin     off",
        "  data      etc/d",
    ];
    assert_eq!(head, expect);
}

#[test]
fn a_bad_file_is_told_with_every_error_and_exits_with_1() {
    let bad = SMALLEST.replace("orders }]", "order }]").replace("shop.pb }]", "shop.pb, x: 1 }]");
    let ended = run(scratch(&bad).path(), &["check", "etc/c.yaml"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let expect = "\
etc/c.yaml:2:32: unknown key `x`; known here: file
etc/c.yaml:4:53: there is no upstream `order`; there are: orders
error: etc/c.yaml: 2 errors
";
    assert_eq!(ended.stderr, expect);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scratch = scratch(SMALLEST);
    let mut command = aqueduct(scratch.path());
    command.args(["check", "etc/c.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Closed before anything can be written: as by `| head -0`.
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
