//! What a shared lease needs of the store that all nodes reach: rows that are written by compare-and-swap, durably.

use std::time::Duration;

use crate::layout::Layout;

/// What is stored of a worker number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who has it; empty when it is free.
    pub holder: String,
    /// Times below this, in ms since the epoch, may have been used.
    pub mark: u64,
}

/// A row, and how often it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Another one after each write, never one that was before, and not 0.
    pub version: u64,
    /// What is stored.
    pub row: Row,
}

/// What all nodes of a fleet must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`Layout::sequence_bits`].
    pub sequence_bits: u32,
    /// The instant that IDs count from, in ms of Unix time.
    pub epoch_ms: u64,
}

impl Settings {
    pub(super) fn of(layout: Layout, epoch_ms: u64) -> Self {
        Self { sequence_bits: layout.sequence_bits(), epoch_ms }
    }
}

/// A store of rows by worker number.
///
/// Every answer must be the newest there is (of the primary, linearizable), and a swap durable before it is answered, or the same
/// IDs can be minted again after the store has crashed.
pub trait Register: Send + Sync {
    /// What people call it.
    fn place(&self) -> String;

    /// Stores `proposed` if nothing is stored yet, and answers what is.
    fn settings(&self, proposed: Settings) -> impl Future<Output = Result<Settings, RegisterError>> + Send;

    /// Every row that was ever written.
    fn read(&self) -> impl Future<Output = Result<Vec<(u16, Entry)>, RegisterError>> + Send;

    /// Writes the row of `worker` if its version is `expect` (0: there is none), and answers its new version; `None` if it is not.
    fn swap(
        &self,
        worker: u16,
        expect: u64,
        row: Row,
    ) -> impl Future<Output = Result<Option<u64>, RegisterError>> + Send;
}

/// The register could not be asked, or did not answer; what was asked may have been done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the register of id workers cannot be used: {0}")]
pub struct RegisterError(pub String);

/// A register that stands still is as good as one that is gone.
pub(super) async fn within<T>(
    patience: Duration,
    what: impl Future<Output = Result<T, RegisterError>>,
) -> Result<T, RegisterError> {
    let late = |_| RegisterError(format!("no answer within {patience:?}"));
    tokio::time::timeout(patience, what).await.map_err(late)?
}
