//! What is shown of a saga.

use std::fmt;

use bytes::Bytes;

use crate::id::SagaId;
use crate::plan::{Kind, Op};

/// Milliseconds of Unix time, on the store's clock.
pub type Millis = u64;

/// Where a saga stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// On its way forward.
    Running,
    /// Turned: its steps are being undone.
    Compensating,
    /// All steps are done. Terminal.
    Completed,
    /// All that was done is undone. Terminal.
    Compensated,
    /// Waits for somebody's decision: retry, skip or abandon.
    Parked,
    /// Given up by somebody. Terminal.
    Abandoned,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Compensating,
        Self::Completed,
        Self::Compensated,
        Self::Parked,
        Self::Abandoned,
    ];

    /// It never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Abandoned)
    }

    /// In capitals, as the APIs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Compensating => "COMPENSATING",
            Self::Completed => "COMPLETED",
            Self::Compensated => "COMPENSATED",
            Self::Parked => "PARKED",
            Self::Abandoned => "ABANDONED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A saga, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its id.
    pub id: SagaId,
    /// Where it stands.
    pub status: Status,
    /// Why it turned, was parked or abandoned; empty otherwise.
    pub reason: String,
    /// The definition's name; empty for a dynamic one.
    pub definition: String,
    /// What a typed saga began with, as its code has written it; empty for a dynamic one.
    pub input: Bytes,
    /// When it was submitted.
    pub created_at: Millis,
    /// When it must turn, if it has not gone past its pivot.
    pub deadline_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// What came with the submission.
    pub context: Vec<(String, String)>,
    /// Its steps, in the plan's order; empty when the log is damaged.
    pub steps: Vec<StepView>,
    /// What happened, in order.
    pub timeline: Vec<Entry>,
}

/// A step, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// How it may be treated.
    pub kind: Kind,
    /// Where it is sent; empty for a local step.
    pub target: String,
    /// How far its execution is.
    pub execute: Progress,
    /// How far its compensation is.
    pub compensate: Progress,
    /// What it answered, once it is done.
    pub output: Option<Bytes>,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The attempt that was sent last; 0 when none was.
    pub attempts: u32,
    /// Where it stands.
    pub phase: Phase,
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// Not sent.
    #[default]
    Idle,
    /// Sent, and not answered.
    Sent,
    /// Answered without saying whether it was done; sent again at that time.
    Waiting(Millis),
    /// Done, or skipped by somebody.
    Done,
    /// Refused for good.
    Rejected,
}

/// One line of what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The number of the transition, from 1; what was decided together has the same.
    pub seq: u64,
    /// When, on the store's clock.
    pub at: Millis,
    /// What.
    pub what: What,
    /// Of which step.
    pub step: Option<String>,
    /// Of which of its operations.
    pub op: Option<Op>,
    /// Which attempt; 0 where it has no meaning.
    pub attempt: u32,
    /// A reason, an actor, an error; empty where there is none.
    pub detail: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// It was submitted.
    Created,
    /// The intent of a call, written before the call.
    Sent,
    /// A call was answered: done.
    Done,
    /// A call was answered: refused for good.
    Rejected,
    /// A call was not answered, or with nothing definite.
    Unknown,
    /// The intent of a call that was then not made.
    Withdrawn,
    /// The turn to compensation.
    Turned,
    /// All steps are done.
    Completed,
    /// All is undone.
    Compensated,
    /// Waits for a decision.
    Parked,
    /// Somebody decided to try again; the detail names who.
    Retried,
    /// Somebody decided to go on as if the step were done.
    Skipped,
    /// Somebody gave it up.
    Abandoned,
    /// A row of the log that cannot be read.
    Damaged,
}

impl What {
    /// In capitals, as the APIs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Sent => "SENT",
            Self::Done => "DONE",
            Self::Rejected => "REJECTED",
            Self::Unknown => "UNKNOWN",
            Self::Withdrawn => "WITHDRAWN",
            Self::Turned => "TURNED",
            Self::Completed => "COMPLETED",
            Self::Compensated => "COMPENSATED",
            Self::Parked => "PARKED",
            Self::Retried => "RETRIED",
            Self::Skipped => "SKIPPED",
            Self::Abandoned => "ABANDONED",
            Self::Damaged => "DAMAGED",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A saga in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub id: SagaId,
    /// Where it stands.
    pub status: Status,
    /// Why it turned, was parked or abandoned; empty otherwise.
    pub reason: String,
    /// The definition's name; empty for a dynamic one.
    pub definition: String,
    /// When it was submitted.
    pub created_at: Millis,
    /// When it must turn.
    pub deadline_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Option<Millis>,
}

/// Which sagas to list, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Only those that wait for somebody: parked ones.
    pub stuck: bool,
    /// Only those of this status.
    pub status: Option<Status>,
    /// Only those behind this one.
    pub after: Option<SagaId>,
    /// So many at most.
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self { stuck: false, status: None, after: None, limit: 100 }
    }
}

impl Filter {
    /// The status that is wanted; `None` for any.
    pub fn wanted(&self) -> Option<Status> {
        if self.stuck { Some(Status::Parked) } else { self.status }
    }
}
