//! Shared leases over a register in memory that can lose requests and answers, under clocks of the test.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::*;
use crate::{Id, IdError, Route};

const TERM: Duration = Duration::from_secs(10);
const START: u64 = DEFAULT_EPOCH_MS + 100_000_000;
const HOUR: i64 = 3_600_000;

/// What happens to the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    RequestLost,
    AnswerLost,
}

/// A register that many nodes reach, and what goes wrong with it.
#[derive(Clone, Debug, Default)]
struct Faulty {
    memory: Memory,
    next: Arc<Mutex<Option<Fault>>>,
}

impl Faulty {
    fn fail(&self, fault: Fault) {
        *self.next.lock().unwrap() = Some(fault);
    }

    async fn row(&self, worker: u16) -> Row {
        let rows = self.memory.read().await.unwrap();
        rows.into_iter().find(|(of, _)| *of == worker).unwrap().1.row
    }
}

impl Register for Faulty {
    fn place(&self) -> String {
        "the register".to_owned()
    }

    async fn settings(&self, proposed: Settings) -> Result<Settings, RegisterError> {
        self.memory.settings(proposed).await
    }

    async fn read(&self) -> Result<Vec<(u16, Entry)>, RegisterError> {
        self.memory.read().await
    }

    async fn swap(&self, worker: u16, expect: u64, row: Row) -> Result<Option<u64>, RegisterError> {
        let fault = self.next.lock().unwrap().take();
        if fault == Some(Fault::RequestLost) {
            return Err(RegisterError("the request was lost".to_owned()));
        }
        let swapped = self.memory.swap(worker, expect, row).await;
        if fault.is_some() { Err(RegisterError("the answer was lost".to_owned())) } else { swapped }
    }
}

/// A node's clocks: the wall clock is `offset` ms off from when the test began, the steady one is tokio's, which is paused.
#[derive(Clone)]
struct Clocks {
    began: Instant,
    offset: Arc<AtomicI64>,
}

impl Clocks {
    fn new() -> Self {
        Self { began: Instant::now(), offset: Arc::default() }
    }

    /// Another node's, which shows the right time.
    fn other(&self) -> Self {
        Self { began: self.began, offset: Arc::default() }
    }

    fn step(&self, ms: i64) {
        self.offset.fetch_add(ms, Ordering::SeqCst);
    }

    fn options(&self, worker: Option<u16>) -> SharedOptions {
        let (began, offset) = (self.began, Arc::clone(&self.offset));
        let wall =
            move || (START + millis(began.elapsed())).saturating_add_signed(offset.load(Ordering::SeqCst));
        SharedOptions {
            clock: Clock::from_fn(wall),
            steady: Steady::from_fn(move || began.elapsed()),
            term: TERM,
            worker,
            name: "a test".to_owned(),
            ..SharedOptions::default()
        }
    }
}

async fn claim(
    register: &Faulty,
    clocks: &Clocks,
    worker: Option<u16>,
) -> Result<SharedLease<Faulty>, SharedError> {
    SharedLease::claim(register.clone(), clocks.options(worker)).await
}

fn route() -> Route {
    Route::of_hash(7)
}

#[tokio::test(start_paused = true)]
async fn each_node_has_a_number_of_its_own() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let mut leases = Vec::new();
    for _ in 0..128 {
        leases.push(claim(&register, &clocks, None).await.unwrap());
    }
    let workers: HashSet<_> = leases.iter().map(SharedLease::worker).collect();
    assert_eq!(workers.len(), 128);

    // The next one sees all of them renewed.
    let began = Instant::now();
    let renewals = async {
        loop {
            tokio::time::sleep(leases[0].renew_every()).await;
            for lease in &mut leases {
                lease.renew().await.unwrap();
            }
        }
    };
    let refused = tokio::select! {
        refused = claim(&register, &clocks, None) => refused.unwrap_err(),
        () = renewals => unreachable!(),
    };
    assert_eq!(refused, SharedError::NoneFree { workers: 128 });
    assert!(began.elapsed() >= TERM);

    leases.pop().unwrap().close().await.unwrap();
    let began = Instant::now();
    claim(&register, &clocks, None).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO, "one that was given back is free at once");
}

