//! The log: what happened to a saga, one row a transition, from which its state is folded.

mod codec;
pub(crate) mod tail;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::plan::{Op, Plan};
use crate::view::Millis;

/// One row: what was decided together, and is durable together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When, on the store's clock.
    pub at: Millis,
    /// Under which epoch.
    pub epoch: u64,
    /// The number of the row before it, 0 for the first. There may be gaps: rows about attempts that went on and on.
    pub prev: u64,
    /// What, in order.
    pub events: Vec<Event>,
}

/// A row that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row of the log is damaged")]
pub struct DamagedRow;

impl Row {
    /// Its bytes, with a checksum.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads them back.
    pub fn decode(bytes: &[u8]) -> Result<Self, DamagedRow> {
        codec::decode(bytes).ok_or(DamagedRow)
    }
}

/// Which call an event is about: step, operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spot {
    /// The step's number in the plan.
    pub step: usize,
    /// Its operation.
    pub op: Op,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The submission. The first event of a log, and only there.
    Created {
        /// What to do.
        plan: Plan,
        /// What came along.
        context: Vec<(String, String)>,
        /// When to turn.
        deadline_at: Option<Millis>,
    },
    /// The intent of a call, durable before the call.
    Sent {
        /// Which.
        spot: Spot,
        /// From 1, rising.
        attempt: u32,
    },
    /// The answer: done.
    Done {
        /// To which call.
        spot: Spot,
        /// With what.
        output: Bytes,
    },
    /// The answer: refused for good.
    Rejected {
        /// To which call.
        spot: Spot,
        /// Why.
        reason: String,
    },
    /// No definite answer.
    Unknown {
        /// To which call.
        spot: Spot,
        /// To which of its attempts.
        attempt: u32,
        /// So many have failed, this one included.
        failures: u32,
        /// What went wrong.
        reason: String,
        /// When to ask again.
        retry_at: Millis,
    },
    /// An intent whose call was not made, and never will be.
    Withdrawn {
        /// Which.
        spot: Spot,
    },
    /// From here on what was done is undone.
    Turned {
        /// Why.
        reason: String,
    },
    /// All steps are done.
    Completed,
    /// All is undone.
    Compensated,
    /// Nothing more happens until somebody decides.
    Parked {
        /// The call that is stuck, if it is one.
        spot: Option<Spot>,
        /// Why.
        reason: String,
    },
    /// Somebody decided to try again.
    Retried {
        /// Who.
        actor: String,
    },
    /// Somebody decided to go on as if the stuck call were done.
    Skipped {
        /// Who.
        actor: String,
    },
    /// Somebody gave it up.
    Abandoned {
        /// Who.
        actor: String,
    },
}
