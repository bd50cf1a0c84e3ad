//! The tables, and statements with many rows in them. Bytes are hexadecimal literals: nothing in them is ever taken for SQL, and
//! a statement of any length needs no preparing.

use std::fmt::Write as _;

use mysql_async::{FromRowError, Row};

use crate::id::SagaId;
use crate::store::Header;
use crate::view::{Millis, Status, Summary};

/// The tables, which [`Mysql::open`](super::Mysql::open) creates where they are missing.
pub const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS saga (
  id VARBINARY(128) NOT NULL PRIMARY KEY,
  status TINYINT UNSIGNED NOT NULL,
  epoch BIGINT UNSIGNED NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  due_at BIGINT UNSIGNED NULL,
  created_at BIGINT UNSIGNED NOT NULL,
  deadline_at BIGINT UNSIGNED NULL,
  finished_at BIGINT UNSIGNED NULL,
  fingerprint BINARY(32) NOT NULL,
  definition VARBINARY(255) NOT NULL,
  reason BLOB NOT NULL,
  KEY due (due_at),
  KEY finished (finished_at),
  KEY status (status, id)
) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS saga_log (
  id VARBINARY(128) NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  data MEDIUMBLOB NOT NULL,
  PRIMARY KEY (id, seq)
) ENGINE = InnoDB",
];

/// The columns of a header, in the order of [`header_of`] and [`header`].
pub(super) const HEADER: &str =
    "id, status, epoch, seq, due_at, created_at, deadline_at, finished_at, fingerprint, definition, reason";

/// The server's clock in milliseconds.
pub(super) const NOW: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)";

pub(super) fn status_code(status: Status) -> usize {
    Status::ALL.iter().position(|one| *one == status).unwrap_or_default()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text.push('\'');
    text
}

fn maybe(number: Option<Millis>) -> String {
    number.map_or_else(|| "NULL".to_owned(), |number| number.to_string())
}

pub(super) fn id_list<'a>(ids: impl Iterator<Item = &'a [u8]>) -> String {
    ids.map(hex).collect::<Vec<_>>().join(", ")
}

/// A header as the row of an INSERT.
pub(super) fn header(header: &Header) -> String {
    let Header { summary, epoch, seq, due_at, fingerprint } = header;
    format!(
        "({}, {}, {epoch}, {seq}, {}, {}, {}, {}, {}, {}, {})",
        hex(summary.id.as_str().as_bytes()),
        status_code(summary.status),
        maybe(*due_at),
        summary.created_at,
        maybe(summary.deadline_at),
        maybe(summary.finished_at),
        hex(fingerprint),
        hex(summary.definition.as_bytes()),
        hex(summary.reason.as_bytes()),
    )
}

type Columns = (
    Vec<u8>,
    usize,
    u64,
    u64,
    Option<Millis>,
    Millis,
    Option<Millis>,
    Option<Millis>,
    Vec<u8>,
    Vec<u8>,
    Vec<u8>,
);

/// A row of [`HEADER`]; `None` when it is none of ours.
pub(super) fn header_of(row: Row) -> Option<Header> {
    let columns: Result<Columns, FromRowError> = mysql_async::from_row_opt(row);
    let (
        id,
        status,
        epoch,
        seq,
        due_at,
        created_at,
        deadline_at,
        finished_at,
        fingerprint,
        definition,
        reason,
    ) = columns.ok()?;
    let summary = Summary {
        id: SagaId::new(String::from_utf8(id).ok()?).ok()?,
        status: *Status::ALL.get(status)?,
        reason: String::from_utf8_lossy(&reason).into_owned(),
        definition: String::from_utf8_lossy(&definition).into_owned(),
        created_at,
        deadline_at,
        finished_at,
    };
    Some(Header { summary, epoch, seq, due_at, fingerprint: fingerprint.try_into().ok()? })
}

/// Moves what still has its epoch.
pub(super) fn renew(held: &[(SagaId, u64)], due_at: Millis) -> String {
    let held =
        held.iter().map(|(id, epoch)| format!("(id = {} AND epoch = {epoch})", hex(id.as_str().as_bytes())));
    let held = held.collect::<Vec<_>>().join(" OR ");
    format!("UPDATE saga SET due_at = {due_at} WHERE due_at IS NOT NULL AND ({held})")
}

/// What becomes of the logs in a transaction.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) rows: Vec<(SagaId, u64, Vec<u8>)>,
    pub(super) drops: Vec<(SagaId, u64)>,
}

/// Headers and rows of the log, new or changed, as the end of a transaction.
pub(super) fn write(headers: &[Header], writes: &Writes) -> String {
    let id = |id: &SagaId| hex(id.as_str().as_bytes());
    let headers = headers.iter().map(header).collect::<Vec<_>>().join(", ");
    let rows = writes.rows.iter().map(|(of, seq, data)| format!("({}, {seq}, {})", id(of), hex(data)));
    let rows = rows.collect::<Vec<_>>().join(", ");
    let mut sql = format!(
        "INSERT INTO saga ({HEADER}) VALUES {headers} ON DUPLICATE KEY UPDATE status = VALUES(status), \
         seq = VALUES(seq), due_at = VALUES(due_at), finished_at = VALUES(finished_at), reason = VALUES(reason); \
         INSERT INTO saga_log (id, seq, data) VALUES {rows}; "
    );
    if !writes.drops.is_empty() {
        let drops = writes.drops.iter().map(|(of, seq)| format!("(id = {} AND seq = {seq})", id(of)));
        let drops = drops.collect::<Vec<_>>().join(" OR ");
        write!(sql, "DELETE FROM saga_log WHERE {drops}; ").unwrap_or_default();
    }
    sql.push_str("COMMIT");
    sql
}
