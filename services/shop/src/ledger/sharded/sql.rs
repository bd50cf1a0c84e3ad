//! The statements of a batch. Nothing in them but numbers; the barrier's are its own.

use std::collections::BTreeMap;

use crate::ledger::row::Row;

/// The table, which each shard has.
pub(crate) const ACCOUNTS: &str = "CREATE TABLE IF NOT EXISTS accounts (
            id BIGINT NOT NULL PRIMARY KEY,
            opening BIGINT NOT NULL,
            balance BIGINT NOT NULL,
            held BIGINT NOT NULL,
            version BIGINT NOT NULL
        ) ENGINE = InnoDB";

/// A row of [`lock`] and [`READ`].
pub(super) type Columns = (i64, i64, i64, i64, i64);

pub(super) fn row((id, opening, balance, held, version): Columns) -> (i64, Row) {
    (id, Row { opening, balance, held, version })
}

/// Along the primary key: every process locks in the same order.
pub(super) fn lock(ids: impl Iterator<Item = i64>, skip: bool) -> String {
    let skip = if skip { " SKIP LOCKED" } else { "" };
    format!(
        "SELECT id, opening, balance, held, version FROM accounts FORCE INDEX (PRIMARY) WHERE id IN ({}) ORDER BY id FOR UPDATE{skip}",
        listed(ids)
    )
}

/// Which there are, whoever has them locked.
pub(super) fn present(ids: impl Iterator<Item = i64>) -> String {
    format!("SELECT id FROM accounts WHERE id IN ({})", listed(ids))
}

/// One account, without a lock.
pub(super) const READ: &str = "SELECT id, opening, balance, held, version FROM accounts WHERE id = ?";

/// New accounts; `None` where there are none. One that somebody else has opened meanwhile is a duplicate key.
pub(super) fn create(rows: &BTreeMap<i64, Row>) -> Option<String> {
    (!rows.is_empty()).then(|| insert(rows))
}

/// Accounts that are locked, as they are now.
pub(super) fn change(rows: &BTreeMap<i64, Row>) -> Option<String> {
    (!rows.is_empty()).then(|| {
        let insert = insert(rows);
        format!(
            "{insert} ON DUPLICATE KEY UPDATE balance = VALUES(balance), held = VALUES(held), version = VALUES(version)"
        )
    })
}

fn insert(rows: &BTreeMap<i64, Row>) -> String {
    let row = |(id, Row { opening, balance, held, version }): (&i64, &Row)| {
        format!("({id},{opening},{balance},{held},{version})")
    };
    let rows = rows.iter().map(row).collect::<Vec<_>>().join(",");
    format!("INSERT INTO accounts (id, opening, balance, held, version) VALUES {rows}")
}

fn listed(ids: impl Iterator<Item = i64>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

/// Rows of the barrier that are older than so many seconds, by the server's clock.
pub(super) const FORGET: &str =
    "DELETE FROM saga_barrier WHERE at < CURRENT_TIMESTAMP(3) - INTERVAL ? SECOND LIMIT ?";
