//! Which servers there are, and the bounds within which they are used.

use crate::route::SHARDS;
use mysql_async::SslOpts;
use std::fmt;
use std::time::Duration;

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// The port, usually 3306.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One shard: a database that several servers hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The database's name, the same on each server.
    pub database: String,
    /// The servers: that with `read_only=0` is the primary, the others are its replicas. Which is which is never
    /// configured: it is asked at the start and again every [`Options::check_every`], so that a failover is a change on the
    /// servers alone. **Replicas must have `read_only=1`**: with two writable servers there is no telling.
    pub servers: Vec<Address>,
}

/// Everything about the connections. Public fields: start from [`Options::new`] and change what differs.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// The [`SHARDS`] databases in order: that of shard 0 first. Several may lie on one server.
    pub shards: Vec<Shard>,
    /// Who logs in, on every server. Needs the rights on the tables and, for what
    /// [`Shards::migrate`](crate::Shards::migrate) does, on the schema; no `SUPER`, which would write to a read-only server.
    pub user: String,
    /// The password; shown nowhere.
    pub password: String,
    /// How the servers' certificates are verified; `None` (default): the connections are not encrypted.
    pub tls: Option<SslOpts>,
    /// Connections kept open to each server and database, and opened at the start (default 2).
    pub min_connections: usize,
    /// The most connections to each server and database (default 16). Callers beyond wait in order.
    pub max_connections: usize,
    /// How long a caller waits for a free connection (default 1 s, never past its deadline).
    pub pool_wait: Duration,
    /// Connections beyond the least number are closed when they were idle for as long (default 60 s).
    pub idle_timeout: Duration,
    /// How long opening a connection may take (default 1 s). A server that could not be reached is not tried again for as long
    /// when another can answer.
    pub connect_timeout: Duration,
    /// How long a session may last, be its caller's deadline later or absent (default 5 s). The server undoes a transaction that nobody
    /// has gone on with for so long: a process that stands still keeps its locks no longer.
    pub session_timeout: Duration,
    /// How long a reader waits for a replica to reach its token before it goes to the primary (default 20 ms).
    pub replica_wait: Duration,
    /// Statements that take longer, or whose connection was waited for longer, are logged (default 100 ms).
    pub slow: Duration,
    /// How often every server is asked for its role (default 1 s); sooner after an error of a primary.
    pub check_every: Duration,
}

