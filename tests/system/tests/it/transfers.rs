//! Money through the built binary: random transfers from many clients, kills in the middle, and the two participants in one
//! process or in two. At rest the sum is what it was, no balance is negative, and every transfer has ended once.

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Response, rounds, until};
use serde_json::{Value, json};

use crate::shop::{detail, refused};
use crate::site::{Site, binary, no_panic};

pub(crate) const ACCOUNTS: i64 = 12;
pub(crate) const OPENING: i64 = 1_000;
const CLIENTS: u64 = 8;

/// The numbers of one client: SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Between two accounts, one in a dozen of which does not exist, of an amount that is often too much.
    pub(crate) fn transfer(&mut self, id: &str) -> Value {
        let from = 1 + i64::try_from(self.below(13)).unwrap();
        let to = 1 + (from + i64::try_from(self.below(11)).unwrap()) % 13;
        let most = if self.below(4) == 0 { 3_000 } else { 100 };
        let cents = 1 + self.below(most);
        json!({"transferId": id, "from": from.to_string(), "to": to.to_string(), "amountCents": cents.to_string()})
    }
}

pub(crate) fn open_accounts(client: &mut Client) {
    for id in 1..=ACCOUNTS {
        let body = json!({"id": id.to_string(), "balanceCents": OPENING.to_string()});
        let answer = client.post("/v1/accounts", &body).unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
}

/// What is 0 is left out, as the protobuf JSON mapping says.
pub(crate) fn int64(json: &Value) -> i64 {
    if json.is_null() {
        return 0;
    }
    json.as_str().unwrap_or_else(|| panic!("{json} is no string")).parse().unwrap()
}

/// The balances, at rest.
pub(crate) fn balances(client: &mut Client) -> Vec<i64> {
    let balance = |id| {
        let account = client.get(&format!("/v1/accounts/{id}")).unwrap().json();
        assert_eq!(int64(&account["heldCents"]), 0, "{account}");
        int64(&account["balanceCents"])
    };
    (1..=ACCOUNTS).map(balance).collect()
}

pub(crate) fn check_sum(client: &mut Client) {
    let balances = balances(client);
    assert!(balances.iter().all(|balance| *balance >= 0), "{balances:?}");
    assert_eq!(balances.iter().sum::<i64>(), ACCOUNTS * OPENING, "{balances:?}");
}

pub(crate) fn post(client: &mut Client, transfer: &Value, prefer: &str) -> std::io::Result<Response> {
    let headers = [("content-type", "application/json"), ("prefer", prefer)];
    client.request("POST", "/v1/transfers", &headers, transfer.to_string().as_bytes())
}

/// The transfer once it has ended.
pub(crate) fn end_of(client: &mut Client, id: &str) -> Value {
    let ended = until(within(60), || {
        let answer =
            client.request("GET", &format!("/v1/transfers/{id}"), &[("prefer", "wait=5")], b"").unwrap();
        assert_eq!(answer.status(), 200, "{id} was acknowledged: {}", answer.text());
        let transfer = answer.json();
        (transfer["status"] != "PENDING").then_some(transfer)
    });
    let ended = ended.unwrap_or_else(|| panic!("{id} does not end"));
    assert!(["COMPLETED", "COMPENSATED"].contains(&ended["status"].as_str().unwrap()), "{ended}");
    ended
}

/// What the balances must be after transfers that ended so.
pub(crate) fn expected(ended: &[Value]) -> Vec<i64> {
    let mut balances = HashMap::new();
    for transfer in ended.iter().filter(|transfer| transfer["status"] == "COMPLETED") {
        *balances.entry(int64(&transfer["from"])).or_insert(0) -= int64(&transfer["amountCents"]);
        *balances.entry(int64(&transfer["to"])).or_insert(0) += int64(&transfer["amountCents"]);
    }
    (1..=ACCOUNTS).map(|id| OPENING + balances.get(&id).copied().unwrap_or(0)).collect()
}

#[test]
fn random_transfers_of_many_clients_lose_and_make_nothing() {
    let site = Site::new("transfers");
    let process = site.up();
    open_accounts(&mut site.client());
    for round in 0..rounds(2) {
        let client = |number: u64| {
            let mut random = Random(u64::from(round) << 32 | number);
            let mut client = site.client();
            let mut ended = Vec::new();
            for at in 0..40 {
                let id = format!("r{round}-c{number}-{at}");
                let prefer = if random.below(2) == 0 { "wait=10" } else { "respond-async" };
                let transfer = random.transfer(&id);
                let answer = post(&mut client, &transfer, prefer).unwrap();
                assert_eq!(answer.status(), 200, "seed {round}: {}", answer.text());
                if prefer == "wait=10" {
                    assert_eq!(answer.header("preference-applied"), Some("wait=10"));
                }
                ended.push(id);
            }
            ended.iter().map(|id| end_of(&mut client, id)).collect::<Vec<_>>()
        };
        let before = balances(&mut site.client());
        let ended: Vec<Value> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        let both = ["COMPLETED", "COMPENSATED"].map(|status| ended.iter().any(|it| it["status"] == status));
        assert_eq!(both, [true, true], "both ends are among them");
        let moved: Vec<i64> =
            expected(&ended).iter().zip(&before).map(|(now, before)| now - OPENING + before).collect();
        assert_eq!(balances(&mut site.client()), moved, "seed {round}");
        check_sum(&mut site.client());
    }
    no_panic(&process);
}

/// 64 transfers at once from account 1, each of a tenth of what it has. `send` brings one to its end.
pub(crate) fn race_of_64(send: impl Fn(usize, &Value) -> Value + Sync) {
    let race = |at: usize| {
        let to = (2 + at % 11).to_string();
        let transfer = json!({
            "transferId": format!("race-{at}"), "from": "1", "to": to, "amountCents": (OPENING / 10).to_string()
        });
        send(at, &transfer)["status"].clone()
    };
    let race = &race;
    let statuses: Vec<Value> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..64).map(|at| scope.spawn(move || race(at))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
    assert_eq!((count("COMPLETED"), count("COMPENSATED")), (10, 54));
}

#[test]
fn of_64_transfers_at_once_from_one_account_as_many_succeed_as_there_is_money_for() {
    let site = Site::new("transfer-race");
    let _process = site.up();
    open_accounts(&mut site.client());
    race_of_64(|_, transfer| {
        let answer = post(&mut site.client(), transfer, "wait=20").unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    });
    assert_eq!(balances(&mut site.client())[0], 0);
    check_sum(&mut site.client());
}

/// Clients that go on until they are told to stop, over kills. What was acknowledged is theirs to check.
struct Crowd<'a> {
    site: &'a Site,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Crowd<'_> {
    fn run(&self, round: u32, number: u64) -> Vec<String> {
        let mut random = Random(u64::from(round) << 40 | number << 20);
        let mut taken = Vec::new();
        let mut client = self.site.client();
        for at in 0_u64.. {
            if self.stop.load(SeqCst) {
                break;
            }
            let id = format!("k{round}-c{number}-{at}");
            let transfer = random.transfer(&id);
            // Refused connections and 503s are the kill's; the same is not sent again, so that nobody is helped by that.
            match post(&mut client, &transfer, if at % 2 == 0 { "wait=1" } else { "respond-async" }) {
                Ok(answer) if answer.status() == 200 => {
                    taken.push(id);
                    self.acknowledged.fetch_add(1, SeqCst);
                }
                Ok(answer) => {
                    assert!(answer.status() >= 500, "{}", answer.text());
                    self.wait_ready();
                }
                Err(_) => self.wait_ready(),
            }
        }
        taken
    }

    /// After a kill, until requests are wanted again.
    fn wait_ready(&self) {
        let ready = || self.site.client().get("/readyz").ok().filter(|answer| answer.status() == 200);
        assert!(until(within(60), ready).is_some(), "it does not come back");
    }

    fn wait_acknowledged(&self, more: usize) {
        let wanted = self.acknowledged.load(SeqCst) + more;
        let reached = until(within(60), || (self.acknowledged.load(SeqCst) >= wanted).then_some(()));
        assert!(reached.is_some(), "{} of {wanted} acknowledged", self.acknowledged.load(SeqCst));
    }
}

/// Runs a crowd while `faults` does what it does, and checks everything afterwards.
fn survive(site: &Site, round: u32, faults: impl FnOnce(&Crowd<'_>)) {
    let crowd = Crowd { site, stop: AtomicBool::new(false), acknowledged: AtomicUsize::new(0) };
    let taken: Vec<String> = std::thread::scope(|scope| {
        let crowd = &crowd;
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || crowd.run(round, number))).collect();
        faults(crowd);
        crowd.stop.store(true, SeqCst);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let mut client = site.client();
    for id in &taken {
        end_of(&mut client, id);
    }
    // Those that were taken and not acknowledged end too.
    let at_rest = until(within(60), || site.metrics().contains(OPEN_NONE).then_some(()));
    assert!(at_rest.is_some(), "{}", site.metrics());
    check_sum(&mut client);
    // What has ended stays as it is.
    let again: Vec<_> = taken.iter().take(50).map(|id| end_of(&mut client, id)).collect();
    assert_eq!(again, taken.iter().take(50).map(|id| end_of(&mut client, id)).collect::<Vec<_>>());
}

const OPEN_NONE: &str = "aqueduct_saga_oldest_seconds 0.0\n";

#[test]
fn no_transfer_is_lost_by_kill_9() {
    let site = Site::new("transfer-crash");
    let mut process = site.up();
    open_accounts(&mut site.client());
    for round in 0..rounds(2) {
        survive(&site, round, |crowd| {
            for kill in 0..2 {
                // Not always at the same point of a transfer's life.
                crowd.wait_acknowledged(40 + usize::try_from(round * 2 + kill).unwrap() * 17 % 60);
                process.kill().unwrap();
                no_panic(&process);
                process = site.up();
            }
            crowd.wait_acknowledged(20);
        });
    }
    no_panic(&process);
}

/// `serve --accounts b` beside the rest; each is killed in the middle.
#[test]
fn no_transfer_is_lost_by_kill_9_of_a_participant() {
    let port = Port::free();
    let address = port.address().to_string();
    let yaml = format!("shop:\n  accounts: {{ b: \"{address}\" }}\n");
    let site = Site::with_config("participant-crash", &yaml);
    let start = || {
        let mut command = Command::new(binary());
        command.current_dir(site.scratch.path());
        command.args(["serve", "--accounts", "b", "--data", "participant-b", "--listen", &address]);
        let process = Process::start("participant", &mut command).unwrap();
        process.wait_line("the accounts listen", within(60)).unwrap();
        process
    };
    let mut participant = start();
    let mut process = site.up();
    open_accounts(&mut site.client());
    survive(&site, 7, |crowd| {
        crowd.wait_acknowledged(40);
        participant.kill().unwrap();
        // Transfers are taken all the same.
        crowd.wait_acknowledged(20);
        let degraded = || site.client().get("/healthz").ok().filter(|it| it.json()["status"] == "degraded");
        let healthz = until(within(30), degraded).expect("degraded").json();
        assert_eq!(healthz["checks"]["accounts_b"]["ok"], false, "{healthz}");
        participant = start();
        crowd.wait_acknowledged(40);
        process.kill().unwrap();
        process = site.up();
        crowd.wait_acknowledged(20);
    });
    assert!(site.scratch.join("participant-b/store").exists() && !site.data().join("accounts-b").exists());
    participant.terminate().unwrap();
    assert_eq!(participant.wait_exit(within(30)).unwrap().code(), Some(0));
    no_panic(&process);
}

/// `serve` alone, which a gateway stands before: killed with transfers on their way.
#[test]
fn no_transfer_is_lost_by_kill_9_of_the_services_behind_a_gateway() {
    let site = Site::new("serve-crash");
    let services = site.services().to_string();
    site.scratch.write("shop.pb", descriptors());
    let route = |service: &str| format!("  - {{ service: shop.v1.{service}, upstream: shop }}\n");
    let routes: String = ["AccountService", "TransferService"].map(route).concat();
    let yaml = format!(
        "listen: [{{ address: \"{}\" }}]\ndescriptors: [{{ file: shop.pb }}]\n\
         upstreams: {{ shop: {{ endpoints: [\"{services}\"] }} }}\nroutes:\n{routes}",
        site.edge()
    );
    let config = site.scratch.write("gateway.yaml", yaml);
    let serve = || {
        let mut command = Command::new(binary());
        command.current_dir(site.scratch.path()).arg("serve").arg("--data").arg(site.data());
        command.args(["--listen", &services, "--admin", &site.admin().to_string()]);
        let process = Process::start("serve", &mut command).unwrap();
        process.wait_line("the services listen", within(60)).unwrap();
        process
    };
    let ready = || {
        let answer = until(within(30), || site.client().get("/readyz").ok().filter(|it| it.status() == 200));
        assert!(answer.is_some(), "the gateway does not find the services");
    };
    let mut process = serve();
    let mut gateway = Command::new(binary());
    gateway
        .current_dir(site.scratch.path())
        .arg("gateway")
        .arg("--config")
        .arg(config)
        .args(["--admin", "off"]);
    let mut gateway = Process::start("gateway", &mut gateway).unwrap();
    gateway.wait_port(site.edge(), within(30)).unwrap();
    ready();
    open_accounts(&mut site.client());
    survive(&site, 9, |crowd| {
        crowd.wait_acknowledged(50);
        process.kill().unwrap();
        process = serve();
        crowd.wait_acknowledged(20);
    });
    let checks = site.client().get("/healthz").unwrap().json()["checks"].clone();
    assert_eq!((&checks["store"]["ok"], &checks["saga"]["ok"]), (&json!(true), &json!(true)), "{checks}");
    no_panic(&process);
}

/// The shop's protocols as a gateway reads them.
fn descriptors() -> Vec<u8> {
    let mut compiler = protox::Compiler::new([aqueduct_kit::binary::workspace().join("proto")]).unwrap();
    compiler.include_imports(true).open_files(["shop/v1/accounts.proto", "shop/v1/transfers.proto"]).unwrap();
    compiler.encode_file_descriptor_set()
}

#[test]
fn what_is_wrong_is_told_over_http() {
    let site = Site::new("transfer-bad");
    let process = site.up();
    wrong_is_told(&site);
    no_panic(&process);
}

/// Everything that can be wrong with accounts and transfers, wherever they are.
pub(crate) fn wrong_is_told(site: &Site) {
    let mut client = site.client();
    open_accounts(&mut client);
    let transfer = |id: &str, from: &str, to: &str, cents: &str| json!({"transferId": id, "from": from, "to": to, "amountCents": cents});
    let invalid = [
        (transfer("t", "1", "2", "0"), "amountCents"),
        (transfer("t", "1", "2", "-5"), "amountCents"),
        (transfer("t", "1", "1", "5"), "to"),
        (transfer("t", "0", "1", "5"), "from"),
        (transfer("a b", "1", "2", "5"), "transferId"),
        (transfer(&"x".repeat(129), "1", "2", "5"), "transferId"),
    ];
    for (body, field) in invalid {
        let answer = client.post("/v1/transfers", &body).unwrap();
        let status = refused(&answer, 400, 3);
        assert_eq!(detail(&status, "BadRequest")["fieldViolations"][0]["field"], field, "{status}");
    }
    // Not an int64: the edge says so.
    refused(&client.post("/v1/transfers", &transfer("t", "1", "2", "9223372036854775808")).unwrap(), 400, 3);
    let negative = json!({"id": "77", "balanceCents": "-1"});
    let status = refused(&client.post("/v1/accounts", &negative).unwrap(), 400, 3);
    assert_eq!(detail(&status, "BadRequest")["fieldViolations"][0]["field"], "balanceCents");
    refused(&client.get("/v1/transfers/t").unwrap(), 404, 5);
    refused(&client.get("/v1/accounts/77").unwrap(), 404, 5);

    let first = post(&mut client, &transfer("a/b:c", "1", "2", "5"), "wait=10").unwrap();
    assert_eq!((first.status(), &first.json()["status"]), (200, &json!("COMPLETED")), "{}", first.text());
    assert_eq!(client.get("/v1/transfers/a%2Fb:c").unwrap().json(), first.json());
    let again = post(&mut client, &transfer("a/b:c", "1", "2", "5"), "wait=10").unwrap();
    assert_eq!(again.json(), first.json());
    let status = refused(&post(&mut client, &transfer("a/b:c", "1", "2", "6"), "wait=10").unwrap(), 409, 6);
    assert_eq!(detail(&status, "ResourceInfo")["resourceName"], "a/b:c");
    let other = json!({"id": "1", "balanceCents": "7"});
    refused(&client.post("/v1/accounts", &other).unwrap(), 409, 6);

    let brim = json!({"id": "500", "balanceCents": i64::MAX.to_string()});
    assert_eq!(client.post("/v1/accounts", &brim).unwrap().status(), 200);
    for (id, from, to, cents, reason) in [
        ("poor", "1", "2", "5000", "insufficient funds"),
        ("unknown", "999", "2", "5", "there is no account 999"),
        ("nobody", "1", "999", "5", "there is no account 999"),
        ("brim", "1", "500", "1", "more than an int64"),
    ] {
        let ended = post(&mut client, &transfer(id, from, to, cents), "wait=10").unwrap().json();
        assert_eq!(ended["status"], "COMPENSATED", "{ended}");
        assert!(ended["reason"].as_str().unwrap().contains(reason), "{ended}");
    }
    check_sum(&mut client);
    assert_eq!(client.get("/v1/accounts/500").unwrap().json()["balanceCents"], i64::MAX.to_string());
    let page = site.metrics();
    for line in ["aqueduct_saga_submitted_total 5\n", "aqueduct_saga_open{status=\"parked\"} 0\n"] {
        assert!(page.contains(line), "{line} in {page}");
    }
}

/// A wait is cut by the request's own limit, and answered all the same.
#[test]
fn a_wait_ends_before_the_deadline_of_the_request() {
    let port = Port::free();
    let silent = std::net::TcpListener::bind(port.address()).unwrap();
    let yaml = format!("shop:\n  accounts: {{ a: \"{0}\", b: \"{0}\" }}\n", port.address());
    let site = Site::with_config("transfer-wait", &yaml);
    let _process = site.up();
    let body = json!({"transferId": "t", "from": "1", "to": "2", "amountCents": "5"}).to_string();
    let headers =
        [("content-type", "application/json"), ("prefer", "wait=100"), ("x-request-timeout", "1.5")];
    let answer = site.client().request("POST", "/v1/transfers", &headers, body.as_bytes()).unwrap();
    assert_eq!((answer.status(), &answer.json()["status"]), (200, &json!("PENDING")), "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), Some("wait=100"));
    drop(silent);
}
