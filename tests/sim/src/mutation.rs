//! The promises that tests break on purpose, to see that the checker notices.

use aqueduct_cache::l2;

/// One promise, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// An invalidation of the second level deletes the entry and leaves no floor.
    BareDelete,
    /// A fill of the second level needs no lease.
    NoLease,
    /// The scripts compare versions as Lua's numbers.
    ToNumber,
    /// All masters of the second level write the same stamp.
    NoStamp,
    /// The answer of a master that was replaced counts.
    AnyMaster,
    /// The checkpoint moves on when a transaction is handed over.
    CheckpointBeforeAcknowledge,
    /// The rows of a distributed transaction are told when it is prepared.
    XaReleasedAtPrepare,
    /// The instances share one place in the stream of changes.
    QueueGroup,
    /// What the first level has ways to break of its own: above all, what was loaded is kept though a fence came in between.
    Level1(aqueduct_cache::Mutation),
}

impl Mutation {
    /// The same in the scripts.
    pub(crate) fn script(self) -> Option<l2::Mutation> {
        match self {
            Self::BareDelete => Some(l2::Mutation::BareDelete),
            Self::NoLease => Some(l2::Mutation::NoLease),
            Self::ToNumber => Some(l2::Mutation::ToNumber),
            Self::NoStamp => Some(l2::Mutation::NoStamp),
            Self::AnyMaster => Some(l2::Mutation::AnyMaster),
            _ => None,
        }
    }
}
