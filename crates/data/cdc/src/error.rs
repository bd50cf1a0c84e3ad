//! Why a reader ends, and what to do about it.

use crate::checkpoint::CheckpointError;
use crate::decode::Unreadable;

/// What ends a reader. A server that cannot be reached does so only at the start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server, its tables or the options are not fit for it. All that was found.
    #[error("changes cannot be captured from {server}: {}", .findings.join("; "))]
    Setup {
        /// Where.
        server: String,
        /// What to change, each a sentence.
        findings: Vec<String>,
    },
    /// The server refuses the login, or what it needs.
    #[error(
        "{server} refuses user {user:?}: check its password and whether it must use TLS, or show a certificate, and GRANT \
         REPLICATION SLAVE ON *.* and SELECT on the watched tables to it ({message})"
    )]
    Denied {
        /// Where.
        server: String,
        /// Who.
        user: String,
        /// The server's words.
        message: String,
    },
    /// Another client took the reader's place.
    #[error(
        "another replica or reader of {server} has the server id {id}, too, and each ends the other: give every one its own"
    )]
    SameServerId {
        /// Where.
        server: String,
        /// Which.
        id: u32,
    },
    /// The checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The stream cannot be followed.
    #[error("cannot follow {server}: {source}")]
    Unreadable {
        /// Where.
        server: String,
        /// Which event.
        source: Unreadable,
    },
    /// The sink did not take a transaction; the checkpoint stands before it.
    #[error("the sink refused a transaction: {0}")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server could not be reached, or broke off.
    #[error("cannot reach {server}: {message}")]
    Unreachable {
        /// Where.
        server: String,
        /// What happened.
        message: String,
    },
}
