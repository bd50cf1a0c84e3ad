//! `aqueduct serve --ids --config`: worker numbers that are leased, seen through the ID service.

use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Profile, Scratch, aqueduct, until};
use serde_json::{Value, json};

use super::Store;

/// An ID service, and a gateway before it.
struct Served {
    service: Process,
    _gateway: Process,
    edge: Port,
    services: Port,
}

fn config(store: &Store, more: &str) -> String {
    match store {
        Store::Mysql(server) => {
            let port = server.port();
            let shards: Vec<_> = (0..4)
                .map(|shard| format!("{{ database: ids_{shard}, servers: [\"127.0.0.1:{port}\"] }}"))
                .collect();
            // The bus is needed by other commands that read the file.
            format!(
                "data:\n  mysql: {{ user: root, shards: [{}] }}\n  bus: {{ servers: [\"127.0.0.1:1\"] }}\n  ids: {{ term: 2s{more} }}\n",
                shards.join(", ")
            )
        }
        Store::Etcd(server) => {
            let address = server.address();
            format!("data:\n  ids: {{ etcd: {{ servers: [\"{address}\"] }}, term: 2s{more} }}\n")
        }
    }
}

fn service(scratch: &Scratch, services: &Port, config: &str) -> Process {
    let file = scratch.path().join(format!("{}.yaml", services.number()));
    fs::write(&file, config).unwrap();
    let mut command = Command::new(aqueduct(Profile::Debug));
    command.current_dir(scratch.path()).args(["serve", "--ids", &format!("--listen={}", services.address())]);
    Process::start("ids", command.arg("--config").arg(&file)).unwrap()
}

impl Served {
    fn start(scratch: &Scratch, config: &str) -> Self {
        let (services, edge) = (Port::free(), Port::free());
        let mut service = service(scratch, &services, config);
        service.wait_port(services.address(), within(60)).unwrap();
        let text = format!(
            "listen: [{{ address: \"{}\" }}]\ndescriptors: [{{ reflection: ids }}]\n\
             upstreams: {{ ids: {{ endpoints: [\"{}\"] }} }}\n\
             routes: [{{ service: aqueduct.ids.v1.IdService, upstream: ids }}]\n",
            edge.address(),
            services.address()
        );
        let file = scratch.path().join(format!("gateway-{}.yaml", edge.number()));
        fs::write(&file, text).unwrap();
        let mut command = Command::new(aqueduct(Profile::Debug));
        command.args(["gateway", "--admin=off", "--config"]).arg(&file);
        let mut gateway = Process::start("gateway", &mut command).unwrap();
        gateway.wait_port(edge.address(), within(60)).unwrap();
        Self { service, _gateway: gateway, edge, services }
    }

    fn mint(&self, count: u32) -> Option<Vec<u64>> {
        let answer = Client::new(self.edge.address()).post("/v1/ids:mint", &json!({"count": count})).ok()?;
        let ids = answer.json();
        ids["ids"].as_array()?.iter().map(|id| id.as_str()?.parse().ok()).collect()
    }

    /// Mints as soon as it can, and answers with the worker that is in the IDs.
    fn wait_minted(&self, all: &mut HashSet<u64>) -> u64 {
        let minted = until(within(60), || self.mint(100)).unwrap_or_default();
        assert_eq!(minted.len(), 100, "{}", self.service.printed());
        let answer = Client::new(self.edge.address()).get(&format!("/v1/ids/{}", minted[0])).unwrap();
        assert!(minted.into_iter().all(|id| all.insert(id)), "an id again");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let decoded: Value = answer.json();
        // What is 0 is left out.
        decoded["worker"].as_u64().unwrap_or(0)
    }
}

fn served(store: &Store, scratch: &Scratch) {
    let mut all = HashSet::new();
    let mut one = Served::start(scratch, &config(store, ""));
    let other = Served::start(scratch, &config(store, ""));
    let (first, second) = (one.wait_minted(&mut all), other.wait_minted(&mut all));
    assert_ne!(first, second);

    // A crash: another number, at once.
    one.service.kill().unwrap();
    one.service = service(scratch, &one.services, &config(store, ""));
    let third = one.wait_minted(&mut all);
    assert!(third != first && third != second, "{third}");

    // An end in order gives the number back.
    one.service.terminate().unwrap();
    assert_eq!(one.service.wait_exit(within(60)).unwrap().code(), Some(0));
    one.service = service(scratch, &one.services, &config(store, &format!(", worker: {third}")));
    assert_eq!(one.wait_minted(&mut all), third);

    // Paused until another one has its number: it ends, and says why.
    one.service.pause().unwrap();
    let thief = Served::start(scratch, &config(store, &format!(", worker: {third}")));
    assert_eq!(thief.wait_minted(&mut all), third);
    one.service.resume().unwrap();
    assert_eq!(one.service.wait_exit(within(60)).unwrap().code(), Some(1));
    let printed = one.service.printed();
    assert!(printed.contains(&format!("worker {third} was lost to ")), "{printed}");
    assert!(printed.contains("start again to take another lease"), "{printed}");
    // Whoever wants it meanwhile is told who has it.
    let mut refused = service(scratch, &one.services, &config(store, &format!(", worker: {third}")));
    let (status, printed) = refused.finish(Duration::from_mins(1)).unwrap();
    let expect = format!("worker {third} is held by ");
    assert!(status.code() == Some(1) && printed.contains(&expect), "{printed}");
}

#[test]
fn numbers_are_leased_in_mysql() {
    let scratch = Scratch::new("ids-served");
    let store = Store::mysql(&scratch);
    if let Store::Mysql(server) = &store {
        let all: Vec<_> = (0..4).map(|shard| format!("CREATE DATABASE ids_{shard}")).collect();
        server.sql(&all.join("; ")).unwrap();
    }
    served(&store, &scratch);
}

#[test]
fn numbers_are_leased_in_etcd() {
    let scratch = Scratch::new("ids-served");
    let store = Store::etcd(&scratch);
    served(&store, &scratch);
}
