//! What a step is, to who writes it and to the engine.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Input;
use super::outputs::Needs;
use crate::executor::{Call, Outcome};

/// Why a step was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Refused for good: nothing has happened, and nothing will.
    Rejected(String),
    /// It may or may not have happened; it is asked again.
    Unknown(String),
    /// Nobody can go on with this: the saga is parked.
    Broken(String),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected(why) => Self::Rejected(why),
            Failure::Unknown(why) => Self::Unknown(why),
            Failure::Broken(why) => Self::Broken(why),
        }
    }
}

/// A step. It may be called again with the same saga and step, after a crash or a lost answer, and must then take effect
/// once: [`barrier`](crate::barrier) sees to that, with [`Call::key`].
pub trait Action<T: Input>: Send + Sync + 'static {
    /// What it takes of earlier steps' outputs, as a tuple of up to four types: `()`, `(Receipt,)`.
    type Needs: Needs;
    /// What later steps may take. Kept in the log as JSON. Two steps of one saga whose outputs are taken have different types.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Its name, unique in the saga: 1 to 128 visible ASCII characters.
    fn name(&self) -> &str;

    /// Where it is sent; empty for a local step.
    #[expect(clippy::unnecessary_literal_bound, reason = "others answer what they own")]
    fn target(&self) -> &str {
        ""
    }

    /// Does it.
    fn execute(
        &self,
        call: &Call,
        input: &T,
        needs: Self::Needs,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// A step that can be undone.
pub trait Undo<T: Input>: Action<T> {
    /// Undoes it, or makes sure that it never happens, should it not have arrived. `output` is there if it was answered.
    fn undo(
        &self,
        call: &Call,
        input: &T,
        needs: Self::Needs,
        output: Option<Self::Output>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A step without its types.
pub(super) trait Erased<T>: Send + Sync {
    fn execute<'a>(&'a self, call: &'a Call, input: &'a T) -> BoxFuture<'a, Outcome>;
    fn undo<'a>(&'a self, call: &'a Call, input: &'a T) -> BoxFuture<'a, Outcome>;
}

/// Reads what a step needs from the outputs in a call.
pub(super) type Read<N> = Box<dyn Fn(&Call) -> Result<N, String> + Send + Sync>;

/// A step that is never undone.
pub(super) struct Plain<S, N> {
    pub(super) step: S,
    pub(super) needs: Read<N>,
}

/// A step that can be.
pub(super) struct Undoable<S, N>(pub(super) Plain<S, N>);

impl<S, N> Plain<S, N> {
    async fn execute<T: Input>(&self, call: &Call, input: &T) -> Outcome
    where
        S: Action<T, Needs = N>,
        N: Needs,
    {
        let needs = match (self.needs)(call) {
            Ok(needs) => needs,
            Err(why) => return Outcome::Broken(why),
        };
        match self.step.execute(call, input, needs).await {
            Ok(output) => match serde_json::to_vec(&output) {
                Ok(output) => Outcome::Done(Bytes::from(output)),
                Err(error) => Outcome::Broken(format!("its output cannot be written: {error}")),
            },
            Err(failure) => failure.into(),
        }
    }
}

impl<T: Input, N: Needs, S: Action<T, Needs = N>> Erased<T> for Plain<S, N> {
    fn execute<'a>(&'a self, call: &'a Call, input: &'a T) -> BoxFuture<'a, Outcome> {
        Box::pin(self.execute(call, input))
    }

    fn undo<'a>(&'a self, _: &'a Call, _: &'a T) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Broken("it has no undo".to_owned()) })
    }
}

impl<T: Input, N: Needs, S: Undo<T, Needs = N>> Erased<T> for Undoable<S, N> {
    fn execute<'a>(&'a self, call: &'a Call, input: &'a T) -> BoxFuture<'a, Outcome> {
        Box::pin(self.0.execute(call, input))
    }

    fn undo<'a>(&'a self, call: &'a Call, input: &'a T) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Plain { step, needs } = &self.0;
            let own = call.outputs.iter().find(|(number, _)| *number == call.number);
            let output = own.map(|(_, output)| serde_json::from_slice(output)).transpose();
            let (needs, output) = match (needs(call), output) {
                (Ok(needs), Ok(output)) => (needs, output),
                (Err(why), _) => return Outcome::Broken(why),
                (_, Err(error)) => return Outcome::Broken(format!("its output cannot be read: {error}")),
            };
            match step.undo(call, input, needs, output).await {
                Ok(()) => Outcome::Done(Bytes::new()),
                Err(failure) => failure.into(),
            }
        })
    }
}
