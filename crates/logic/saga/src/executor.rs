//! Who carries a call to a participant: HTTP, gRPC, or code in this process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::barrier;
use crate::id::SagaId;
use crate::plan::{Definition, Op};

/// One attempt of one operation of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Of which saga.
    pub saga: SagaId,
    /// Who knows what the step does.
    pub definition: Definition,
    /// The step's name.
    pub step: String,
    /// Its number in the plan, from 0.
    pub number: usize,
    /// What is asked.
    pub op: Op,
    /// From 1 for a step and operation, rising with each send, over restarts too.
    pub attempt: u32,
    /// The plan's.
    pub target: String,
    /// The plan's.
    pub payload: Bytes,
    /// What came with the submission: trace, colour. Opaque here.
    pub context: Vec<(String, String)>,
    /// What earlier steps answered, by their number; for a compensation also what its own step answered, if it did.
    pub outputs: Vec<(usize, Bytes)>,
    /// When the engine stops waiting: the answer is then [`Outcome::Unknown`], and the future is dropped.
    pub timeout: Duration,
}

impl Call {
    /// What a participant's [`barrier`] is asked with.
    pub fn key(&self) -> barrier::Key<'_> {
        barrier::Key { saga: self.saga.as_str(), step: &self.step, op: self.op }
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with what it answered.
    Done(Bytes),
    /// Refused for good: nothing has happened, and nothing will, not even if a copy of the call arrives later.
    Rejected(String),
    /// It may or may not have happened. It is asked again.
    Unknown(String),
    /// It makes no sense to ask again: the code is wrong (a panic, an answer nobody can read). The saga is parked at once.
    Broken(String),
}

/// Carries calls to participants. A panic within it parks the saga.
pub trait Executor: Send + Sync {
    /// Makes one attempt.
    fn send(&self, call: Call) -> impl Future<Output = Outcome> + Send;

    /// Whether it can carry calls of such sagas. One that it cannot is parked.
    fn knows(&self, definition: &Definition) -> bool {
        matches!(definition, Definition::Dynamic)
    }
}

impl<E: Executor> Executor for Arc<E> {
    async fn send(&self, call: Call) -> Outcome {
        E::send(self, call).await
    }

    fn knows(&self, definition: &Definition) -> bool {
        E::knows(self, definition)
    }
}
