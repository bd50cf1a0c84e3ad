//! The layers as processes of their own: `aqueduct serve`, and `aqueduct gateway` with the smallest configuration in
//! front of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Scratch, binary::workspace, until};

use crate::http2::{call, id_message};
use crate::shop::{Shop, refused};
use crate::site::{binary, no_panic};

/// A gateway and a service that know of each other by a port alone.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) scratch: Scratch,
    pub(crate) edge: Port,
    services: Port,
    pub(crate) admin: Port,
    /// For another address of the edge.
    pub(crate) spare: Port,
    source: String,
}

impl Pair {
    pub(crate) fn new(name: &str) -> Self {
        Self::described(name, "file: shop.pb")
    }

    /// The gateway gets its descriptors there.
    fn described(name: &str, source: &str) -> Self {
        let scratch = Scratch::new(name);
        let (edge, services) = (Port::free(), Port::free());
        let (admin, spare, source) = (Port::free(), Port::free(), source.to_owned());
        let pair = Self { scratch, edge, services, admin, spare, source };
        pair.scratch.write("shop.pb", descriptors());
        pair.scratch.write("smallest.yaml", pair.yaml(""));
        pair
    }

    /// The smallest configuration, which listens elsewhere too.
    pub(crate) fn yaml(&self, more: &str) -> String {
        let (edge, services, source) = (self.edge.address(), self.services.address(), &self.source);
        format!(
            "listen: [{{ address: \"{edge}\" }}{more}]\n\
             descriptors: [{{ {source} }}]\n\
             upstreams: {{ orders: {{ endpoints: [\"{services}\"] }} }}\n\
             routes: [{{ service: shop.v1.OrderService, upstream: orders }}]\n"
        )
    }

    /// Where the service listens, or whoever is in its place.
    pub(crate) fn upstream(&self) -> SocketAddr {
        self.services.address()
    }

    pub(crate) fn serve(&self) -> Process {
        let mut command = Command::new(binary());
        command.args(["serve", "--data"]).arg(self.scratch.join("data"));
        command.arg("--listen").arg(self.services.address().to_string());
        let process = Process::start("aqueduct serve", &mut command).unwrap();
        process.wait_line("the services listen", within(60)).unwrap();
        process
    }

    /// The configuration has no place for the admin port's number, which must be free.
    pub(crate) fn gateway(&self) -> Process {
        self.gateway_called(binary())
    }

    /// Whose binary is started by this path.
    pub(crate) fn gateway_called(&self, path: &Path) -> Process {
        let mut command = Command::new(path);
        command.arg("gateway").arg("--config").arg(self.scratch.join("smallest.yaml"));
        command.arg("--admin").arg(self.admin.address().to_string());
        let process = Process::start("aqueduct gateway", &mut command).unwrap();
        process.wait_line("the gateway listens", within(60)).unwrap();
        process
    }

    fn ready(&self) -> u16 {
        Client::new(self.edge.address()).get("/readyz").unwrap().status()
    }

    pub(crate) fn wait_ready(&self, status: u16) {
        let found = until(within(60), || (self.ready() == status).then_some(()));
        assert!(found.is_some(), "/readyz is still {}", self.ready());
    }
}

