//! `aqueduct serve --ids`: over gRPC's reflection as HTTP+JSON through a gateway, its refusals, and its end.

use std::collections::HashSet;
use std::fs;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Scratch};
use serde_json::{Value, json};

use crate::kit::{aqueduct, ready, run};

/// The ID service, and a gateway that has its descriptors by reflection.
struct Ids {
    service: Process,
    gateway: Process,
    services: Port,
    edge: Port,
}

fn serve(folder: &Scratch, services: &Port, more: &[&str]) -> Process {
    let mut command = aqueduct(folder.path());
    command.args(["serve", "--ids", "--data=data", &format!("--listen={}", services.address())]).args(more);
    let mut service = Process::start("ids", &mut command).unwrap();
    service.wait_port(services.address(), within(30)).unwrap();
    service
}

impl Ids {
    fn start(folder: &Scratch) -> Self {
        let (services, edge) = (Port::free(), Port::free());
        let service = serve(folder, &services, &["--worker=5"]);
        let config = format!(
            "listen: [{{ address: \"{}\" }}]\n\
             descriptors: [{{ reflection: ids }}]\n\
             upstreams: {{ ids: {{ endpoints: [\"{}\"] }} }}\n\
             routes: [{{ service: aqueduct.ids.v1.IdService, upstream: ids }}]\n",
            edge.address(),
            services.address()
        );
        fs::write(folder.path().join("ids.yaml"), config).unwrap();
        let mut command = aqueduct(folder.path());
        command.args(["gateway", "--config=ids.yaml", "--admin=off"]);
        let mut gateway = Process::start("gateway", &mut command).unwrap();
        gateway.wait_port(edge.address(), within(30)).unwrap();
        ready(&mut gateway, edge.address());
        Self { service, gateway, services, edge }
    }

    fn mint(&self, request: &Value) -> (u16, Value) {
        let answer = Client::new(self.edge.address()).post("/v1/ids:mint", request).unwrap();
        (answer.status(), answer.json())
    }
}

fn ids_of(answer: &Value) -> Vec<u64> {
    let ids = answer["ids"].as_array().unwrap().iter();
    ids.map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn batches_over_http_are_unique_over_a_kill_and_a_restart() {
    let scratch = Scratch::new("ids");
    let mut ids = Ids::start(&scratch);
    let mut all = HashSet::new();
    for round in 0..3 {
        let (status, answer) = ids.mint(&json!({"count": 10_000, "key": "42"}));
        assert_eq!(status, 200, "{answer}");
        let minted = ids_of(&answer);
        assert!(minted.len() == 10_000 && minted.is_sorted());
        assert!(minted.iter().all(|id| all.insert(*id)), "an id again, round {round}");
        ids.service.kill().unwrap();
        ids.service = serve(&scratch, &ids.services, &["--worker=5"]);
        // The gateway notices the service's return, and the service its own old mark.
        ready(&mut ids.gateway, ids.edge.address());
        let answered = aqueduct_kit::until(within(30), || (ids.mint(&json!({})).0 == 200).then_some(()));
        assert!(answered.is_some(), "{}", ids.service.printed());
    }

    let one = all.iter().next().unwrap();
    let answer = Client::new(ids.edge.address()).get(&format!("/v1/ids/{one}")).unwrap();
    assert_eq!((answer.status(), &answer.json()["worker"]), (200, &json!(5)), "{}", answer.text());
    for (request, expect) in [
        (json!({"count": 10_001}), "count is 10001: at most 10000"),
        (json!({"count": -1}), "count"),
        (json!({"route": {"shard": 4}}), "route.shard is 4: shards are 0 to 3"),
        (json!({"key": "1", "route": {}}), "oneof placement"),
    ] {
        let (status, answer) = ids.mint(&request);
        let message = answer["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(expect), "{request}: {answer}");
    }
    ids.service.terminate().unwrap();
    assert_eq!(ids.service.wait_exit(within(30)).unwrap().code(), Some(0));
}

#[test]
fn a_second_one_on_the_folder_or_another_worker_is_refused_in_one_line() {
    let scratch = Scratch::new("ids-twice");
    let (port, other) = (Port::free(), Port::free());
    let mut first = serve(&scratch, &port, &[]);
    let listen = format!("--listen={}", other.address());
    let again = |more: &[&str]| {
        let ended = run(scratch.path(), &[&["serve", "--ids", "--data=data", &listen], more].concat());
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        ended.reason().to_owned()
    };
    let reason = again(&[]);
    assert!(reason.contains("another process") && reason.contains("--data"), "{reason}");
    first.terminate().unwrap();
    assert_eq!(first.wait_exit(within(30)).unwrap().code(), Some(0));
    let reason = again(&["--worker=1"]);
    assert!(reason.contains("set the worker back to 0"), "{reason}");

    let ended = run(scratch.path(), &["serve", "--worker=1"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("--ids"), "{}", ended.stderr);
    let ended = run(scratch.path(), &["serve", "--ids", "--worker=128"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("0..=127"), "{}", ended.stderr);
}
