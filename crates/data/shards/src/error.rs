//! What can go wrong, whose fault it is, and what to do about it.

use std::time::Duration;

use mysql_async::{DriverError, Error as Driver, ServerError};

use crate::migrate::MigrateError;
use crate::options::OptionsError;

/// Why a session, a statement or a migration failed. `server` is `host:port/database`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options contradict themselves.
    #[error("the options cannot be used: {0}")]
    Options(#[from] OptionsError),
    /// A shard that does not exist.
    #[error("there is no shard {0}: shards are 0 to 3, take them from an id")]
    NoSuchShard(u8),
    /// The login was refused.
    #[error(
        "{server} refuses user {user:?}: check user and password, what the user is granted there, and whether it must use TLS, or show \
         a certificate ({message})"
    )]
    Login {
        /// Where.
        server: String,
        /// Who.
        user: String,
        /// The server's words.
        message: String,
    },
    /// The database is not there.
    #[error("{server} has no such database: create it, or correct its name ({message})")]
    NoDatabase {
        /// Where.
        server: String,
        /// The server's words.
        message: String,
    },
    /// No connection could be made.
    #[error("cannot reach {server}: {reason}; check that it runs, its host and its port")]
    Unreachable {
        /// Where.
        server: String,
        /// What happened.
        reason: String,
    },
    /// The server is not MariaDB.
    #[error("{server} is {version}: only MariaDB is supported, MySQL's positions and time limits differ")]
    Dialect {
        /// Where.
        server: String,
        /// Its version.
        version: String,
    },
    /// No server of the shard can be written to, or more than one.
    #[error("shard {shard} has no primary: {reason}")]
    NoPrimary {
        /// Which.
        shard: u8,
        /// What was found instead.
        reason: String,
    },
    /// A write reached a server that has become a replica. Nothing was written.
    #[error("{server} has become read-only: repeat the write, the new primary is looked for")]
    ReadOnly {
        /// Where.
        server: String,
    },
    /// All connections are taken, and none came back in time.
    #[error(
        "all {max} connections to {server} were taken for {waited:?}: repeat later, or raise max_connections"
    )]
    Exhausted {
        /// Where.
        server: String,
        /// Their number.
        max: usize,
        /// How long was waited.
        waited: Duration,
    },
    /// The deadline passed: before the statement, or while it ran and was given up.
    #[error("the deadline passed while {server} was asked")]
    Deadline {
        /// Where.
        server: String,
    },
    /// Another transaction was in the way (a deadlock, or a lock that was waited for). Nothing was written.
    #[error("another transaction was in the way on {server}: repeat the whole transaction ({message})")]
    Conflict {
        /// Where.
        server: String,
        /// The server's words.
        message: String,
    },
    /// A unique key exists already. The transaction goes on.
    #[error("{server}: {message}")]
    Duplicate {
        /// Where.
        server: String,
        /// The server's words, with key and value.
        message: String,
    },
    /// The tables are not what the statement expects.
    #[error(
        "the schema of {server} does not fit this program: run its migrations, or restore what was changed ({message})"
    )]
    Schema {
        /// Where.
        server: String,
        /// The server's words.
        message: String,
    },
    /// A row does not have the types that it is read as.
    #[error(
        "a row of {server} is not what this program reads ({message}): run its migrations, or correct the statement"
    )]
    Row {
        /// Where.
        server: String,
        /// What was found: the names and types of the columns.
        message: String,
    },
    /// The statement was refused for another reason.
    #[error("{server} refuses the statement: {source}")]
    Statement {
        /// Where.
        server: String,
        /// The server's error.
        source: ServerError,
    },
    /// The connection broke. What a statement outside of COMMIT had written is undone.
    #[error("the connection to {server} broke: {reason}")]
    Broken {
        /// Where.
        server: String,
        /// What happened.
        reason: String,
    },
    /// The connection broke, or the deadline passed, while COMMIT was under way.
    #[error("whether {server} has committed is unknown ({reason}): read before repeating the write")]
    Unknown {
        /// Where.
        server: String,
        /// What happened.
        reason: String,
    },
    /// An earlier statement of the transaction failed.
    #[error("the transaction on {server} has failed already: roll it back and begin anew")]
    Failed {
        /// Where.
        server: String,
    },
    /// A migration cannot be made.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