#[tokio::test(start_paused = true)]
async fn the_mark_is_in_the_register_before_an_id_below_it_is_minted() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let mut lease = claim(&register, &clocks, None).await.unwrap();
    let ids = lease.generator();
    for step in [0, HOUR, -HOUR, 0] {
        clocks.step(step);
        // A jump ahead is not reserved yet.
        assert_eq!(ids.next_id(route()).is_ok(), step == 0);
        lease.renew().await.unwrap();
        let minted: Vec<_> = (0..100_000).map_while(|_| ids.next_id(route()).ok()).collect();
        let mark = register.row(lease.worker()).await.mark;
        assert!(minted.iter().all(|id| Layout::DEFAULT.decode(*id).time_ms < mark));
        assert_eq!(minted.is_empty(), step == -HOUR, "a clock that is set back refuses");
        clocks.step(if step == -HOUR { HOUR } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_crashed_nodes_number_is_had_after_a_term_and_above_its_ids() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let lease = claim(&register, &clocks, Some(5)).await.unwrap();
    let last = lease.generator().next_id(route()).unwrap();
    drop(lease);
    let began = Instant::now();
    let next = claim(&register, &clocks, Some(5)).await.unwrap();
    assert!(began.elapsed() >= TERM);
    // The term that was waited for is what the mark was ahead.
    assert_eq!(next.generator().ready_in(), Duration::ZERO);
    assert!(next.generator().next_id(route()).unwrap() > last);
}

/// The high-water mark: without it the second node would mint what the first has minted.
#[tokio::test(start_paused = true)]
async fn a_clock_an_hour_behind_waits_past_the_mark() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let lease = claim(&register, &clocks, Some(5)).await.unwrap();
    let last = lease.generator().next_id(route()).unwrap();
    lease.close().await.unwrap();

    let behind = clocks.other();
    behind.step(-HOUR);
    let mut lease = claim(&register, &behind, Some(5)).await.unwrap();
    let ids = lease.generator();
    let wait = Duration::from_millis(HOUR.unsigned_abs() - 1000 + 1);
    assert_eq!(ids.ready_in(), wait);
    assert_eq!(ids.next_id(route()), Err(IdError::ClockBehind { by: wait }));
    behind.step(i64::try_from(millis(wait)).unwrap());
    lease.renew().await.unwrap();
    assert!(ids.next_id(route()).unwrap() > last);

    // Where it may have any number, it takes one that its clock is not behind.
    let other = clocks.other();
    other.step(-HOUR);
    let other = claim(&register, &other, None).await.unwrap();
    assert!(other.worker() != 5 && other.generator().ready_in().is_zero());
}

/// The self-stop: a node that was paused must not go on under a number that is another's by now, and the clock that it minted by
/// would not stop it.
#[tokio::test(start_paused = true)]
async fn a_paused_node_stops_before_its_number_is_anothers() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let mut paused = claim(&register, &clocks, Some(5)).await.unwrap();
    let ids = paused.generator();
    advance(Duration::from_millis(8_999)).await;
    assert!(ids.next_id(route()).is_ok());
    advance(Duration::from_millis(1)).await;
    assert_eq!(ids.next_id(route()), Err(IdError::TermEnded));
    assert_eq!(ids.ready(), Err(IdError::TermEnded));

    // Nobody took it: a late renewal begins another term.
    paused.renew().await.unwrap();
    assert!(ids.next_id(route()).is_ok());

    let next = claim(&register, &clocks.other(), Some(5)).await.unwrap();
    // As if no time had passed for its wall clock: the mark would let it mint.
    clocks.step(-i64::try_from(millis(TERM)).unwrap());
    assert_eq!(ids.next_id(route()), Err(IdError::TermEnded));
    let lost = paused.renew().await.unwrap_err();
    assert!(
        matches!(&lost, SharedError::Lost { worker: 5, holder } if holder.starts_with("a test ")),
        "{lost}"
    );
    assert_eq!(paused.renew().await.unwrap_err(), lost, "for good");
    assert_eq!(ids.next_id(route()), Err(IdError::TermEnded));
    assert_eq!(paused.close().await.unwrap_err(), lost);
    assert!(next.generator().next_id(route()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_renews_is_not_robbed() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let mut lease = claim(&register, &clocks, Some(5)).await.unwrap();
    let renewals = async {
        loop {
            tokio::time::sleep(TERM * 8 / 10).await;
            lease.renew().await.unwrap();
        }
    };
    let refused = tokio::select! {
        refused = claim(&register, &clocks, Some(5)) => refused.unwrap_err(),
        () = renewals => unreachable!(),
    };
    let message = refused.to_string();
    assert!(
        message.contains("worker 5 is held by a test") && message.contains("ask for another"),
        "{message}"
    );
}

/// The register has the write, and the node does not know it.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_out() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let mut lease = claim(&register, &clocks, None).await.unwrap();
    for fault in [Fault::AnswerLost, Fault::RequestLost, Fault::AnswerLost] {
        advance(TERM / 10).await;
        register.fail(fault);
        assert!(matches!(lease.renew().await, Err(SharedError::Register(_))));
        lease.renew().await.unwrap();
    }
    register.fail(Fault::AnswerLost);
    assert!(lease.renew().await.is_err());
    let last = lease.generator().next_id(route()).unwrap();
    lease.close().await.unwrap();
    assert!(claim(&register, &clocks, None).await.unwrap().generator().next_id(route()).unwrap() > last);

    // Of a claim: the number is nobody's until a term has passed.
    register.fail(Fault::AnswerLost);
    assert!(claim(&register, &clocks, Some(9)).await.is_err());
    let began = Instant::now();
    claim(&register, &clocks, Some(9)).await.unwrap();
    assert!(began.elapsed() >= TERM);
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_does_not_begin_a_term() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let mut lease = claim(&register, &clocks, None).await.unwrap();
    let ids = lease.generator();
    for _ in 0..9 {
        assert!(ids.next_id(route()).is_ok());
        advance(TERM / 10).await;
        register.fail(Fault::RequestLost);
        assert!(lease.renew().await.is_err());
    }
    assert_eq!(ids.next_id(route()), Err(IdError::TermEnded));
}

