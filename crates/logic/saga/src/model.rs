//! The protocol, checked exhaustively: a transfer of one coin, with crashes, lost answers, duplicates and reordering, two
//! coordinators, and a spender who takes the coin as soon as it arrives. The coordinators decide with the engine's own
//! [`advance`]; the rest is as small as can be. It looks for what must never happen; that sagas end is for the simulation.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use stateright::{Checker as _, HasDiscoveries, Model, Property};

use crate::barrier::{self, Answer, Verdict, verdict};
use crate::decide::advance;
use crate::log::{Event, Spot};
use crate::plan::{Definition, Kind, Op, Plan, PlanStep};
use crate::state::{OpState, State};
use crate::view::{Phase, Status};

/// A call is repeated so often at most, and a saga claimed.
const MOST_ATTEMPTS: u32 = 2;
const MOST_EPOCHS: u8 = 3;

/// The protocol, or one that lacks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Whole,
    /// The receiver is credited first, by a step that can be undone.
    WithoutPivot,
    WithoutEpoch,
    /// Calls are made before their intent is durable.
    WithoutIntent,
    WithoutTombstone,
    WithoutBarrier,
}

/// What a coordinator holds in memory: what it knows to have happened, from which its state is folded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Coordinator {
    known: Vec<Event>,
    /// So much of it was there when it claimed the saga, and so much of it is written.
    claimed: usize,
    written: usize,
    epoch: u8,
    seq: u8,
    /// Intents whose calls are to be made.
    unsent: Vec<(u8, bool, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    // What is durable; the log without the creation.
    log: Vec<Event>,
    seq: u8,
    epoch: u8,
    /// How the log ended first.
    ended: Option<Status>,
    /// The log cannot be folded any more.
    nonsense: bool,
    coordinators: [Option<Coordinator>; 2],
    /// The deadline is over.
    late: bool,
    // Calls as (step, is it a compensation, attempt): they stay here, to arrive again and again.
    requests: BTreeSet<(u8, bool, u32)>,
    replies: BTreeSet<(u8, bool, u32, bool)>,
    // The participants.
    sender: i8,
    receiver: i8,
    spent: i8,
    /// A coin that the sender gets some time.
    outside: i8,
    rows: BTreeMap<(u8, bool), Row>,
    effects: BTreeMap<(u8, bool), u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Row {
    Ok,
    Failed,
    Void,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Claim(usize),
    Write(usize),
    Send(usize),
    Crash(usize),
    Wake(usize),
    Timeout(usize, u8, bool),
    Receive(usize, u8, bool, bool),
    Arrive(u8, bool, u32),
    Deadline,
    Fund,
    Spend,
}

struct Protocol(Variant);

impl Protocol {
    fn plan(&self) -> Plan {
        let step = |name: &str, kind| PlanStep::new(name, kind, "", "");
        let steps = if self.0 == Variant::WithoutPivot {
            vec![step("credit", Kind::Compensable), step("debit", Kind::Compensable)]
        } else {
            vec![step("debit", Kind::Compensable), step("credit", Kind::Pivot)]
        };
        Plan { definition: Definition::Dynamic, steps, fingerprint: [0; 32] }
    }

    fn created(&self) -> State {
        let plan = self.plan();
        State::created(Event::Created { plan, context: Vec::new(), deadline_at: Some(1) }).unwrap()
    }

    fn fold(&self, events: &[Event]) -> Option<State> {
        let mut state = self.created();
        events.iter().try_for_each(|event| state.apply(event)).ok().map(|()| state)
    }

    /// A coordinator's state.
    fn mind(&self, coordinator: &Coordinator) -> State {
        let (before, since) = coordinator.known.split_at(coordinator.claimed);
        let mut state = self.fold(before).expect("what was claimed made sense");
        state.orphan();
        since.iter().try_for_each(|event| state.apply(event)).expect("what it decided makes sense");
        state
    }

    /// A coordinator decides. One that makes its calls before it writes does so now.
    fn decide(&self, world: &World, coordinator: &mut Coordinator) {
        let events = advance(&mut self.mind(coordinator), u64::from(world.late), 1000);
        // The number of attempts is bounded, so that the states are.
        let within =
            |event: &Event| !matches!(event, Event::Sent { attempt, .. } if *attempt > MOST_ATTEMPTS);
        let before = coordinator.known.len();
        coordinator.known.extend(events.into_iter().filter(within));
        if self.0 == Variant::WithoutIntent {
            coordinator.unsent.extend(sends(&coordinator.known[before..]));
        }
    }

    fn hears(&self, world: &mut World, number: usize, event: Event) -> Option<()> {
        let mut coordinator = world.coordinators[number].take()?;
        coordinator.known.push(event);
        self.decide(world, &mut coordinator);
        world.coordinators[number] = Some(coordinator);
        Some(())
    }

    /// A call arrives at its participant.
    fn arrive(&self, world: &mut World, step: u8, undo: bool, attempt: u32) {
        let op = if undo { Op::Compensate } else { Op::Execute };
        let outcome = |world: &World, undo| {
            world.rows.get(&(step, undo)).map(|row| match row {
                Row::Ok => barrier::Outcome::Ok(Bytes::new()),
                Row::Failed => barrier::Outcome::Failed(String::new()),
                Row::Void => barrier::Outcome::Void,
            })
        };
        let verdict = if self.0 == Variant::WithoutBarrier {
            Verdict::Run
        } else {
            verdict(op, outcome(world, false).as_ref(), outcome(world, true).as_ref())
        };
        let done = match verdict {
            Verdict::Known(answer) => matches!(answer, Answer::Done(_)),
            Verdict::Nothing => {
                world.rows.entry((step, false)).or_insert(Row::Void);
                world.rows.insert((step, true), Row::Void);
                true
            }
            Verdict::Run => {
                let done = self.business(world, step, undo);
                if done || self.0 != Variant::WithoutTombstone {
                    world.rows.insert((step, undo), if done { Row::Ok } else { Row::Failed });
                }
                done
            }
        };
        world.replies.insert((step, undo, attempt, done));
    }

    fn business(&self, world: &mut World, step: u8, undo: bool) -> bool {
        let credit = (step == 1) != (self.0 == Variant::WithoutPivot);
        let amount = if credit == undo { -1 } else { 1 };
        let account = if credit { &mut world.receiver } else { &mut world.sender };
        if !undo && *account + amount < 0 {
            return false;
        }
        *account += amount;
        *world.effects.entry((step, undo)).or_default() += 1;
        true
    }

    /// A coordinator's write reaches the store.
    fn write(&self, world: &mut World, number: usize) {
        let Some(mut coordinator) = world.coordinators[number].take() else { return };
        let fits = (coordinator.epoch, coordinator.seq) == (world.epoch, world.seq);
        if !fits && self.0 != Variant::WithoutEpoch {
            return;
        }
        let events = &coordinator.known[coordinator.written..];
        if self.0 != Variant::WithoutIntent {
            coordinator.unsent.extend(sends(events));
        }
        world.log.extend_from_slice(events);
        world.seq += 1;
        (coordinator.seq, coordinator.written) = (world.seq, coordinator.known.len());
        match self.fold(&world.log) {
            Some(state) if state.status.is_terminal() => _ = world.ended.get_or_insert(state.status),
            Some(_) => world.coordinators[number] = Some(coordinator),
            None => world.nonsense = true,
        }
    }
}

fn sends(events: &[Event]) -> Vec<(u8, bool, u32)> {
    let sends = events.iter().filter_map(|event| match event {
        Event::Sent { spot, attempt } => {
            Some((u8::try_from(spot.step).unwrap(), spot.op == Op::Compensate, *attempt))
        }
        _ => None,
    });
    sends.collect()
}

fn spot(step: u8, undo: bool) -> Spot {
    Spot { step: usize::from(step), op: if undo { Op::Compensate } else { Op::Execute } }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            log: Vec::new(),
            seq: 1,
            epoch: 0,
            ended: None,
            nonsense: false,
            coordinators: [None, None],
            late: false,
            requests: BTreeSet::new(),
            replies: BTreeSet::new(),
            sender: 0,
            receiver: 0,
            spent: 0,
            outside: 1,
            rows: BTreeMap::new(),
            effects: BTreeMap::new(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (number, coordinator) in world.coordinators.iter().enumerate() {
            let Some(coordinator) = coordinator else {
                if world.epoch < MOST_EPOCHS && world.ended.is_none() && !world.nonsense {
                    actions.push(Action::Claim(number));
                }
                continue;
            };
            actions.push(Action::Crash(number));
            let (decided, unsent) =
                (coordinator.written < coordinator.known.len(), !coordinator.unsent.is_empty());
            actions.extend(decided.then_some(Action::Write(number)));
            actions.extend(unsent.then_some(Action::Send(number)));
            if decided || unsent {
                continue;
            }
            actions.push(Action::Wake(number));
            let mind = self.mind(coordinator);
            for step in 0..2 {
                for undo in [false, true] {
                    let waits = |op: &&OpState| op.phase == Phase::Sent && op.attempt <= MOST_ATTEMPTS;
                    let Some(op) = mind.op(spot(step, undo)).filter(waits) else { continue };
                    actions.push(Action::Timeout(number, step, undo));
                    let replies = [true, false].into_iter();
                    let came =
                        replies.filter(|done| world.replies.contains(&(step, undo, op.attempt, *done)));
                    actions.extend(came.map(|done| Action::Receive(number, step, undo, done)));
                }
            }
        }
        actions.extend(
            world.requests.iter().map(|(step, undo, attempt)| Action::Arrive(*step, *undo, *attempt)),
        );
        actions.extend((!world.late).then_some(Action::Deadline));
        actions.extend((world.outside > 0).then_some(Action::Fund));
        actions.extend((world.receiver > 0).then_some(Action::Spend));
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Claim(number) => {
                world.epoch += 1;
                let (known, epoch, seq) = (world.log.clone(), world.epoch, world.seq);
                let (claimed, written) = (known.len(), known.len());
                let mut new = Coordinator { known, claimed, written, epoch, seq, unsent: Vec::new() };
                self.decide(&world, &mut new);
                world.coordinators[number] = Some(new);
            }
            Action::Crash(number) => world.coordinators[number] = None,
            Action::Write(number) => self.write(&mut world, number),
            Action::Send(number) => {
                let unsent = std::mem::take(&mut world.coordinators[number].as_mut()?.unsent);
                world.requests.extend(unsent);
            }
            Action::Wake(number) => {
                let mut coordinator = world.coordinators[number].take()?;
                self.decide(&world, &mut coordinator);
                world.coordinators[number] = Some(coordinator);
            }
            Action::Timeout(number, step, undo) => {
                let spot = spot(step, undo);
                let op = *self.mind(world.coordinators[number].as_ref()?).op(spot)?;
                let (attempt, failures, reason) = (op.attempt, op.failures + 1, String::new());
                let event = Event::Unknown { spot, attempt, failures, reason, retry_at: 0 };
                self.hears(&mut world, number, event)?;
            }
            Action::Receive(number, step, undo, done) => {
                let spot = spot(step, undo);
                let event = if done {
                    Event::Done { spot, output: Bytes::new() }
                } else {
                    Event::Rejected { spot, reason: String::new() }
                };
                self.hears(&mut world, number, event)?;
            }
            Action::Arrive(step, undo, attempt) => {
                if world.effects.values().any(|times| *times > 1) {
                    return None;
                }
                self.arrive(&mut world, step, undo, attempt);
            }
            Action::Deadline => world.late = true,
            Action::Fund => {
                world.outside -= 1;
                world.sender += 1;
            }
            Action::Spend => {
                world.receiver -= 1;
                world.spent += 1;
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no balance is negative", |_, world: &World| {
                world.sender >= 0 && world.receiver >= 0
            }),
            Property::always("each effect takes place once", |_, world: &World| {
                world.effects.values().all(|times| *times <= 1)
            }),
            Property::always("a saga ends once", |model: &Self, world: &World| {
                let status = model.fold(&world.log).map(|state| state.status);
                !world.nonsense && world.ended.is_none_or(|ended| status == Some(ended))
            }),
            Property::always("at rest there is one coin", |_, world: &World| {
                let coins = world.sender + world.receiver + world.spent + world.outside;
                world.ended.is_none() || coins == 1
            }),
            Property::always("completed means paid, compensated means not", |_, world: &World| {
                let moved = world.receiver + world.spent;
                match world.ended {
                    Some(Status::Completed) => moved == 1,
                    Some(Status::Compensated) => moved == 0,
                    _ => true,
                }
            }),
            Property::sometimes("a transfer completes", |_, world: &World| {
                world.ended == Some(Status::Completed)
            }),
            Property::sometimes("a transfer is compensated", |_, world: &World| {
                world.ended == Some(Status::Compensated) && world.effects.contains_key(&(0, true))
            }),
        ]
    }
}

/// Looks until one promise is broken, and says which.
fn broken(variant: Variant) -> Vec<&'static str> {
    let checker = Protocol(variant).checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let broken: Vec<_> =
        checker.discoveries().into_keys().filter(|name| !name.starts_with("a transfer")).collect();
    println!("{variant:?}: {broken:?} after {} states", checker.unique_state_count());
    broken
}

#[test]
fn the_protocol_breaks_no_promise() {
    let checker = Protocol(Variant::Whole).checker().threads(2).spawn_bfs().join();
    println!("{} states, {} of them different", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000, "that is too few to have looked at anything");
}

#[test]
fn what_is_left_out_is_noticed() {
    assert!(broken(Variant::WithoutPivot).contains(&"no balance is negative"));
    assert!(broken(Variant::WithoutTombstone).contains(&"at rest there is one coin"));
    assert!(broken(Variant::WithoutBarrier).contains(&"each effect takes place once"));
    // How it shows first is a matter of luck.
    assert!(!broken(Variant::WithoutEpoch).is_empty());
    assert!(!broken(Variant::WithoutIntent).is_empty());
}
