//! What goes wrong at a callback. Random kills alone miss the worst: what matters is where in a call the coordinator dies, and that
//! several answers in a row are lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use aqueduct_sim::random::Random;

use crate::calls::{Call, Op};

/// Where in a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the participant applies it.
    Before,
    /// After it is applied, before the answer.
    Applied,
    /// After the answer's last byte.
    Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// kill -9 of the coordinator, which stays down for so long.
    Crash(When, Duration),
    /// SIGSTOP of the coordinator for so long, after it is applied and before the answer.
    Freeze(Duration),
    /// Applied; the connection closes instead of an answer, for this and so many further attempts of this operation.
    Lose(u32),
    /// Not applied, and closed.
    Drop,
    /// Not applied; answered with this status.
    Status(u16),
    /// Applied; answered with a status that says nothing.
    Blur(u16),
    /// Applied; what comes back is not HTTP, or the half of an answer.
    Garbage,
    /// Applied; nothing comes back until the other side closes.
    Silence,
    /// The network has a copy, which arrives much later.
    Copy,
}

/// Draws faults until there have been enough, so that every run comes to rest.
pub(crate) struct Script {
    random: Random,
    left: Mutex<Left>,
}

struct Left {
    crashes: u32,
    others: u32,
    /// Operations whose answers are being lost.
    losing: BTreeMap<(String, String, Op), u32>,
    /// What happens at the next calls of an operation, whatever is drawn.
    planted: BTreeMap<(String, String, Op), VecDeque<Fault>>,
}

impl Script {
    pub(crate) fn new(seed: u64, crashes: u32, others: u32) -> Self {
        let left = Left { crashes, others, losing: BTreeMap::new(), planted: BTreeMap::new() };
        Self { random: Random::new(seed, "faults"), left: Mutex::new(left) }
    }

    /// One in which nothing goes wrong but what is planted.
    pub(crate) fn quiet() -> Self {
        Self::new(0, 0, 0)
    }

    /// Lets these happen, one after the other, at calls of an operation of a saga.
    pub(crate) fn plant(&self, saga: &str, (step, op): (&str, Op), faults: &[Fault]) {
        let key = (saga.to_owned(), step.to_owned(), op);
        self.left.lock().unwrap().planted.insert(key, faults.iter().copied().collect());
    }

    pub(crate) fn draw(&self, call: &Call) -> Fault {
        let mut left = self.left.lock().unwrap();
        let key = (call.saga.clone(), call.step.clone(), call.op);
        if let Some(fault) = left.planted.get_mut(&key).and_then(VecDeque::pop_front) {
            return fault;
        }
        if let Some(lost) = left.losing.get_mut(&key).filter(|lost| **lost > 0) {
            *lost -= 1;
            return Fault::Lose(0);
        }
        let random = &self.random;
        if left.crashes > 0 && random.percent(15) {
            left.crashes -= 1;
            // Half of them stay down for longer than the short deadlines.
            let down = if random.percent(50) { Duration::ZERO } else { random.millis(100..1500) };
            let when = *random.pick(&[When::Before, When::Applied, When::Answered]);
            return Fault::Crash(when, down);
        }
        if left.others == 0 || random.percent(60) {
            return Fault::None;
        }
        left.others -= 1;
        let fault = match random.range(0..10) {
            0 | 1 => Fault::Lose(u32::try_from(random.range(0..5)).unwrap()),
            2 => Fault::Drop,
            3 => Fault::Status(*random.pick(&[301, 302, 307, 308, 400, 404, 408, 418, 429, 500, 503])),
            4 => Fault::Blur(*random.pick(&[303, 307, 403, 500, 502, 503])),
            5 => Fault::Garbage,
            6 => Fault::Silence,
            7 => Fault::Freeze(random.millis(50..800)),
            _ => Fault::Copy,
        };
        if let Fault::Lose(more) = fault {
            left.losing.insert(key, more);
        }
        fault
    }
}
