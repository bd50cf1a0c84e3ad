//! The sentences that only MariaDB understands, all of them here.
//!
//! MySQL 8 spells each differently, and there was none to test with, so that a server which is not MariaDB is refused when it
//! is first asked: `/*+ MAX_EXECUTION_TIME(ms) */` covers only SELECT, positions are sets of `uuid:range` that
//! `WAIT_FOR_EXECUTED_GTID_SET(set, s)` awaits (0 reached, 1 timeout), and a session learns of its own through
//! `session_track_gtids`. A second dialect belongs here and into [`Token`](crate::Token).

use crate::token::Gtid;
use std::fmt::Write as _;
use std::time::Duration;

/// What a node is asked to learn its role: version, whether writes are refused, and whether positions exist.
pub(crate) const ROLE: &str = "SELECT @@version, @@global.read_only, @@global.log_bin";

/// The session's last position and the server's. The latter is for a session that wrote nothing: what it found may be
/// another's transaction, which a replica need not have.
pub(crate) const POSITIONS: &str = "SELECT @@last_gtid, @@global.gtid_binlog_pos";

/// Whether a server's version, as `@@version` tells it, speaks this dialect.
pub(crate) fn speaks(version: &str) -> bool {
    version.contains("MariaDB")
}

/// `sql` such that the server itself gives up after about `left`: at most that, and at least 4/5 of it.
///
/// Each text is prepared once a connection, so the limit is rounded down to three significant bits: 4 texts an octave instead
/// of one a millisecond. Rounding down lets the server answer before the caller gives up, and the connection lives on.
/// `None` when less than a millisecond is left: to the server, 0 means for ever.
pub(crate) fn limited(sql: &str, left: Duration) -> Option<String> {
    let ms = rounded(left)?;
    Some(format!("SET STATEMENT max_statement_time={}.{:03} FOR {sql}", ms / 1000, ms % 1000))
}

fn rounded(left: Duration) -> Option<u64> {
    let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).min(MAX_LIMIT_MS);
    let dropped = (u64::BITS - ms.leading_zeros()).saturating_sub(3);
    (ms > 0).then_some(ms >> dropped << dropped)
}

/// `max_statement_time` ends at a year.
const MAX_LIMIT_MS: u64 = 31_536_000_000;

/// Waits on a replica until it has applied all of `gtids`.
pub(crate) fn wait_for(gtids: &[Gtid], limit: Duration) -> String {
    let mut sql = "SELECT MASTER_GTID_WAIT('".to_owned();
    for (at, gtid) in gtids.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        _ = write!(sql, "{comma}{gtid}");
    }
    // A negative limit waits for ever, which a Duration cannot be.
    _ = write!(sql, "',{:.6})", limit.as_secs_f64());
    sql
}

/// A session that is silent for longer in the middle of a transaction is ended by the server, which undoes it: who stands still must not
/// keep his locks. To MySQL the half of it is a comment, so that it is refused by its name.
pub(crate) fn standstill(limit: Duration) -> String {
    let seconds = limit.as_millis().div_ceil(1000);
    format!("SET @aqueduct = 1 /*M!, SESSION idle_transaction_timeout = {seconds} */")
}

/// What a wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The replica has everything that was asked for.
    Reached,
    /// It does not have it yet.
    Behind,
    /// It cannot tell: not a replica, killed, or positions that it cannot read.
    Unable,
}

/// Reads the answer to [`wait_for`]. Only 0 is consent.
pub(crate) fn waited(answer: Option<i64>) -> Waited {
    match answer {
        Some(0) => Waited::Reached,
        Some(-1) => Waited::Behind,
        Some(_) | None => Waited::Unable,
    }
}

#[cfg(test)]
mod tests {
    use super::{Waited, limited, rounded, speaks, standstill, wait_for, waited};
    use crate::token::Gtid;
    use std::time::Duration;

    #[test]
    fn a_statement_gets_a_limit_that_the_server_keeps() {
        let check = |ms, expect: Option<&str>| {
            assert_eq!(limited("SELECT 1", Duration::from_millis(ms)).as_deref(), expect, "{ms}");
        };
        check(0, None);
        check(1, Some("SET STATEMENT max_statement_time=0.001 FOR SELECT 1"));
        check(7, Some("SET STATEMENT max_statement_time=0.007 FOR SELECT 1"));
        check(9, Some("SET STATEMENT max_statement_time=0.008 FOR SELECT 1"));
        check(999, Some("SET STATEMENT max_statement_time=0.896 FOR SELECT 1"));
        check(5000, Some("SET STATEMENT max_statement_time=4.096 FOR SELECT 1"));
        assert_eq!(limited("SELECT 1", Duration::from_micros(999)), None);
    }

    #[test]
    fn limits_are_few_and_never_too_long_nor_too_short() {
        let mut seen = std::collections::BTreeSet::new();
        for ms in 1..=8192 {
            let limit = rounded(Duration::from_millis(ms)).unwrap();
            assert!(limit <= ms && limit * 5 >= ms * 4, "{ms} became {limit}");
            seen.insert(limit);
        }
        assert_eq!(seen.len(), 48);
        assert!(rounded(Duration::MAX).unwrap() <= 31_536_000_000);
    }

    #[test]
    fn a_wait_names_every_domain() {
        let gtid = |domain, sequence| Gtid { domain, server: 1, sequence };
        let one = wait_for(&[gtid(0, 42)], Duration::from_millis(20));
        assert_eq!(one, "SELECT MASTER_GTID_WAIT('0-1-42',0.020000)");
        let two = wait_for(&[gtid(0, 42), gtid(7, 1)], Duration::from_secs(1));
        assert_eq!(two, "SELECT MASTER_GTID_WAIT('0-1-42,7-1-1',1.000000)");
    }

    #[test]
    fn who_stands_still_is_ended_after_whole_seconds() {
        let half = "SET @aqueduct = 1 /*M!, SESSION idle_transaction_timeout = 1 */";
        assert_eq!(standstill(Duration::from_millis(500)), half);
        assert!(standstill(Duration::from_secs(5)).contains("= 5 "));
    }

    #[test]
    fn only_zero_means_reached() {
        assert_eq!(waited(Some(0)), Waited::Reached);
        assert_eq!(waited(Some(-1)), Waited::Behind);
        assert_eq!(waited(None), Waited::Unable);
        assert_eq!(waited(Some(1)), Waited::Unable);
    }

    #[test]
    fn mariadb_is_known_by_its_version() {
        assert!(speaks("10.11.6-MariaDB-0+deb12u1-log"));
        assert!(speaks("11.4.2-MariaDB"));
        assert!(!speaks("8.0.36"));
        assert!(!speaks("8.4.0-commercial"));
    }
}
