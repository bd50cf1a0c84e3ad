//! Whether the store still works: it fails once, with a reason, and for good.

use std::sync::Arc;

use tokio::sync::SetOnce;

/// Why a store failed: the first error that [`Store::apply`](crate::Store::apply) met, or what [`Fsm::fail`](crate::Fsm::fail)
/// was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {reason}")]
pub struct Failure {
    reason: Arc<str>,
}

impl Failure {
    /// A failure of something else that the same owner gives up on.
    pub fn new(reason: &str) -> Self {
        Self { reason: reason.into() }
    }

    /// The error and its causes, on one line.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// The first failure, and those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failure: SetOnce<Failure>,
}

impl Health {
    /// True until the first failure.
    pub(crate) fn ok(&self) -> bool {
        !self.failure.initialized()
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.get().cloned()
    }

    /// Notes a failure and logs it, if it is the first.
    pub(crate) fn fail(&self, committer: &str, reason: &str) {
        if self.failure.set(Failure { reason: reason.into() }).is_ok() {
            tracing::error!(
                committer,
                reason,
                "the store failed: nothing more is acknowledged, a restart is needed"
            );
        }
    }

    pub(crate) async fn failed(&self) -> Failure {
        self.failure.wait().await.clone()
    }
}