#[tokio::test(start_paused = true)]
async fn numbers_that_nobody_renews_are_freed_together() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    let options = || SharedOptions { layout: Layout::SEED, ..clocks.options(None) };
    for _ in 0..8 {
        drop(SharedLease::claim(register.clone(), options()).await.unwrap());
    }
    let began = Instant::now();
    let mut held = vec![SharedLease::claim(register.clone(), options()).await.unwrap()];
    assert!(began.elapsed() >= TERM);
    let began = Instant::now();
    for _ in 0..7 {
        held.push(SharedLease::claim(register.clone(), options()).await.unwrap());
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_told() {
    let (register, clocks) = (Faulty::default(), Clocks::new());
    claim(&register, &clocks, None).await.unwrap().close().await.unwrap();
    let check = async |change: fn(&mut SharedOptions), expect: &str| {
        let mut options = clocks.options(None);
        change(&mut options);
        let message = SharedLease::claim(register.clone(), options).await.unwrap_err().to_string();
        assert!(message.contains(expect), "{message}");
    };
    check(|it| it.epoch_ms += 1, "set the epoch to 1704067200000, or use another the register").await;
    check(|it| it.layout = Layout::SEED, "set the layout to W7/S8").await;
    check(|it| it.worker = Some(128), "worker 128 does not fit the layout: the highest is 127").await;
    check(|it| it.term = Duration::from_millis(999), "a term of 999ms cannot be used").await;

    let damaged = Row { holder: String::new(), mark: TIME_END + 1 };
    register.memory.swap(3, 0, damaged).await.unwrap();
    check(|_| {}, "the row of worker 3 in the register is damaged").await;
}

#[test]
fn no_two_claims_have_one_holder_and_names_are_cut_between_characters() {
    let holders: HashSet<_> = (0..1000).map(|_| claim::holder("n")).collect();
    assert_eq!(holders.len(), 1000);
    assert!(claim::holder(&"ü".repeat(200)).len() <= 192);
    assert!(claim::holder(&format!("a{}", "ü".repeat(200))).len() <= 192);
}

/// What may happen to a fleet, in any order. Nodes that are not paused renew all the time.
#[derive(Clone, Debug)]
enum Event {
    Claim { node: usize, worker: u16 },
    Mint { node: usize, count: usize },
    Step { node: usize, ms: i64 },
    Pause { node: usize },
    Resume { node: usize },
    Crash { node: usize },
    Close { node: usize },
    Fault { answer: bool },
    Pass { ms: u64 },
}

const NODES: usize = 3;
/// Fewer than nodes, so that they are fought over.
const WORKERS: u16 = 2;

fn event() -> impl Strategy<Value = Event> {
    let node = 0..NODES;
    prop_oneof![
        4 => (node.clone(), 0..WORKERS).prop_map(|(node, worker)| Event::Claim { node, worker }),
        8 => (node.clone(), 1..400_usize).prop_map(|(node, count)| Event::Mint { node, count }),
        // In whole steps, so that a clock comes back to times that it showed before.
        2 => (node.clone(), -12..=12_i64).prop_map(|(node, s)| Event::Step { node, ms: 1000 * s }),
        1 => (node.clone(), prop_oneof![Just(-HOUR), Just(HOUR)]).prop_map(|(node, ms)| Event::Step { node, ms }),
        3 => node.clone().prop_map(|node| Event::Pause { node }),
        2 => node.clone().prop_map(|node| Event::Resume { node }),
        2 => node.clone().prop_map(|node| Event::Crash { node }),
        1 => node.prop_map(|node| Event::Close { node }),
        1 => any::<bool>().prop_map(|answer| Event::Fault { answer }),
        4 => (1..8_u64).prop_map(|halves| Event::Pass { ms: 500 * halves }),
    ]
}

struct Node {
    clocks: Clocks,
    lease: Option<SharedLease<Faulty>>,
    /// Also those of leases that are gone: a thread that nobody told goes on minting.
    generators: Vec<(Generator, u16, String)>,
    paused: bool,
}

struct Fleet {
    register: Faulty,
    nodes: Vec<Node>,
    minted: HashSet<Id>,
}

impl Fleet {
    fn new() -> Self {
        let node = || Node { clocks: Clocks::new(), lease: None, generators: Vec::new(), paused: false };
        Self {
            register: Faulty::default(),
            nodes: (0..NODES).map(|_| node()).collect(),
            minted: HashSet::new(),
        }
    }

    /// Lets time pass for all, as those who run see it.
    async fn pass(&mut self, ms: u64) {
        let every = TERM / 10;
        for part in (0..ms).step_by(1000) {
            advance(Duration::from_millis((ms - part).min(millis(every)))).await;
            for lease in
                self.nodes.iter_mut().filter(|node| !node.paused).filter_map(|node| node.lease.as_mut())
            {
                // Lost, or not heard: both are the generator's to know.
                drop(lease.renew().await);
            }
        }
    }

    async fn claim(&mut self, at: usize, worker: u16) {
        if self.nodes[at].lease.is_some() || self.nodes[at].paused {
            return;
        }
        let (register, options) = (self.register.clone(), self.nodes[at].clocks.options(Some(worker)));
        let mut claiming = Box::pin(SharedLease::claim(register, options));
        // It may wait for a term, while the others go on.
        let claimed = loop {
            tokio::select! {
                biased;
                claimed = &mut claiming => break claimed,
                () = self.pass(1000) => {}
            }
        };
        if let Ok(lease) = claimed {
            self.nodes[at].generators.push((lease.generator(), worker, lease.holder.clone()));
            self.nodes[at].lease = Some(lease);
        }
    }

    async fn mint(&mut self, at: usize, count: usize) -> Result<(), TestCaseError> {
        if self.nodes[at].paused {
            return Ok(());
        }
        for (ids, worker, holder) in &self.nodes[at].generators {
            for _ in 0..count {
                let Ok(id) = ids.next_id(route()) else { break };
                prop_assert!(self.minted.insert(id), "{} again", id);
                prop_assert_eq!(
                    &self.register.row(*worker).await.holder,
                    holder,
                    "worker {} is another's",
                    worker
                );
            }
        }
        Ok(())
    }

    async fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Claim { node, worker } => self.claim(node, worker).await,
            Event::Mint { node, count } => self.mint(node, count).await?,
            Event::Step { node, ms } => self.nodes[node].clocks.step(ms),
            Event::Pause { node } => self.nodes[node].paused = true,
            Event::Resume { node } => self.nodes[node].paused = false,
            Event::Crash { node } => drop(self.nodes[node].lease.take()),
            Event::Close { node } => {
                if let Some(lease) = self.nodes[node].lease.take() {
                    drop(lease.close().await);
                }
            }
            Event::Fault { answer } => {
                self.register.fail(if answer { Fault::AnswerLost } else { Fault::RequestLost });
            }
            Event::Pass { ms } => self.pass(ms).await,
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No ID twice, and none under a number that is another node's.
    #[test]
    fn a_fleet_shares_nothing(events in prop::collection::vec(event(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut fleet = Fleet::new();
            for event in events {
                fleet.happen(event).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}
