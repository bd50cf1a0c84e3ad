//! Where the sagas of transfers are: in this node's own store, or in a database that all nodes share.
//!
//! An enum and not a trait, as `book` is one.

use std::time::Duration;

use aqueduct_saga::fjall::Fjall;
use aqueduct_saga::mysql::Mysql;
use aqueduct_saga::{Coordinator, SagaId, Snapshot, StoreError, Submit, SubmitError, View};
use tokio::sync::watch;

/// Where the sagas are.
#[derive(Debug)]
pub(crate) enum Sagas {
    Embedded(Coordinator<Fjall>),
    /// `None` while the database has no primary that answers.
    Shared(watch::Receiver<Option<Coordinator<Mysql>>>),
}

impl Sagas {
    /// Takes a saga, durably.
    pub(crate) async fn submit(&self, submit: Submit) -> Result<(), SubmitError> {
        match self {
            Self::Embedded(sagas) => sagas.submit(submit).await.map(drop),
            Self::Shared(sagas) => shared(sagas)?.submit(submit).await.map(drop),
        }
    }

    /// A saga, whole.
    pub(crate) async fn get(&self, id: &SagaId) -> Result<Option<View>, StoreError> {
        match self {
            Self::Embedded(sagas) => sagas.get(id).await,
            Self::Shared(sagas) => shared(sagas)?.get(id).await,
        }
    }

    /// The saga at its end, or when `limit` is over.
    pub(crate) async fn wait(&self, id: &SagaId, limit: Duration) -> Result<Option<View>, StoreError> {
        match self {
            Self::Embedded(sagas) => sagas.wait(id, limit).await,
            Self::Shared(sagas) => shared(sagas)?.wait(id, limit).await,
        }
    }

    /// Figures. Those of the store are nothing while it does not answer.
    pub(crate) fn snapshot(&self) -> Snapshot {
        match self {
            Self::Embedded(sagas) => sagas.snapshot(),
            Self::Shared(sagas) => shared(sagas).map(|sagas| sagas.snapshot()).unwrap_or_default(),
        }
    }
}

/// The coordinator on the primary that is known now.
fn shared(sagas: &watch::Receiver<Option<Coordinator<Mysql>>>) -> Result<Coordinator<Mysql>, StoreError> {
    let sagas = sagas.borrow().clone();
    sagas.ok_or_else(|| StoreError::Unavailable("the database of the transfers cannot be reached".to_owned()))
}
