//! Transfers between participants that do what a test has written, on a clock that stands still.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_saga::typed::Definitions;
use aqueduct_saga::{Coordinator, Kind, Memory, Options, Status, View};
use tokio::time::Instant;

use super::create::TURN_AFTER;
use super::definition::{Transfer, transfer};
use super::seats::{Seat, Seats};
use crate::ledger::{Move, Refused, Step};

type Make = dyn Fn(&Move) -> Result<(), Refused> + Send + Sync;

/// What a participant does, and what it was asked.
#[derive(Clone)]
pub(crate) struct Script {
    make: Arc<Make>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    fn new(make: impl Fn(&Move) -> Result<(), Refused> + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make), asked: Arc::default() }
    }

    pub(crate) fn make(&self, step: &Move) -> Result<(), Refused> {
        let undo = if step.undo { "undo " } else { "" };
        self.asked.lock().unwrap().push(format!("{undo}{}", step.step.as_str()));
        (self.make)(step)
    }

    /// Without repetitions.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

/// Runs one transfer until it ends or is parked.
async fn run(script: &Script) -> View {
    let seats = Seats::of_seats([Seat::Scripted(script.clone()), Seat::Scripted(script.clone())]);
    let definition = transfer(&seats).unwrap();
    let sagas = Coordinator::open(Memory::default(), Options::default()).unwrap();
    let mut submit = definition.submission("t", &Transfer { from: 1, to: 2, cents: 5 }).unwrap();
    submit.deadline = Some(TURN_AFTER);
    let definitions = Definitions::new().with(transfer(&seats).unwrap()).unwrap();
    let ended = async {
        let id = submit.id.clone();
        sagas.submit(submit).await.unwrap();
        loop {
            let view = sagas.wait(&id, Duration::from_secs(1)).await.unwrap().unwrap();
            if view.status.is_terminal() || view.status == Status::Parked {
                return view;
            }
        }
    };
    tokio::select! {
        view = ended => view,
        end = sagas.run(definitions, std::future::pending()) => panic!("{end:?}"),
    }
}

fn unknown() -> Result<(), Refused> {
    Err(Refused::Unknown("no answer".into()))
}

#[tokio::test(start_paused = true)]
async fn a_transfer_is_debit_then_credit_then_settle_and_credit_decides() {
    let script = Script::new(|_| Ok(()));
    let view = run(&script).await;
    assert_eq!(view.status, Status::Completed);
    assert_eq!(script.asked(), ["debit", "credit", "settle"]);
    let kinds: Vec<_> = view.steps.iter().map(|step| step.kind).collect();
    assert_eq!(kinds, [Kind::Compensable, Kind::Pivot, Kind::Retriable]);
}

/// The receiver may have it, and may have spent it: the deadline must not take it back.
#[tokio::test(start_paused = true)]
async fn once_the_money_was_sent_to_the_receiver_the_deadline_turns_nothing() {
    let late = Instant::now() + 3 * TURN_AFTER;
    let script =
        Script::new(
            move |step| if step.step == Step::Credit && Instant::now() < late { unknown() } else { Ok(()) },
        );
    let view = run(&script).await;
    assert_eq!(view.status, Status::Completed, "{}", view.reason);
    assert_eq!(script.asked(), ["debit", "credit", "settle"]);
}

#[tokio::test(start_paused = true)]
async fn a_payers_participant_that_does_not_answer_turns_it_at_the_deadline() {
    let script = Script::new(|step| if step.undo { Ok(()) } else { unknown() });
    let view = run(&script).await;
    assert_eq!((view.status, view.reason.as_str()), (Status::Compensated, "the deadline is over"));
    assert_eq!(script.asked(), ["debit", "undo debit"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_credit_puts_the_money_back() {
    let script = Script::new(|step| match step.step {
        Step::Credit => Err(Refused::Rejected("there is no account 2".into())),
        _ => Ok(()),
    });
    let view = run(&script).await;
    assert_eq!(view.status, Status::Compensated);
    assert_eq!(view.reason, "credit was rejected: there is no account 2");
    assert_eq!(script.asked(), ["debit", "credit", "undo debit"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_is_parked() {
    let script = Script::new(|_| panic!("a defect"));
    let view = run(&script).await;
    assert_eq!(view.status, Status::Parked);
    assert!(view.reason.contains("a defect"), "{}", view.reason);
}

#[tokio::test(start_paused = true)]
async fn money_that_cannot_be_put_back_is_parked_and_never_given_up() {
    let script = Script::new(|step| match (step.step, step.undo) {
        (Step::Credit, _) | (_, true) => Err(Refused::Rejected("no".into())),
        _ => Ok(()),
    });
    let view = run(&script).await;
    assert_eq!(view.status, Status::Parked);
    assert!(view.reason.contains("compensate of debit was rejected"), "{}", view.reason);
}
