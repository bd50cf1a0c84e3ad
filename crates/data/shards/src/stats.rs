//! What happened since the start, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A snapshot of one server of one shard. Counters only grow, but for `idle` and `taken`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// The shard.
    pub shard: u8,
    /// `host:port/database`.
    pub server: String,
    /// Whether it is the shard's primary now.
    pub is_primary: bool,
    /// Open connections that nobody uses.
    pub idle: u64,
    /// Connections in use, or being opened.
    pub taken: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub open_errors: u64,
    /// Idle connections closed for their age.
    pub expired: u64,
    /// Connections thrown away: broken, or left in the middle of something.
    pub discarded: u64,
    /// Callers that found no free connection in time.
    pub exhausted: u64,
    /// Microseconds that callers waited for their connections, in all.
    pub pool_wait_us: u64,
    /// Statements sent.
    pub statements: u64,
    /// Microseconds that statements took, in all.
    pub statement_us: u64,
    /// Statements logged as slow.
    pub slow: u64,
    /// Statements given up at their deadline, by the server or by us.
    pub deadlines: u64,
    /// Reads that this server answered as a replica.
    pub replica_reads: u64,
    /// Reads that it answered as the primary.
    pub primary_reads: u64,
    /// Reads that went to the primary because this replica had not reached their token.
    pub behind: u64,
    /// Reads that went to the primary because this replica could not tell, or could not be asked.
    pub unable: u64,
    /// Microseconds that reads waited for this replica to reach their token, in all.
    pub replica_wait_us: u64,
    /// Transactions committed.
    pub commits: u64,
    /// How often it became the primary, the start included.
    pub promotions: u64,
}

/// The counters behind it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) opened: AtomicU64,
    pub(crate) open_errors: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) discarded: AtomicU64,
    pub(crate) exhausted: AtomicU64,
    pub(crate) pool_wait_us: AtomicU64,
    pub(crate) statements: AtomicU64,
    pub(crate) statement_us: AtomicU64,
    pub(crate) slow: AtomicU64,
    pub(crate) deadlines: AtomicU64,
    pub(crate) replica_reads: AtomicU64,
    pub(crate) primary_reads: AtomicU64,
    pub(crate) behind: AtomicU64,
    pub(crate) unable: AtomicU64,
    pub(crate) replica_wait_us: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) promotions: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> ServerStats {
        ServerStats {
            opened: self.opened.load(Relaxed),
            open_errors: self.open_errors.load(Relaxed),
            expired: self.expired.load(Relaxed),
            discarded: self.discarded.load(Relaxed),
            exhausted: self.exhausted.load(Relaxed),
            pool_wait_us: self.pool_wait_us.load(Relaxed),
            statements: self.statements.load(Relaxed),
            statement_us: self.statement_us.load(Relaxed),
            slow: self.slow.load(Relaxed),
            deadlines: self.deadlines.load(Relaxed),
            replica_reads: self.replica_reads.load(Relaxed),
            primary_reads: self.primary_reads.load(Relaxed),
            behind: self.behind.load(Relaxed),
            unable: self.unable.load(Relaxed),
            replica_wait_us: self.replica_wait_us.load(Relaxed),
            commits: self.commits.load(Relaxed),
            promotions: self.promotions.load(Relaxed),
            ..ServerStats::default()
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

pub(crate) fn add_us(counter: &AtomicU64, time: std::time::Duration) {
    counter.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
}