/// The shop's descriptors, as `protoc --include_imports --descriptor_set_out` would write them.
fn descriptors() -> Vec<u8> {
    let mut compiler = protox::Compiler::new([workspace().join("proto")]).unwrap();
    compiler.include_imports(true).open_file("shop/v1/orders.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

#[test]
fn the_smallest_configuration_carries_orders() {
    let pair = Pair::new("alone");
    let service = pair.serve();
    let gateway = pair.gateway();
    pair.wait_ready(200);
    let mut shop = Shop::new(pair.edge.address());
    let id = shop.create(3).id;
    assert_eq!(shop.event(id, "pay", "e").version, 2);
    assert_eq!(shop.list(3, 10), [shop.get(id)]);
    let healthz = shop.client.get("/healthz").unwrap().json();
    assert_eq!(healthz["status"], "ok", "{healthz}");
    // The upstream itself, and what it reports of its own dependencies.
    let checks = healthz["checks"].as_object().unwrap();
    assert_eq!(checks.keys().collect::<Vec<_>>(), ["orders", "saga", "store"], "{healthz}");
    no_panic(&service);
    no_panic(&gateway);
}

/// A service tells of its dependencies by names that an upstream, or another service's dependency, may have too.
#[test]
fn an_upstream_that_is_called_as_what_it_depends_on_is_not_ready_when_it_is_gone() {
    let pair = Pair::new("called-store");
    let mut service = pair.serve();
    let alone = pair.yaml("").replace("orders", "store");
    let money = format!("upstreams: {{ money: {{ endpoints: [\"{}\"] }}, ", pair.upstream());
    let both = alone.replace("upstreams: { ", &money);
    for (yaml, expect) in [
        (both, &["money", "money/saga", "money/store", "saga", "store", "store/store"][..]),
        (alone, &["saga", "store", "store/store"]),
    ] {
        pair.scratch.write("smallest.yaml", yaml);
        let mut gateway = pair.gateway();
        pair.wait_ready(200);
        let mut names = Vec::new();
        let told = until(within(10), || {
            let healthz = Client::new(pair.edge.address()).get("/healthz").ok()?.json();
            names = healthz["checks"].as_object()?.keys().cloned().collect();
            (names.len() == expect.len()).then_some(())
        });
        assert!(told.is_some(), "{names:?}");
        // Which of the two was answered first has the name to itself.
        names.iter_mut().filter(|name| *name == "store/saga").for_each(|name| *name = "money/saga".into());
        names.sort();
        assert_eq!(names, expect);
        if expect.len() == 3 {
            service.kill().unwrap();
            pair.wait_ready(503);
        }
        no_panic(&gateway);
        gateway.kill().unwrap();
    }
}

#[test]
fn a_service_that_dies_is_503_until_it_is_back() {
    let pair = Pair::new("dies");
    let mut service = pair.serve();
    let gateway = pair.gateway();
    pair.wait_ready(200);
    let mut shop = Shop::new(pair.edge.address());
    let id = shop.create(3).id;
    for _ in 0..2 {
        service.kill().unwrap();
        let answer = shop.try_get(id).unwrap();
        refused(&answer, 503, 14);
        assert_eq!(answer.header("retry-after"), Some("1"));
        let livez = shop.client.get("/livez").unwrap();
        assert_eq!(livez.status(), 200, "the gateway itself lives");
        service = pair.serve();
        // No probe has to notice first: the next request connects.
        assert_eq!(shop.get(id).version, 1);
    }
    no_panic(&gateway);
}

#[test]
fn a_service_that_does_not_answer_is_504_at_the_deadline() {
    let pair = Pair::new("stuck");
    let mut service = pair.serve();
    let gateway = pair.gateway();
    pair.wait_ready(200);
    let mut shop = Shop::new(pair.edge.address());
    let path = format!("/v1/orders/{}", shop.create(3).id);
    service.pause().unwrap();
    for (name, value) in [("x-request-timeout", "100ms"), ("grpc-timeout", "100m")] {
        refused(&shop.client.request("GET", &path, &[(name, value)], b"").unwrap(), 504, 4);
    }
    service.resume().unwrap();
    assert_eq!(shop.client.get(&path).unwrap().status(), 200);
    no_panic(&gateway);
}

#[test]
fn a_gateway_before_its_service_becomes_ready_with_it() {
    let pair = Pair::new("before");
    let gateway = pair.gateway();
    assert_eq!(pair.ready(), 503, "joins strictly");
    let service = pair.serve();
    pair.wait_ready(200);
    no_panic(&gateway);
    no_panic(&service);
}

#[test]
fn the_service_itself_tells_what_it_looks_like() {
    let pair = Pair::described("reflection", "reflection: orders, every: 100ms");
    let check = Command::new(binary()).arg("check").arg(pair.scratch.join("smallest.yaml")).output().unwrap();
    let told = String::from_utf8(check.stdout).unwrap();
    assert!(
        check.status.success() && told.contains("shop.v1.OrderService → read from orders by reflection"),
        "{told}"
    );

    let gateway = pair.gateway();
    let mut shop = Shop::new(pair.edge.address());
    let early = shop.try_create(3).unwrap();
    refused(&early, 503, 14);
    assert_eq!(early.header("retry-after"), Some("1"));
    let message = early.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "the descriptors of the upstream `orders` have not been read yet");
    let get = "/shop.v1.OrderService/GetOrder";
    assert_eq!(call(pair.edge.address(), get, &id_message(1)).status, 14);
    assert_eq!(pair.ready(), 503);

    let mut service = pair.serve();
    pair.wait_ready(200);
    let id = shop.create(3).id;
    assert_eq!(call(pair.edge.address(), get, &id_message(id)).status, 0);
    let healthz = shop.client.get("/healthz").unwrap().json();
    let checks: Vec<_> = healthz["checks"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(checks, ["descriptors", "orders", "saga", "store"], "{healthz}");

    // What was told is remembered while nobody tells it.
    service.kill().unwrap();
    let away = shop.try_get(id).unwrap();
    refused(&away, 503, 14);
    assert!(away.json()["message"].as_str().unwrap().contains("cannot be reached"), "{}", away.json());
    // Why, is for those who may see the admin server.
    let inside = || Client::new(pair.admin.address()).get("/healthz").unwrap().json();
    let told = until(within(60), || {
        let checks = inside()["checks"]["descriptors"].clone();
        (checks["ok"] == true && checks["detail"].as_str()?.contains("cannot connect")).then_some(())
    });
    assert!(told.is_some(), "{}", inside());
    let again = pair.serve();
    assert_eq!(shop.get(id).version, 1);
    no_panic(&gateway);
    no_panic(&again);
}

#[test]
fn plain_grpc_passes_through_on_the_same_port() {
    let pair = Pair::new("grpc");
    let _service = pair.serve();
    let _gateway = pair.gateway();
    pair.wait_ready(200);
    let id = Shop::new(pair.edge.address()).create(3).id;
    let get = "/shop.v1.OrderService/GetOrder";
    let (through, direct) = (
        call(pair.edge.address(), get, &id_message(id)),
        call(pair.services.address(), get, &id_message(id)),
    );
    assert_eq!((through.status, direct.status), (0, 0));
    assert_eq!(through.messages, direct.messages, "byte for byte");
    assert!(through.messages[0].starts_with(&id_message(id)));
    assert_eq!(through.headers["content-type"], "application/grpc");

    let paid = call(pair.edge.address(), "/shop.v1.OrderService/PayOrder", &id_message(id));
    assert_eq!(paid.status, 0);
    let again = call(pair.edge.address(), "/shop.v1.OrderService/PayOrder", &id_message(id));
    assert_eq!((again.status, again.messages.len()), (9, 0), "FAILED_PRECONDITION");
    assert_eq!(call(pair.edge.address(), get, &id_message(1)).status, 5);
    assert_eq!(call(pair.edge.address(), "/shop.v1.OrderService/FlyOrder", b"").status, 12);
    assert_eq!(call(pair.edge.address(), "/grpc.health.v1.Health/Check", b"").status, 12, "not routed");
    assert_eq!(call(pair.services.address(), "/grpc.health.v1.Health/Check", b"").status, 0);

    // A stream has as many messages as there were changes.
    for event in ["ship", "complete"] {
        Shop::new(pair.edge.address()).event(id, event, "");
    }
    let watched = call(pair.edge.address(), "/shop.v1.OrderService/WatchOrder", &id_message(id));
    assert_eq!((watched.status, watched.messages.len()), (0, 1));
}

#[test]
fn both_stop_in_order() {
    let pair = Pair::new("stop");
    let mut service = pair.serve();
    let mut gateway = pair.gateway();
    pair.wait_ready(200);
    Shop::new(pair.edge.address()).create(3);
    for process in [&mut gateway, &mut service] {
        process.terminate().unwrap();
        let (status, printed) = process.finish(within(60)).unwrap();
        assert_eq!(status.code(), Some(0), "{printed}");
    }
}
