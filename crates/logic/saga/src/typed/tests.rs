use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::*;
use crate::tests::bench::{Reply, Script, check, id};
use crate::{Coordinator, Memory, Options, Status, View};

#[derive(Serialize, Deserialize, Clone)]
struct Order {
    cents: i64,
    poison: bool,
}

impl Input for Order {
    const NAME: &'static str = "order";
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Held(i64);
#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Packed(String);

/// What was called, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

struct Hold(Log);

impl Action<Order> for Hold {
    type Needs = ();
    type Output = Held;

    fn name(&self) -> &'static str {
        "hold"
    }

    async fn execute(&self, call: &Call, input: &Order, (): ()) -> Result<Held, Failure> {
        self.0.add(format!("hold {}", call.attempt));
        assert!(!input.poison, "poison");
        Ok(Held(input.cents))
    }
}

impl Undo<Order> for Hold {
    async fn undo(&self, _: &Call, _: &Order, (): (), output: Option<Held>) -> Result<(), Failure> {
        self.0.add(format!("release {output:?}"));
        Ok(())
    }
}

struct Pack(Log);

impl Action<Order> for Pack {
    type Needs = ();
    type Output = Packed;

    fn name(&self) -> &'static str {
        "pack"
    }

    async fn execute(&self, _: &Call, _: &Order, (): ()) -> Result<Packed, Failure> {
        self.0.add("pack".into());
        Ok(Packed("box".into()))
    }
}

impl Undo<Order> for Pack {
    async fn undo(&self, _: &Call, _: &Order, (): (), output: Option<Packed>) -> Result<(), Failure> {
        self.0.add(format!("unpack {output:?}"));
        Ok(())
    }
}

struct Pay(Log);

impl Action<Order> for Pay {
    type Needs = (Held, Packed);
    type Output = ();

    fn name(&self) -> &'static str {
        "pay"
    }

    async fn execute(&self, _: &Call, _: &Order, (held, packed): (Held, Packed)) -> Result<(), Failure> {
        self.0.add(format!("pay {} for {}", held.0, packed.0));
        if held.0 > 100 { Err(Failure::Rejected("too much".into())) } else { Ok(()) }
    }
}

#[derive(Deserialize, Serialize, Debug)]
struct Sent {
    number: u32,
}

fn definition(log: &Log, script: &Script) -> Saga<Order> {
    let ship = |input: &Order, (held,): (Held,)| (input.cents, held);
    Saga::builder()
        .compensable(Hold(log.clone()))
        .beside(Pack(log.clone()))
        .pivot(Pay(log.clone()))
        .retriable(Remote::<_, _, _, Sent>::new(script.clone(), "ship", "http://ship", ship))
        .build()
        .unwrap()
}

async fn run(order: Order, script: &Script) -> (View, Vec<String>) {
    let log = Log::default();
    let saga = definition(&log, script);
    let sagas = Coordinator::open(Memory::default(), Options::default()).unwrap();
    let submission = saga.submission("s", &order).unwrap();
    let ended = async {
        assert!(sagas.submit(submission.clone()).await.unwrap().created);
        assert!(!sagas.submit(submission).await.unwrap().created);
        loop {
            let view = sagas.wait(&id("s"), std::time::Duration::from_secs(1)).await.unwrap().unwrap();
            if view.status.is_terminal() || view.status == Status::Parked {
                return view;
            }
        }
    };
    let view = tokio::select! {
        view = ended => view,
        end = sagas.run(Definitions::new().with(saga).unwrap(), std::future::pending()) => panic!("{end:?}"),
    };
    (view, log.lines())
}

#[tokio::test(start_paused = true)]
async fn outputs_flow_to_later_steps_local_and_remote() {
    let script = Script::default().on("ship execute", [Reply::Output(r#"{"number":7}"#)]);
    let (view, lines) = run(Order { cents: 5, poison: false }, &script).await;
    check(&view, Status::Completed, "");
    assert_eq!(lines, ["hold 1", "pack", "pay 5 for box"]);
    let call = &script.raw_calls()[0];
    assert_eq!((&*call.target, &*call.payload), ("http://ship", &b"[5,5]"[..]));
    assert_eq!(view.steps[3].output.as_deref(), Some(&br#"{"number":7}"#[..]));
    assert_eq!(view.steps[3].target, "http://ship");
    assert_eq!(view.definition, "order");
}

#[tokio::test(start_paused = true)]
async fn what_turns_is_undone_with_its_outputs() {
    let (view, lines) = run(Order { cents: 500, poison: false }, &Script::default()).await;
    check(&view, Status::Compensated, "pay was rejected: too much");
    let (forth, mut back) = (lines[..3].to_vec(), lines[3..].to_vec());
    assert_eq!(forth, ["hold 1", "pack", "pay 500 for box"]);
    back.sort();
    assert_eq!(back, ["release Some(Held(500))", "unpack Some(Packed(\"box\"))"]);
}

#[tokio::test(start_paused = true)]
async fn panics_and_garbage_park() {
    let (view, _) = run(Order { cents: 5, poison: true }, &Script::default()).await;
    check(&view, Status::Parked, "execute of hold: it panicked: poison");
    let script = Script::default().on("ship execute", [Reply::Output("garbage")]);
    let (view, _) = run(Order { cents: 5, poison: false }, &script).await;
    check(&view, Status::Parked, "execute of ship: its answer cannot be read");
}

#[test]
fn a_definition_is_known_by_its_name_and_shape() {
    let (log, script) = (Log::default(), Script::default());
    let saga = definition(&log, &script);
    let known = saga.submission("s", &Order { cents: 5, poison: false }).unwrap().plan;
    let other = Saga::<Order>::builder().compensable(Hold(log.clone())).build().unwrap();
    let unknown = other.submission("s", &Order { cents: 5, poison: false }).unwrap().plan;
    let definitions = Definitions::new().with(saga).unwrap();
    assert!(definitions.knows(&known.definition));
    assert!(!definitions.knows(&unknown.definition));
    assert!(!definitions.knows(&Definition::Dynamic));
    assert_eq!(known.fingerprint, unknown.fingerprint, "the same submission");
    assert!(definitions.with(other).is_err());
    let twice = Saga::<Order>::builder().compensable(Hold(log.clone())).compensable(Hold(log)).build();
    assert!(twice.unwrap_err().to_string().contains("the name of an earlier step"));
}
