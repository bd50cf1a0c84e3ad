//! A step of a typed saga that somebody else does.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Input;
use super::outputs::Needs;
use super::step::{Action, Failure, Undo};
use crate::executor::{Call, Executor, Outcome};
use crate::plan::Definition;

/// A step at a participant: what it is sent is made of the saga's input and what the step needs, and is the same for its
/// compensation.
pub struct Remote<E, T, N, O> {
    executor: E,
    name: String,
    target: String,
    request: Request<T, N>,
    output: std::marker::PhantomData<fn() -> O>,
}

type Request<T, N> = Box<dyn Fn(&T, N) -> Result<Vec<u8>, serde_json::Error> + Send + Sync>;

impl<E: fmt::Debug, T, N, O> fmt::Debug for Remote<E, T, N, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("name", &self.name)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl<E, T, N, O> Remote<E, T, N, O> {
    /// A step that `executor` carries to `target`, with a request that is written as JSON.
    pub fn new<R: Serialize>(
        executor: E,
        name: impl Into<String>,
        target: impl Into<String>,
        request: impl Fn(&T, N) -> R + Send + Sync + 'static,
    ) -> Self {
        Self {
            executor,
            name: name.into(),
            target: target.into(),
            request: Box::new(move |input, needs| serde_json::to_vec(&request(input, needs))),
            output: std::marker::PhantomData,
        }
    }
}

impl<E: Executor, T: Input, N, O> Remote<E, T, N, O> {
    async fn send(&self, call: &Call, input: &T, needs: N) -> Result<Bytes, Failure> {
        let payload = (self.request)(input, needs).map_err(|error| Failure::Broken(error.to_string()))?;
        let call = Call {
            definition: Definition::Dynamic,
            target: self.target.clone(),
            payload: payload.into(),
            outputs: Vec::new(),
            ..call.clone()
        };
        match self.executor.send(call).await {
            Outcome::Done(output) => Ok(output),
            Outcome::Rejected(why) => Err(Failure::Rejected(why)),
            Outcome::Unknown(why) => Err(Failure::Unknown(why)),
            Outcome::Broken(why) => Err(Failure::Broken(why)),
        }
    }
}

impl<E, T, N, O> Action<T> for Remote<E, T, N, O>
where
    E: Executor + 'static,
    T: Input,
    N: Needs,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    type Needs = N;
    type Output = O;

    fn name(&self) -> &str {
        &self.name
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn execute(&self, call: &Call, input: &T, needs: N) -> Result<O, Failure> {
        let output = self.send(call, input, needs).await?;
        // Nothing is what `()` is read from.
        let output = if output.is_empty() { Bytes::from_static(b"null") } else { output };
        serde_json::from_slice(&output)
            .map_err(|error| Failure::Broken(format!("its answer cannot be read: {error}")))
    }
}

impl<E, T, N, O> Undo<T> for Remote<E, T, N, O>
where
    E: Executor + 'static,
    T: Input,
    N: Needs,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    async fn undo(&self, call: &Call, input: &T, needs: N, _: Option<O>) -> Result<(), Failure> {
        self.send(call, input, needs).await.map(drop)
    }
}
