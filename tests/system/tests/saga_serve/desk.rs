//! A participant that answers as a test says, call by call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_kit::until;

use crate::calls::{Arrived, Call, Calls, Op};
use crate::peer::{Answer, Peer, Request};

pub(crate) struct Desk {
    pub(crate) calls: Calls,
    /// How often each saga, step and operation was called.
    counts: Mutex<BTreeMap<(String, String, Op), u32>>,
}

impl Desk {
    /// A desk, and the URL of a step there. `answer` is told which call of its saga, step and operation it is, from 1.
    pub(crate) fn open(answer: impl Fn(&Call, u32) -> Answer + Send + Sync + 'static) -> (Arc<Self>, String) {
        let desk = Arc::new(Self { calls: Calls::default(), counts: Mutex::default() });
        let this = Arc::clone(&desk);
        let peer = Peer::start(move |request: &Request| {
            let Some((number, call)) = this.calls.note(request) else {
                return Answer::Reply(400, Vec::new());
            };
            let answer = answer(&call, this.count(&call));
            if let Some(status) = answer.status() {
                this.calls.answered(number, status);
            }
            answer
        });
        let url = peer.url("desk");
        // It serves until the test's process ends, and its port stays held as long.
        std::mem::forget(peer);
        (desk, url)
    }

    fn count(&self, call: &Call) -> u32 {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry((call.saga.clone(), call.step.clone(), call.op)).or_default();
        *count += 1;
        *count
    }

    /// Step, operation and attempt of all calls of a saga so far.
    pub(crate) fn told(&self, saga: &str) -> Vec<(String, Op, u32)> {
        let told = |Arrived { call, .. }: Arrived| (call.step, call.op, call.attempt);
        self.calls.of(saga).into_iter().map(told).collect()
    }

    /// Waits until a saga has called so often.
    pub(crate) fn wait(&self, saga: &str, calls: usize) {
        let there = until(Duration::from_secs(40), || (self.calls.of(saga).len() >= calls).then_some(()));
        assert!(there.is_some(), "{saga} has not called {calls} times: {:?}", self.told(saga));
    }
}
