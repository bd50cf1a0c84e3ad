//! What the coordinator asked of participants: each call as it came, in order, and how it was answered.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

use crate::peer::Request;

/// To do a step, or to undo it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Execute,
    Compensate,
}

impl Op {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Compensate => "compensate",
        }
    }
}

/// A call, read from its request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) saga: String,
    pub(crate) step: String,
    pub(crate) op: Op,
    pub(crate) attempt: u32,
    pub(crate) path: String,
    pub(crate) payload: Vec<u8>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}/{}, attempt {}", self.op, self.saga, self.step, self.attempt)
    }
}

impl Call {
    /// `None` when it is not as the contract says.
    pub(crate) fn read(request: &Request) -> Option<Self> {
        let op = match request.header("x-saga-op")? {
            "execute" => Op::Execute,
            "compensate" => Op::Compensate,
            _ => return None,
        };
        let end = if op == Op::Execute { "/execute" } else { "/compensate" };
        let attempt = request.header("x-saga-attempt")?;
        let as_said = request.method == "POST" && request.path.ends_with(end) && !attempt.starts_with('0');
        as_said.then_some(())?;
        Some(Self {
            saga: request.header("x-saga-id")?.to_owned(),
            step: request.header("x-saga-step")?.to_owned(),
            op,
            attempt: attempt.parse().ok()?,
            path: request.path.clone(),
            payload: request.body.clone(),
        })
    }
}

/// A call that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) at: Instant,
    pub(crate) call: Call,
    /// The status that was written as an answer, if one was.
    pub(crate) answered: Option<u16>,
}

/// All calls, in the order in which they arrived.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    arrived: Mutex<Vec<Arrived>>,
    /// Requests that are not as the contract says.
    pub(crate) odd: Mutex<Vec<Request>>,
}

impl Calls {
    /// Notes a request. Its number, and the call.
    pub(crate) fn note(&self, request: &Request) -> Option<(usize, Call)> {
        let Some(call) = Call::read(request) else {
            self.odd.lock().unwrap().push(request.clone());
            return None;
        };
        let mut arrived = self.all();
        arrived.push(Arrived { at: Instant::now(), call: call.clone(), answered: None });
        Some((arrived.len() - 1, call))
    }

    /// Notes the answer. Before it is written: what the coordinator does next must find it here.
    pub(crate) fn answered(&self, number: usize, status: u16) {
        self.all()[number].answered = Some(status);
    }

    /// Those of a saga.
    pub(crate) fn of(&self, saga: &str) -> Vec<Arrived> {
        self.all().iter().filter(|arrived| arrived.call.saga == saga).cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arrived>> {
        self.arrived.lock().unwrap()
    }
}