impl Error {
    /// A stable word for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Options(_) => "options",
            Self::NoSuchShard(_) => "no_such_shard",
            Self::Login { .. } => "login",
            Self::NoDatabase { .. } => "no_database",
            Self::Unreachable { .. } => "unreachable",
            Self::Dialect { .. } => "dialect",
            Self::NoPrimary { .. } => "no_primary",
            Self::ReadOnly { .. } => "read_only",
            Self::Exhausted { .. } => "exhausted",
            Self::Deadline { .. } => "deadline",
            Self::Conflict { .. } => "conflict",
            Self::Duplicate { .. } => "duplicate",
            Self::Schema { .. } => "schema",
            Self::Row { .. } => "row",
            Self::Statement { .. } => "statement",
            Self::Broken { .. } => "broken",
            Self::Unknown { .. } => "unknown",
            Self::Failed { .. } => "failed",
            Self::Migrate(_) => "migrate",
        }
    }

    /// Whether the same transaction, begun anew, may succeed, and cannot have been made already.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::NoPrimary { .. }
                | Self::ReadOnly { .. }
                | Self::Exhausted { .. }
                | Self::Conflict { .. }
                | Self::Broken { .. }
        )
    }

    /// Whether somebody has to correct something before this can work: waiting will not.
    pub(crate) fn is_misconfigured(&self) -> bool {
        matches!(self, Self::Login { .. } | Self::NoDatabase { .. } | Self::Dialect { .. })
    }

    /// From what the driver says about a statement.
    pub(crate) fn statement(server: &str, error: Driver) -> Self {
        let server = server.to_owned();
        match error {
            Driver::Server(error) => Self::server(server, error),
            Driver::Driver(
                error @ (DriverError::StmtParamsMismatch { .. }
                | DriverError::Params(_)
                | DriverError::MixedParams),
            ) => {
                // These come before anything is sent: a mistake of the program.
                Self::Row { server, message: error.to_string() }
            }
            error => Self::Broken { server, reason: error.to_string() },
        }
    }

    /// From what the driver says about a login.
    pub(crate) fn connect(server: &str, user: &str, error: Driver) -> Self {
        let server = server.to_owned();
        match error {
            // 1045 password, 1130 host, 1251 and 1698 authentication method, 4151 locked or expired.
            Driver::Server(ServerError {
                code: 1044 | 1045 | 1130 | 1251 | 1698 | 4151, message, ..
            }) => Self::Login { server, user: user.to_owned(), message },
            Driver::Server(ServerError { code: 1049, message, .. }) => Self::NoDatabase { server, message },
            error => Self::Unreachable { server, reason: error.to_string() },
        }
    }

    /// By the numbers of the MariaDB manual, "Error Codes".
    fn server(server: String, error: ServerError) -> Self {
        match error.code {
            1054 | 1136 | 1146 | 1364 => Self::Schema { server, message: error.message },
            1049 => Self::NoDatabase { server, message: error.message },
            1062 => Self::Duplicate { server, message: error.message },
            1205 | 1213 | 1020 => Self::Conflict { server, message: error.message },
            1290 | 1836 => Self::ReadOnly { server },
            // max_statement_time; `KILL QUERY` has 1317.
            1969 => Self::Deadline { server },
            1053 | 1927 => Self::Broken { server, reason: error.message },
            _ => Self::Statement { server, source: error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use mysql_async::{Error as Driver, ServerError};

    #[track_caller]
    fn check(code: u16, kind: &str, retryable: bool) {
        let error = ServerError { code, message: "m".to_owned(), state: "HY000".to_owned() };
        let error = Error::statement("db:1/x", Driver::Server(error));
        assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code}");
        assert!(error.to_string().contains("db:1/x"), "{error}");
    }

    #[test]
    fn a_servers_error_tells_what_to_do() {
        check(1054, "schema", false);
        check(1146, "schema", false);
        check(1062, "duplicate", false);
        check(1213, "conflict", true);
        check(1290, "read_only", true);
        check(1969, "deadline", false);
        check(1927, "broken", true);
        check(1064, "statement", false);
    }

    #[test]
    fn a_refused_login_is_told_apart_from_a_missing_database() {
        let of = |code| {
            let error = ServerError { code, message: "m".to_owned(), state: "28000".to_owned() };
            Error::connect("db:1/x", "shop", Driver::Server(error)).kind()
        };
        assert_eq!((of(1045), of(1049), of(1040)), ("login", "no_database", "unreachable"));
    }
}
