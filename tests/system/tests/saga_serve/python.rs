//! The worked example in Python: transfers between two banks that are processes of their own, which are killed at calls, as the coordinator
//! is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Scratch, binary, until};
use aqueduct_sim::random::Random;
use tokio::time::Instant;

use crate::calls::Call;
use crate::check::Story;
use crate::coordinator::{Coordinator, FAST};
use crate::faults::Script;
use crate::ledger::FIRST;
use crate::plans::{Kind, Plan, Step};
use crate::world::{Books, World};

const TRANSFERS: u64 = 12;

/// Two banks; `a` has the account that pays.
struct Banks {
    both: [Bank; 2],
    random: Random,
    /// So many kills are left.
    kills: Mutex<u32>,
}

/// A bank, which is there but while it is being started again.
struct Bank {
    port: Port,
    /// `None` once the test is over.
    process: Mutex<Option<Process>>,
    data: PathBuf,
}

impl Bank {
    fn start(data: PathBuf) -> Self {
        let port = Port::free();
        let process = Mutex::new(Some(Self::process(&data, &port)));
        Self { port, process, data }
    }

    fn process(data: &Path, port: &Port) -> Process {
        let mut command = Command::new("python3");
        command.arg(binary::workspace().join("docs/examples/saga_participant.py"));
        command.args(["--listen", &port.address().to_string(), "--data"]).arg(data);
        command.args(["--open", &format!("lender={FIRST}"), "--open", "spender=0"]);
        let mut process = Process::start("bank", &mut command).unwrap();
        process.wait_port(port.address(), within(30)).unwrap();
        process
    }

    /// kill -9, and a new process on the same file.
    fn kill(&self) {
        let mut slot = self.process.lock().unwrap();
        if let Some(process) = slot.as_mut() {
            process.kill().unwrap();
            *process = Self::process(&self.data, &self.port);
        }
    }

    fn balance(&self, account: &str) -> i64 {
        let answer = Client::new(self.port.address()).get(&format!("/accounts/{account}")).unwrap();
        answer.json()["cents"].as_i64().unwrap()
    }
}

impl Books for Banks {
    /// Carries a call on, and kills the bank in front of it, in the middle of it, or before its answer arrives.
    fn apply(&self, call: &Call) -> Option<(u16, String)> {
        let (bank, path) = call.path.trim_start_matches('/').split_once('/')?;
        let bank = &self.both[usize::from(bank == "b")];
        let attempt = call.attempt.to_string();
        let headers = [
            ("x-saga-id", call.saga.as_str()),
            ("x-saga-step", &call.step),
            ("x-saga-op", call.op.as_str()),
            ("x-saga-attempt", &attempt),
        ];
        let mut client = Client::new(bank.port.address());
        let mut call = || client.request("POST", &format!("/{path}"), &headers, &call.payload).ok();
        let answer = match self.draw() {
            Some(0) => {
                bank.kill();
                None
            }
            Some(1) => std::thread::scope(|scope| {
                let asked = scope.spawn(call);
                // Somewhere between the request and the answer.
                until(self.random.millis(0..12), || None::<()>);
                bank.kill();
                asked.join().unwrap()
            }),
            Some(_) => {
                call();
                bank.kill();
                None
            }
            None => call(),
        };
        answer.map(|answer| (answer.status(), answer.text()))
    }
}

impl Banks {
    /// Where to kill, if at all.
    fn draw(&self) -> Option<u64> {
        let mut kills = self.kills.lock().unwrap();
        (*kills > 0 && self.random.percent(25)).then(|| {
            *kills -= 1;
            self.random.range(0..3)
        })
    }
}

/// Ends the banks with the test: threads that serve the coordinator know them for longer.
struct End(Arc<World<Banks>>);

impl Drop for End {
    fn drop(&mut self) {
        for bank in &self.0.ledger.both {
            drop(bank.process.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

#[test]
fn the_python_participant_keeps_its_money_through_kills() {
    let scratch = Scratch::new("saga-python");
    for seed in 0..u64::from(aqueduct_kit::sagas(1)) {
        run(seed, &scratch);
    }
}

fn run(seed: u64, scratch: &Scratch) {
    let bank = |name: &str| Bank::start(scratch.join(format!("{name}{seed}.db")));
    let banks =
        Banks { both: [bank("a"), bank("b")], random: Random::new(seed, "banks"), kills: Mutex::new(8) };
    let coordinator = Coordinator::start("saga-python", FAST);
    let (world, peers) = World::start(&coordinator, banks, Script::new(seed, 2, 10));
    let _end = End(Arc::clone(&world));
    let transfer = |number: u64| {
        // Every fourth wants more than is there, or to an account that is not.
        let (cents, to) = match number % 4 {
            2 => (FIRST + 1, "spender"),
            3 => (10, "nobody"),
            _ => (i64::try_from(number).unwrap() + 1, "spender"),
        };
        let steps = vec![
            Step::new(Kind::Compensable, "debit", "lender", cents, peers[0].url("a/debit")),
            Step::new(Kind::Pivot, "credit", to, cents, peers[1].url("b/credit")),
        ];
        Plan { id: format!("t{seed}-{number}"), deadline: Duration::from_mins(2), steps }
    };
    let plans: Vec<Plan> = (0..TRANSFERS).map(transfer).collect();
    let mut submitted = Vec::new();
    for plan in &plans {
        let first = Instant::now();
        let done = until(within(60), || {
            let answer = world.coordinator.submit(&plan.body()).ok()?;
            (answer.status() == 200).then(Instant::now)
        });
        submitted.push((first, done));
    }
    let mut moved = 0;
    for (number, (plan, (submitted, acknowledged))) in plans.iter().zip(submitted).enumerate() {
        let end = world.coordinator.wait(&plan.id, &["COMPLETED", "COMPENSATED", "PARKED"]);
        let good = number % 4 < 2;
        assert_eq!(end["status"], if good { "COMPLETED" } else { "COMPENSATED" }, "seed {seed}: {end:#}");
        moved += if good { i64::try_from(number).unwrap() + 1 } else { 0 };
        let calls = world.calls.of(&plan.id);
        let wrong = Story { plan, submitted, acknowledged, calls: &calls, end: &end }.violations(None);
        assert!(wrong.is_empty(), "seed {seed}: {}", wrong.join("\n"));
    }
    world.copies_until(usize::MAX);
    let [a, b] = &world.ledger.both;
    assert_eq!((a.balance("lender"), b.balance("spender")), (FIRST - moved, moved), "seed {seed}");
}
