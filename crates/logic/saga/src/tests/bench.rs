//! What the tests of the engine stand on: an executor that answers as it is told, and short ways to say things.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{
    Call, Coordinator, Definition, Executor, Filter, Kind, Memory, Op, Options, Outcome, Plan, PlanStep,
    SagaId, Status, Store, Submit, Summary, View,
};

/// An answer to a call.
pub(crate) enum Reply {
    Done,
    /// Done after 100 ms.
    Slow,
    Output(&'static str),
    Rejected,
    Unknown,
    Silence,
    Panic,
    Broken,
}

/// Answers `step op` by a script; once that is used up, its last word counts; without one the answer is Done.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Inner>);

#[derive(Default)]
struct Inner {
    replies: Mutex<Vec<(String, VecDeque<Reply>)>>,
    calls: Mutex<Vec<Call>>,
    called: Notify,
}

impl Script {
    pub(crate) fn on(self, what: &str, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.0.replies.lock().unwrap().push((what.to_owned(), replies.into_iter().collect()));
        self
    }

    /// `step op attempt` of all calls so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = self.0.calls.lock().unwrap();
        calls.iter().map(|call| format!("{} {} {}", call.step, call.op, call.attempt)).collect()
    }

    pub(crate) fn raw_calls(&self) -> Vec<Call> {
        self.0.calls.lock().unwrap().clone()
    }

    /// Resolves when there were so many calls.
    pub(crate) async fn called(&self, times: usize) {
        loop {
            let called = self.0.called.notified();
            if self.0.calls.lock().unwrap().len() >= times {
                return;
            }
            called.await;
        }
    }

    fn reply(&self, call: &Call) -> Reply {
        let what = format!("{} {}", call.step, call.op);
        let mut replies = self.0.replies.lock().unwrap();
        let Some((_, queue)) = replies.iter_mut().find(|(key, _)| *key == what) else { return Reply::Done };
        if queue.len() > 1 {
            return queue.pop_front().unwrap();
        }
        match queue.front() {
            None | Some(Reply::Done) => Reply::Done,
            Some(Reply::Slow) => Reply::Slow,
            Some(Reply::Output(text)) => Reply::Output(text),
            Some(Reply::Rejected) => Reply::Rejected,
            Some(Reply::Unknown) => Reply::Unknown,
            Some(Reply::Silence) => Reply::Silence,
            Some(Reply::Panic) => Reply::Panic,
            Some(Reply::Broken) => Reply::Broken,
        }
    }
}

impl Executor for Script {
    async fn send(&self, call: Call) -> Outcome {
        let reply = self.reply(&call);
        self.0.calls.lock().unwrap().push(call);
        self.0.called.notify_waiters();
        match reply {
            Reply::Done => Outcome::Done(Bytes::new()),
            Reply::Slow => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Outcome::Done(Bytes::new())
            }
            Reply::Output(text) => Outcome::Done(Bytes::from_static(text.as_bytes())),
            Reply::Rejected => Outcome::Rejected("no".into()),
            Reply::Unknown => Outcome::Unknown("eh".into()),
            Reply::Silence => std::future::pending().await,
            Reply::Panic => panic!("ouch"),
            Reply::Broken => Outcome::Broken("garbage".into()),
        }
    }
}

/// `c` compensable, `p` pivot, `r` retriable, named c0, p1, r2 by their place; `+` before one: together with the one before.
pub(crate) fn plan(shape: &str) -> Plan {
    let mut steps: Vec<PlanStep> = Vec::new();
    let mut together = false;
    for letter in shape.chars() {
        let kind = match letter {
            '+' => {
                together = true;
                continue;
            }
            'c' => Kind::Compensable,
            'p' => Kind::Pivot,
            _ => Kind::Retriable,
        };
        let name = format!("{letter}{}", steps.len());
        steps.push(PlanStep { together, ..PlanStep::new(name, kind, "to", "what") });
        together = false;
    }
    Plan { definition: Definition::Dynamic, steps, fingerprint: [1; 32] }
}

pub(crate) fn id(text: &str) -> SagaId {
    SagaId::new(text).unwrap()
}

pub(crate) fn submission(name: &str, shape: &str) -> Submit {
    let context = vec![("trace".into(), "t".into())];
    Submit { id: id(name), plan: plan(shape), deadline: None, context }
}

pub(crate) const LONG: Duration = Duration::from_hours(1);

pub(crate) fn open(store: &Memory) -> Coordinator<Memory> {
    Coordinator::open(store.clone(), Options::default()).unwrap()
}

/// Runs one saga to its end, or for an hour.
pub(crate) async fn run_one(script: &Script, shape: &str, deadline: Option<Duration>) -> View {
    let sagas = open(&Memory::default());
    sagas.submit(Submit { deadline, ..submission("s", shape) }).await.unwrap();
    until(&sagas, script, sagas.wait(&id("s"), LONG)).await.unwrap().unwrap()
}

/// Runs a coordinator for as long as something else takes.
pub(crate) async fn until<S: Store, T>(
    sagas: &Coordinator<S>,
    script: &Script,
    what: impl Future<Output = T>,
) -> T {
    tokio::select! {
        value = what => value,
        end = sagas.run(script.clone(), std::future::pending()) => panic!("the runner ended: {end:?}"),
    }
}

/// Compact: `CREATED`, `SENT c0 execute 1`, …
pub(crate) fn timeline(view: &View) -> Vec<String> {
    let line = |entry: &crate::Entry| {
        let op = entry.op.map(Op::as_str);
        let step = entry.step.as_deref();
        let words = [Some(entry.what.as_str()), step, op];
        let mut words: Vec<_> = words.into_iter().flatten().map(str::to_owned).collect();
        words.extend((entry.attempt > 0).then(|| entry.attempt.to_string()));
        words.join(" ")
    };
    view.timeline.iter().map(line).collect()
}

pub(crate) fn check(view: &View, status: Status, reason: &str) {
    assert_eq!(view.status, status, "{view:#?}");
    assert!(view.reason.contains(reason), "{:?}, expected {reason:?}", view.reason);
}

/// Waits until the saga `s` is parked.
pub(crate) async fn parked(sagas: &Coordinator<Memory>) -> View {
    stuck(sagas, 1).await;
    sagas.get(&id("s")).await.unwrap().unwrap()
}

/// Waits until so many sagas are parked.
pub(crate) async fn stuck<S: Store>(sagas: &Coordinator<S>, many: usize) -> Vec<Summary> {
    loop {
        let stuck = sagas.list(Filter { stuck: true, ..Filter::default() }).await.unwrap();
        if stuck.len() == many {
            return stuck;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs one saga until it is parked.
pub(crate) async fn run_parked(script: &Script, shape: &str) -> (Coordinator<Memory>, View) {
    let sagas = open(&Memory::default());
    sagas.submit(submission("s", shape)).await.unwrap();
    let view = until(&sagas, script, parked(&sagas)).await;
    (sagas, view)
}
