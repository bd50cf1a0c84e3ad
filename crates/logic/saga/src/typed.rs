//! Sagas as Rust code: steps with typed inputs and outputs, checked when they are compiled.
//!
//! ```
//! # use aqueduct_saga::typed::{Action, Definitions, Failure, Input, Saga, Undo};
//! # use aqueduct_saga::{Call, Coordinator, Memory, Options, Status};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Transfer { from: u64, to: u64, cents: i64 }
//! impl Input for Transfer {
//!     const NAME: &'static str = "transfer";
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Receipt(String);
//!
//! struct Debit;
//! impl Action<Transfer> for Debit {
//!     type Needs = ();
//!     type Output = Receipt;
//!     fn name(&self) -> &str { "debit" }
//!     async fn execute(&self, _: &Call, input: &Transfer, (): ()) -> Result<Receipt, Failure> {
//!         if input.cents > 100_00 { return Err(Failure::Rejected("too much".into())) }
//!         Ok(Receipt(format!("{} from {}", input.cents, input.from)))
//!     }
//! }
//! impl Undo<Transfer> for Debit {
//!     async fn undo(&self, _: &Call, _: &Transfer, (): (), _: Option<Receipt>) -> Result<(), Failure> {
//!         Ok(())
//!     }
//! }
//!
//! /// Takes what an earlier step has answered.
//! struct Credit;
//! impl Action<Transfer> for Credit {
//!     type Needs = (Receipt,);
//!     type Output = ();
//!     fn name(&self) -> &str { "credit" }
//!     async fn execute(&self, _: &Call, _: &Transfer, (receipt,): (Receipt,)) -> Result<(), Failure> {
//!         assert_eq!(receipt.0, "500 from 1");
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transfers = Saga::<Transfer>::builder().compensable(Debit).pivot(Credit).build()?;
//! let transfer = transfers.submission("t-1", &Transfer { from: 1, to: 2, cents: 500 })?;
//!
//! let sagas = Coordinator::open(Memory::default(), Options::default())?;
//! let run = sagas.run(Definitions::new().with(transfers)?, std::future::pending());
//! let done = async {
//!     sagas.submit(transfer.clone()).await?;
//!     sagas.wait(&transfer.id, std::time::Duration::from_secs(10)).await.map_err(Into::into)
//! };
//! let view = tokio::select! {
//!     view = done => view.map_err(|error: aqueduct_saga::SubmitError| error)?,
//!     end = run => panic!("the store failed: {end:?}"),
//! };
//! assert_eq!(view.unwrap().status, Status::Completed);
//! # Ok(()) }
//! ```
//!
//! What is wrong does not compile: a compensable step without an undo,
//! ```compile_fail
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/typed/example.rs"));
//! # fn main() {
//! let _ = Saga::<Transfer>::builder().compensable(Credit).build();
//! # }
//! ```
//! a second pivot,
//! ```compile_fail
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/typed/example.rs"));
//! # fn main() {
//! let _ = Saga::<Transfer>::builder().compensable(Debit).pivot(Credit).pivot(Credit).build();
//! # }
//! ```
//! a compensable step behind the pivot,
//! ```compile_fail
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/typed/example.rs"));
//! # fn main() {
//! let _ = Saga::<Transfer>::builder().compensable(Debit).pivot(Credit).compensable(Debit).build();
//! # }
//! ```
//! and a step that needs what no step before it has answered.
//! ```compile_fail
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/typed/example.rs"));
//! # fn main() {
//! let _ = Saga::<Transfer>::builder().pivot(Credit).build();
//! # }
//! ```
//! What is right does:
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/typed/example.rs"));
//! # fn main() {
//! let _ = Saga::<Transfer>::builder().compensable(Debit).pivot(Credit).retriable(Credit).build();
//! # }
//! ```

mod builder;
mod outputs;
mod remote;
mod step;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

pub use builder::{AfterPivot, Builder, Compensables, Early, Phase, Retriables, Some, Start};
pub use outputs::{Find, Here, Needs, Pick, There};
pub use remote::Remote;
pub use step::{Action, Failure, Undo};

use crate::coordinator::Submit;
use crate::executor::{Call, Executor, Outcome};
use crate::id::{InvalidId, SagaId};
use crate::plan::{Definition, Kind, Op, Plan, PlanStep};
use step::Erased;

/// What a saga begins with. It is kept in the log as JSON, so what it is made of should only grow.
pub trait Input: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The definition's name, the same for as long as there are such sagas.
    const NAME: &'static str;
}

