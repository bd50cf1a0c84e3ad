//! A run: nodes, participants, clients who move money, and the spender.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::Mutation;
use super::bank::{ACCOUNTS, Bank};
use super::check::{Violation, check};
use super::net::Net;
use super::node::{self, LEASE, options};
use super::random::Random;
use super::store::{SimStore, Site};
use crate::{Coordinator, Definition, Kind, Plan, PlanStep, SagaId, Store as _, Submit, SubmitError, View};

/// How long there are faults.
const BUSY: Duration = Duration::from_secs(20);
/// Within so long of the end of the faults all sagas have ended: three leases, the longest pause, and the calls themselves.
const SETTLE: Duration = Duration::from_secs(3 * LEASE.as_secs() + 2 + 4);

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) net: Rc<Net>,
    pub(super) nodes: RefCell<BTreeMap<u64, Coordinator<SimStore>>>,
    pub(super) calm: Cell<bool>,
    pub(super) calmed: Notify,
    acknowledged: RefCell<BTreeSet<SagaId>>,
}

/// What a run shows.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) views: Vec<View>,
    pub(super) violations: Vec<Violation>,
}

/// A task that lives until the end of the run.
#[expect(clippy::disallowed_methods, reason = "the runtime is this run's own, and ends with it")]
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(task));
}

/// Runs a seed.
pub(super) fn run(seed: u64, mutation: Option<Mutation>) -> Run {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, simulate(seed, mutation))
}

async fn simulate(seed: u64, mutation: Option<Mutation>) -> Run {
    let random = Random::new(seed, "plan");
    let bank = Rc::new(Bank::new(mutation));
    let first = bank.sum();
    let loss = random.pick([0, 5, 15, 30]);
    let long = random.pick([20, 900, 4000]);
    let net = Rc::new(Net::new(Rc::clone(&bank), seed, loss, long));
    let site = Site::new(seed, random.pick([0, 1, 5]), mutation);
    if random.percent(30) {
        let from = Instant::now() + random.millis(0..8000);
        *site.down.lock().unwrap() = Some((from, from + random.millis(500..10_000)));
    }
    let world = Rc::new(World {
        seed,
        net,
        nodes: RefCell::default(),
        calm: Cell::new(false),
        calmed: Notify::new(),
        acknowledged: RefCell::default(),
    });
    for number in 0..random.range(1..3) {
        spawn(node::live(Rc::clone(&world), Arc::clone(&site), number));
    }
    for number in 0..random.range(3..12) {
        spawn(client(Rc::clone(&world), Arc::clone(&site), number));
    }
    spawn(spender(Rc::clone(&world)));
    sleep(BUSY).await;
    world.calm.set(true);
    world.net.loss.set(0);
    world.net.long.set(20);
    site.faults.store(0, Relaxed);
    world.calmed.notify_waiters();
    sleep(SETTLE).await;

    let mut views = Vec::new();
    let mut violations = bank.violations.take();
    violations.append(&mut site.violations.lock().unwrap());
    let sagas = Coordinator::open(site.memory.clone(), options()).unwrap();
    for summary in site.memory.list(&crate::Filter { limit: usize::MAX, ..Default::default() }).await.unwrap()
    {
        views.extend(sagas.get(&summary.id).await.unwrap());
    }
    check(&bank, first, &world.acknowledged.borrow(), &views, &mut violations);
    Run { views, violations }
}

/// Submits one saga after the other until each is acknowledged, to whichever node is up.
async fn client(world: Rc<World>, site: Arc<Site>, number: u64) {
    let random = Random::new(world.seed, &format!("client {number}"));
    // A process of its own, without a runner: it only writes.
    let away = Coordinator::open(SimStore::new(&site), options()).unwrap();
    for count in 0..random.range(1..4) {
        sleep(random.millis(0..5000)).await;
        let submit = transfer(&random, &format!("s{number}-{count}"));
        while !world.calm.get() {
            let sagas = world.nodes.borrow().values().next().cloned();
            let sagas = sagas.filter(|_| random.percent(80)).unwrap_or_else(|| away.clone());
            let limit = random.millis(1..3000);
            match tokio::time::timeout(limit, sagas.submit(submit.clone())).await {
                Ok(Ok(_)) => {
                    world.acknowledged.borrow_mut().insert(submit.id.clone());
                    break;
                }
                Ok(Err(SubmitError::Store(_))) | Err(_) => sleep(random.millis(1..500)).await,
                Ok(Err(error)) => panic!("{error}"),
            }
        }
        let mut other = submit.clone();
        other.plan.fingerprint = [9; 32];
        if world.acknowledged.borrow().contains(&submit.id) {
            let refused = away.submit(other).await;
            assert!(matches!(refused, Err(SubmitError::Conflict | SubmitError::Store(_))), "{refused:?}");
        }
    }
}

/// Money from one or two accounts to another, and a note of it.
fn transfer(random: &Random, id: &str) -> Submit {
    let account = || random.range(0..ACCOUNTS as u64);
    let amount = random.range(1..80);
    let mut steps = vec![PlanStep::new("debit", Kind::Compensable, "", format!("{}:-{amount}", account()))];
    let mut sum = amount;
    if random.percent(40) {
        let more = random.range(1..80);
        sum += more;
        let step = PlanStep::new("debit2", Kind::Compensable, "", format!("{}:-{more}", account()));
        steps.push(if random.percent(50) { step.together() } else { step });
    }
    steps.push(PlanStep::new("credit", Kind::Pivot, "", format!("{}:{sum}", account())));
    if random.percent(50) {
        steps.push(PlanStep::new("note", Kind::Retriable, "", "0:0"));
    }
    let plan = Plan { definition: Definition::Dynamic, steps, fingerprint: [1; 32] };
    let deadline = random.percent(60).then(|| random.millis(50..6000));
    Submit { id: SagaId::new(id).unwrap(), plan, deadline, context: Vec::new() }
}

/// Spends what arrives, and puts something in now and then, so that what was refused could be done later.
async fn spender(world: Rc<World>) {
    let random = Random::new(world.seed, "spender");
    let bank = Rc::clone(&world.net.bank);
    while !world.calm.get() {
        sleep(random.millis(1..800)).await;
        let account = usize::try_from(random.range(0..ACCOUNTS as u64)).unwrap();
        if random.percent(50) {
            bank.spend(account);
        } else {
            let back = bank.spent.get().min(100);
            bank.spent.set(bank.spent.get() - back);
            bank.balances.borrow_mut()[account] += back;
        }
    }
}
