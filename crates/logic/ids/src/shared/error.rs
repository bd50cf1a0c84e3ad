//! What can go wrong with a shared lease.

use std::time::Duration;

use super::RegisterError;

/// Why a number cannot be claimed, kept or given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// The term is out of its bounds.
    #[error("a term of {term:?} cannot be used: 1 s to 1 h can")]
    Term {
        /// What was configured.
        term: Duration,
    },
    /// The worker number does not fit the layout.
    #[error("worker {worker} does not fit the layout: the highest is {max}")]
    Worker {
        /// What was configured.
        worker: u16,
        /// [`Layout::max_worker`](crate::Layout::max_worker).
        max: u16,
    },
    /// The fleet mints under another configuration, and minting under this one could repeat IDs.
    #[error(
        "{place} is for {setting} {stored}, but {configured} is configured: set {setting} to {stored}, or use another {place}"
    )]
    Mismatch {
        /// The register.
        place: String,
        /// Which setting differs.
        setting: &'static str,
        /// The fleet's.
        stored: String,
        /// This node's.
        configured: String,
    },
    /// The number that was asked for is another node's, which renews it.
    #[error(
        "worker {worker} is held by {holder}, which renews it: stop that one, or ask for another number, or for none"
    )]
    Held {
        /// The number.
        worker: u16,
        /// Who has it.
        holder: String,
    },
    /// All numbers are other nodes', which renew them.
    #[error(
        "all {workers} worker numbers are held by nodes that renew them: stop one, or use a layout with more"
    )]
    NoneFree {
        /// How many there are.
        workers: u32,
    },
    /// Another node has the number: this one did not renew it for a term. Final.
    #[error("worker {worker} was lost{}: it was not renewed for a term", by(holder))]
    Lost {
        /// The number.
        worker: u16,
        /// Who has it now; empty when nobody has.
        holder: String,
    },
    /// A row cannot be right, so it does not tell which IDs may exist.
    #[error("the row of worker {worker} in {place} is damaged, its mark is {mark}: restore it from a backup")]
    Damaged {
        /// The register.
        place: String,
        /// The number.
        worker: u16,
        /// What is there.
        mark: u64,
    },
    /// The register cannot be asked. May pass.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

fn by(holder: &str) -> String {
    if holder.is_empty() { String::new() } else { format!(" to {holder}") }
}
