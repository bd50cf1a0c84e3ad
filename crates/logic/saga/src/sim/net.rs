//! Between a coordinator and the participants: what is sent may be lost, late, doubled and reordered, and arrives also when the
//! sender is gone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Mutex;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::bank::Bank;
use super::check::Violation;
use super::random::Random;
use super::world::spawn;
use crate::{Call, Executor, Outcome};

/// The network. `loss` is in percent; 0 in calm times.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) bank: Rc<Bank>,
    pub(super) random: Random,
    pub(super) loss: Cell<u64>,
    /// How long a message may take.
    pub(super) long: Cell<u64>,
    sent: RefCell<BTreeSet<(String, String, &'static str, u32)>>,
}

impl Net {
    pub(super) fn new(bank: Rc<Bank>, seed: u64, loss: u64, long: u64) -> Self {
        let random = Random::new(seed, "net");
        Self { bank, random, loss: Cell::new(loss), long: Cell::new(long), sent: RefCell::default() }
    }

    /// Sends a call, and answers where its replies come in.
    fn send(self: &Rc<Self>, call: &Call) -> oneshot::Receiver<Outcome> {
        let key = (call.saga.to_string(), call.step.clone(), call.op.as_str(), call.attempt);
        if !self.sent.borrow_mut().insert(key) {
            let what =
                format!("{} of {} of {} was sent twice as {}", call.op, call.step, call.saga, call.attempt);
            self.bank.violations.borrow_mut().push(Violation::Attempt(what));
        }
        let (reply, answer) = oneshot::channel();
        let reply = Rc::new(Mutex::new(Some(reply)));
        let copies = 1 + u64::from(self.random.percent(self.loss.get()));
        for _ in 0..copies {
            if self.random.percent(self.loss.get()) {
                continue;
            }
            let (net, call, reply) = (Rc::clone(self), call.clone(), Rc::clone(&reply));
            spawn(async move {
                sleep(net.random.delay(net.long.get())).await;
                let outcome = net.bank.handle(&call);
                if net.random.percent(net.loss.get()) {
                    return;
                }
                sleep(net.random.delay(net.long.get())).await;
                if let Some(reply) = reply.lock().unwrap().take() {
                    reply.send(outcome).unwrap_or_default();
                }
            });
        }
        answer
    }
}

/// The engine wants what can be sent between threads; all of this stays on one.
#[derive(Clone, Debug)]
pub(super) struct Wire(pub(super) tokio::sync::mpsc::UnboundedSender<(Call, oneshot::Sender<Outcome>)>);

impl Wire {
    pub(super) fn new(net: &Rc<Net>) -> Self {
        let (sender, mut calls) = tokio::sync::mpsc::unbounded_channel::<(Call, oneshot::Sender<Outcome>)>();
        let net = Rc::clone(net);
        spawn(async move {
            while let Some((call, reply)) = calls.recv().await {
                let answer = net.send(&call);
                spawn(async move {
                    if let Ok(outcome) = answer.await {
                        reply.send(outcome).unwrap_or_default();
                    }
                });
            }
        });
        Self(sender)
    }
}

impl Executor for Wire {
    async fn send(&self, call: Call) -> Outcome {
        let (reply, answer) = oneshot::channel();
        self.0.send((call, reply)).unwrap();
        match answer.await {
            Ok(outcome) => outcome,
            // Lost: nobody ever says so.
            Err(_) => std::future::pending().await,
        }
    }
}
