//! Participants under control of the test: what arrives is noted, a script says what goes wrong at it, and the ledger applies it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aqueduct_kit::until;

use crate::calls::{Call, Calls};
use crate::coordinator::Coordinator;
use crate::faults::{Fault, Script, When};
use crate::ledger::Ledger;
use crate::peer::{Answer, Peer, Request};

/// So many further calls a copy waits for before it arrives.
const COPY_WAITS: usize = 12;

/// Who applies calls: the books of this process, or processes of their own.
pub(crate) trait Books: Send + Sync + 'static {
    /// The status and the body to answer; `None` when nobody is there to say.
    fn apply(&self, call: &Call) -> Option<(u16, String)>;
}

pub(crate) struct World<B = Ledger> {
    pub(crate) coordinator: Arc<Coordinator>,
    pub(crate) calls: Calls,
    pub(crate) ledger: B,
    pub(crate) script: Script,
    copies: Mutex<Vec<(usize, Call)>>,
    /// Tells the nurse what to mend, and after how long.
    nurse: Mutex<Sender<(Mend, Duration)>>,
}

enum Mend {
    Restart,
    Resume,
}

impl<B: Books> World<B> {
    /// Participants with a ledger, and who starts the coordinator again when it was killed.
    pub(crate) fn start(coordinator: &Arc<Coordinator>, ledger: B, script: Script) -> (Arc<Self>, Vec<Peer>) {
        let (nurse, orders) = channel();
        let world = Arc::new(Self {
            coordinator: Arc::clone(coordinator),
            calls: Calls::default(),
            ledger,
            script,
            copies: Mutex::default(),
            nurse: Mutex::new(nurse),
        });
        let coordinator = Arc::clone(coordinator);
        thread::spawn(move || watch(&coordinator, &orders));
        let peer = || {
            let world = Arc::clone(&world);
            Peer::start(move |request: &Request| world.handle(request))
        };
        let peers = vec![peer(), peer()];
        (world, peers)
    }

    fn handle(self: &Arc<Self>, request: &Request) -> Answer {
        let Some((number, call)) = self.calls.note(request) else { return Answer::Reply(400, Vec::new()) };
        self.copies_until(number);
        let apply = || {
            let answer = self.ledger.apply(&call);
            move || match answer {
                Some((status, body)) => {
                    self.calls.answered(number, status);
                    Answer::Reply(status, body.into_bytes())
                }
                None => Answer::Close,
            }
        };
        let status = |status| {
            self.calls.answered(number, status);
            Answer::Reply(status, b"<html>".to_vec())
        };
        match self.script.draw(&call) {
            Fault::None => apply()(),
            Fault::Drop => Answer::Close,
            Fault::Status(code) => status(code),
            Fault::Crash(When::Before, down) => {
                self.crash(down);
                Answer::Close
            }
            Fault::Crash(When::Applied, down) => {
                drop(apply());
                self.crash(down);
                Answer::Close
            }
            Fault::Crash(When::Answered, down) => {
                let this = Arc::clone(self);
                Answer::Then(Box::new(apply()()), Box::new(move || this.crash(down)))
            }
            Fault::Freeze(span) => {
                let answer = apply();
                self.coordinator.pause();
                self.order(Mend::Resume, span);
                answer()
            }
            Fault::Lose(_) => {
                drop(apply());
                Answer::Close
            }
            Fault::Blur(code) => {
                drop(apply());
                status(code)
            }
            Fault::Garbage => {
                drop(apply());
                let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec();
                Answer::Raw(if number % 2 == 0 { half } else { b"\0\xffgarbage\r\n\r\n".to_vec() })
            }
            Fault::Silence => {
                drop(apply());
                Answer::Silence
            }
            Fault::Copy => {
                self.copies.lock().unwrap().push((number + COPY_WAITS, call.clone()));
                apply()()
            }
        }
    }

    fn crash(&self, down: Duration) {
        self.coordinator.kill();
        self.order(Mend::Restart, down);
    }

    fn order(&self, mend: Mend, after: Duration) {
        // Once the test has ended nobody is there to mend anything.
        drop(self.nurse.lock().unwrap().send((mend, after)));
    }

    /// Copies whose time has come arrive. Nobody reads their answers.
    pub(crate) fn copies_until(&self, number: usize) {
        let mut copies = self.copies.lock().unwrap();
        let (due, rest) = std::mem::take(&mut *copies).into_iter().partition(|(at, _)| *at <= number);
        *copies = rest;
        let due: Vec<(usize, Call)> = due;
        for (_, call) in due {
            self.ledger.apply(&call);
        }
    }
}

/// Sets right what faults have done to the coordinator. Each on a thread of its own: one that is being started can be stopped by a call
/// that it makes, and is ready only when it goes on.
fn watch(coordinator: &Arc<Coordinator>, orders: &Receiver<(Mend, Duration)>) {
    for (mend, after) in orders {
        let coordinator = Arc::clone(coordinator);
        thread::spawn(move || {
            pass(after);
            match mend {
                Mend::Restart => coordinator.restart(),
                Mend::Resume => coordinator.resume(),
            }
        });
    }
}

/// Lets time go by, where time itself is what is tested: no event says that a deadline is over.
pub(crate) fn pass(span: Duration) {
    until(span, || None::<()>);
}