/// A definition: what steps there are, and what they do.
pub struct Saga<T> {
    steps: Vec<Step<T>>,
    hash: [u8; 32],
}

pub(crate) struct Step<T> {
    plan: PlanStep,
    work: Box<dyn Erased<T>>,
}

impl<T> fmt::Debug for Saga<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| &step.plan.name)).finish()
    }
}

/// A definition that makes no sense, or is there twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDefinition(String);

/// A submission that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The id is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The input cannot be written as JSON.
    #[error("the input cannot be written: {0}")]
    Input(#[from] serde_json::Error),
}

impl<T: Input> Saga<T> {
    /// Begins a definition.
    pub fn builder() -> Builder<T, Start, (), ()> {
        Builder::new()
    }

    fn new(steps: Vec<Step<T>>) -> Result<Self, InvalidDefinition> {
        let plan = Plan {
            definition: Definition::Dynamic,
            steps: steps.iter().map(|step| step.plan.clone()).collect(),
            fingerprint: [0; 32],
        };
        plan.validate().map_err(InvalidDefinition)?;
        let mut hash = Sha256::new();
        hash.update(T::NAME);
        for step in &plan.steps {
            let kind = match step.kind {
                Kind::Compensable => 'c',
                Kind::Pivot => 'p',
                Kind::Retriable => 'r',
            };
            hash.update(format!("\0{} {kind} {}", step.name, step.together));
        }
        Ok(Self { steps, hash: hash.finalize().into() })
    }

    /// A saga of this definition. The same id with the same input is the same saga, whatever became of the definition since;
    /// so the input must be written alike each time: a `HashMap` in it is not.
    pub fn submission(&self, id: &str, input: &T) -> Result<Submit, SubmissionError> {
        let input = Bytes::from(serde_json::to_vec(input)?);
        let fingerprint =
            Sha256::new().chain_update(T::NAME).chain_update([0]).chain_update(&input).finalize();
        let plan = Plan {
            definition: Definition::Typed { name: T::NAME.to_owned(), hash: self.hash, input },
            steps: self.steps.iter().map(|step| step.plan.clone()).collect(),
            fingerprint: fingerprint.into(),
        };
        Ok(Submit { id: SagaId::new(id)?, plan, deadline: None, context: Vec::new() })
    }
}

trait ErasedSaga: Send + Sync {
    fn hash(&self) -> [u8; 32];
    fn send<'a>(&'a self, call: &'a Call, input: &'a [u8]) -> BoxFuture<'a, Outcome>;
}

impl<T: Input> ErasedSaga for Saga<T> {
    fn hash(&self) -> [u8; 32] {
        self.hash
    }

    fn send<'a>(&'a self, call: &'a Call, input: &'a [u8]) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(step) = self.steps.get(call.number) else {
                return Outcome::Broken(format!("there is no step {}", call.number));
            };
            let input = match serde_json::from_slice(input) {
                Ok(input) => input,
                Err(error) => return Outcome::Broken(format!("the input cannot be read: {error}")),
            };
            match call.op {
                Op::Execute => step.work.execute(call, &input).await,
                Op::Compensate => step.work.undo(call, &input).await,
            }
        })
    }
}

/// The definitions that this process knows: the executor of typed sagas.
#[derive(Clone, Default)]
pub struct Definitions(HashMap<&'static str, Arc<dyn ErasedSaga>>);

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Definitions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn with<T: Input>(mut self, saga: Saga<T>) -> Result<Self, InvalidDefinition> {
        if self.0.insert(T::NAME, Arc::new(saga)).is_some() {
            return Err(InvalidDefinition(format!("two definitions have the name {:?}", T::NAME)));
        }
        Ok(self)
    }

    fn find(&self, definition: &Definition) -> Option<&Arc<dyn ErasedSaga>> {
        let Definition::Typed { name, hash, .. } = definition else { return None };
        self.0.get(name.as_str()).filter(|saga| saga.hash() == *hash)
    }
}

impl Executor for Definitions {
    async fn send(&self, call: Call) -> Outcome {
        match (self.find(&call.definition), &call.definition) {
            (Some(saga), Definition::Typed { input, .. }) => saga.send(&call, input).await,
            _ => Outcome::Broken("its definition is unknown here".to_owned()),
        }
    }

    fn knows(&self, definition: &Definition) -> bool {
        self.find(definition).is_some()
    }
}
