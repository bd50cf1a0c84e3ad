//! The layers alone: a gateway in front of a `serve` in another process.

use std::fs;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Scratch, until};
use aqueduct_shop::proto::DESCRIPTOR_SET;

use crate::kit::{aqueduct, place, ready};

#[test]
fn a_gateway_and_services_meet_over_grpc() {
    let scratch = Scratch::new("layers");
    let (edge, services, admin) = (Port::free(), Port::free(), Port::free());
    fs::write(scratch.path().join("shop.pb"), DESCRIPTOR_SET).unwrap();
    let config = format!(
        "listen: [{{ address: \"{}\" }}]\nworkers: 2\ndescriptors: [{{ file: shop.pb }}]\n\
         upstreams: {{ orders: {{ endpoints: [\"{}\"] }} }}\n\
         routes: [{{ service: shop.v1.OrderService, upstream: orders }}]\nadmin: {{ address: \"{}\" }}\n",
        edge.address(),
        services.address(),
        admin.address(),
    );
    fs::write(scratch.path().join("gateway.yaml"), config).unwrap();

    let mut gateway =
        Process::start("gateway", aqueduct(scratch.path()).args(["gateway", "--config", "gateway.yaml"]))
            .unwrap();
    gateway.wait_port(edge.address(), within(30)).unwrap();
    // Nobody behind it yet: alive, not ready.
    let mut client = Client::new(edge.address());
    assert_eq!(client.get("/livez").unwrap().status(), 200);
    assert_eq!(client.get("/readyz").unwrap().status(), 503);

    let listen = services.address().to_string();
    let args = ["serve", "--data", "data", "--listen", &listen];
    let mut serve = Process::start("serve", aqueduct(scratch.path()).args(args)).unwrap();
    serve.wait_line("the services listen", within(30)).unwrap();
    ready(&mut gateway, edge.address());
    let id = place(&mut client);
    let checks = until(within(10), || {
        let checks = client.get("/healthz").ok()?.json()["checks"].clone();
        (checks["orders"]["ok"] == true && checks["store"]["ok"] == true).then_some(())
    });
    assert!(checks.is_some(), "{}", client.get("/healthz").unwrap().text());
    let status = Client::new(admin.address()).get("/api/status").unwrap().json();
    assert_eq!((&status["command"], &status["services"]), (&"gateway".into(), &serde_json::Value::Null));

    serve.terminate().unwrap();
    assert_eq!(serve.wait_exit(within(30)).unwrap().code(), Some(0));
    let answer = client.get(&format!("/v1/orders/{id}")).unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text());
    gateway.terminate().unwrap();
    assert_eq!(gateway.wait_exit(within(30)).unwrap().code(), Some(0));
}