impl Options {
    /// The defaults, for these servers and this login.
    pub fn new(shards: Vec<Shard>, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            shards,
            user: user.into(),
            password: password.into(),
            tls: None,
            min_connections: 2,
            max_connections: 16,
            pool_wait: Duration::from_secs(1),
            idle_timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(1),
            session_timeout: Duration::from_secs(5),
            replica_wait: Duration::from_millis(20),
            slow: Duration::from_millis(100),
            check_every: Duration::from_secs(1),
        }
    }

    /// Everything that is wrong with them.
    ///
    /// # Errors
    /// [`OptionsError`], with one sentence for each mistake.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let mut wrong = Vec::new();
        if self.shards.len() != usize::from(SHARDS) {
            wrong.push(format!(
                "there are {} shards, but ids name {SHARDS}: list one database for each",
                self.shards.len()
            ));
        }
        for (number, shard) in self.shards.iter().enumerate() {
            shard.validate(number, &mut wrong);
        }
        self.shared_databases(&mut wrong);
        if self.user.is_empty() {
            wrong.push("there is no user to log in as".to_owned());
        }
        if self.max_connections == 0 || self.max_connections > MOST_CONNECTIONS {
            wrong.push(format!(
                "max_connections is {}: set it to 1 to {MOST_CONNECTIONS}",
                self.max_connections
            ));
        }
        if self.min_connections > self.max_connections {
            let (min, max) = (self.min_connections, self.max_connections);
            wrong.push(format!("min_connections is {min}, more than max_connections, which is {max}"));
        }
        for (name, value) in self.durations() {
            if value.is_zero() || value > LONGEST {
                wrong.push(format!("{name} is {value:?}: set it to more than nothing and at most a day"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(OptionsError(wrong)) }
    }

    fn durations(&self) -> [(&'static str, Duration); 7] {
        [
            ("pool_wait", self.pool_wait),
            ("idle_timeout", self.idle_timeout),
            ("connect_timeout", self.connect_timeout),
            ("session_timeout", self.session_timeout),
            ("replica_wait", self.replica_wait),
            ("slow", self.slow),
            ("check_every", self.check_every),
        ]
    }

    /// Two shards in one database would find each other's tables.
    fn shared_databases(&self, wrong: &mut Vec<String>) {
        for (number, shard) in self.shards.iter().enumerate() {
            let shares = |other: &Shard| {
                other.database == shard.database
                    && other.servers.iter().any(|server| shard.servers.contains(server))
            };
            if let Some(other) = self.shards.iter().take(number).position(shares) {
                wrong.push(format!(
                    "shards {other} and {number} are both database {} on the same server: give each its own",
                    shard.database
                ));
            }
        }
    }
}

/// More than any server should hold for one client.
const MOST_CONNECTIONS: usize = 4096;
const LONGEST: Duration = Duration::from_hours(24);

impl Shard {
    fn validate(&self, number: usize, wrong: &mut Vec<String>) {
        if self.database.is_empty() || self.database.len() > 64 {
            wrong.push(format!("the database of shard {number} needs a name of 1 to 64 bytes"));
        }
        if self.servers.is_empty() {
            wrong.push(format!("shard {number} has no server: list the primary and its replicas"));
        }
        for (at, server) in self.servers.iter().enumerate() {
            if server.host.is_empty() || server.port == 0 {
                wrong.push(format!("server {at} of shard {number} needs a host and a port"));
            }
            if self.servers[..at].contains(server) {
                wrong.push(format!("shard {number} lists the server {server} twice"));
            }
        }
    }
}

/// By hand, to leave the password out.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("shards", &self.shards)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Options that cannot be used: every mistake, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct OptionsError(pub Vec<String>);

#[cfg(test)]
mod tests {
    use super::{Address, Options, Shard};
    use std::time::Duration;

    fn good() -> Options {
        let server = |port| Address { host: "db".to_owned(), port };
        let shard = |n| Shard { database: format!("shop_{n}"), servers: vec![server(3306), server(3307)] };
        Options::new((0..4).map(shard).collect(), "shop", "secret")
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Options), expect: &[&str]) {
        let mut options = good();
        change(&mut options);
        let found = options.validate().err().map_or_else(Vec::new, |error| error.0);
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.contains(expect), "{found:?} does not say {expect:?}");
        }
    }

    #[test]
    fn mistakes_are_told_all_together() {
        check(|_| {}, &[]);
        check(|o| o.shards.truncate(3), &["there are 3 shards, but ids name 4"]);
        check(|o| o.shards[2].servers.clear(), &["shard 2 has no server"]);
        check(|o| o.shards[1].servers[1].port = 3306, &["shard 1 lists the server db:3306 twice"]);
        check(|o| o.shards[3].database = "shop_0".to_owned(), &["shards 0 and 3 are both database shop_0"]);
        check(|o| o.min_connections = 17, &["min_connections is 17, more than max_connections, which is 16"]);
        check(|o| o.slow = Duration::ZERO, &["slow is 0ns"]);
        let many = |o: &mut Options| {
            o.user.clear();
            o.max_connections = 0;
            o.shards[0].database.clear();
        };
        check(many, &["shard 0 needs a name", "no user", "max_connections is 0", "min_connections is 2"]);
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown = format!("{:?}", good());
        assert!(shown.contains("shop") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn addresses_are_shown_as_they_are_written() {
        let shown = |host: &str| Address { host: host.to_owned(), port: 3306 }.to_string();
        assert_eq!((shown("db"), shown("::1")), ("db:3306".to_owned(), "[::1]:3306".to_owned()));
    }
}
