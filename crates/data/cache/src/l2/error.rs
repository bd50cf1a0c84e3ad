//! Why the second level did not answer.

use std::time::Duration;

/// An error of the client below.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why the second level did not answer. None of them loses an invalidation that was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option is out of its bounds.
    #[error("{0}")]
    Options(&'static str),
    /// A table or a primary key that cannot be part of a key.
    #[error("the table {name:?} cannot be cached: {why}")]
    Key {
        /// The table.
        name: String,
        /// What is wrong, and what to do.
        why: &'static str,
    },
    /// The data of an entry is over the limit. It was not sent.
    #[error("the value has {size} bytes, and {limit} are allowed: do not cache this row, or raise max_value")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// [`Options::max_value`](super::Options::max_value).
        limit: usize,
    },
    /// The server is no node of a cluster.
    #[error(
        "the Redis at {0} is no cluster: start it with cluster-enabled yes and join nodes by redis-cli --cluster create"
    )]
    NoCluster(String),
    /// Some slots have no master.
    #[error(
        "the Redis Cluster does not serve all slots ({0}): look at redis-cli --cluster check, bring the lost master back or run redis-cli --cluster fix"
    )]
    Uncovered(String),
    /// No answer in time. A write may have been done or not: both are safe.
    #[error("Redis did not answer {command} within {limit:?}")]
    TimedOut {
        /// What was asked.
        command: &'static str,
        /// [`Options::timeout`](super::Options::timeout).
        limit: Duration,
    },
    /// No connection: the servers, the address or the password.
    #[error("cannot use the Redis Cluster at {address}: {source}")]
    Connect {
        /// The addresses.
        address: String,
        /// What the client says.
        source: Failure,
    },
    /// Any other error of Redis or the connection.
    #[error("Redis failed at {command}: {source}")]
    Redis {
        /// What was asked.
        command: &'static str,
        /// What the client says.
        source: Failure,
    },
    /// An answer that the script does not give.
    #[error("Redis answered {0} in no known form: does another program's script have the same hash?")]
    Reply(&'static str),
}

impl Error {
    /// A stable word for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Options(_) => "options",
            Self::Key { .. } => "key",
            Self::TooLarge { .. } => "too_large",
            Self::NoCluster(_) => "no_cluster",
            Self::Uncovered(_) => "uncovered",
            Self::TimedOut { .. } => "timed_out",
            Self::Connect { .. } => "connect",
            Self::Redis { .. } => "redis",
            Self::Reply(_) => "reply",
        }
    }
}
