//! The tables, and statements with many rows in them. Bytes are hexadecimal literals: nothing in them is ever taken for SQL, and
//! a statement of any length needs no preparing.

use std::fmt::Write as _;

use mysql_async::Row;
use mysql_async::prelude::FromValue;

use crate::id::SagaId;
use crate::store::{Change, Header};
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
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
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

/// A header, and a row of its log if there is one: for [`header_of`] and [`log_row_of`].
pub(super) const WHOLE: &str = "s.id, s.status, s.epoch, s.seq, s.due_at, s.created_at, s.deadline_at, s.finished_at, \
     s.fingerprint, s.definition, s.reason, l.seq, l.data";

/// A row that begins with the columns of [`HEADER`]; `None` when it is none of ours.
pub(super) fn header_of(mut row: Row) -> Option<Header> {
    let row = &mut row;
    let status: usize = column(row, 1)?;
    let summary = Summary {
        id: SagaId::new(String::from_utf8(column(row, 0)?).ok()?).ok()?,
        status: *Status::ALL.get(status)?,
        created_at: column(row, 5)?,
        deadline_at: column(row, 6)?,
        finished_at: column(row, 7)?,
        definition: String::from_utf8_lossy(&column::<Vec<u8>>(row, 9)?).into_owned(),
        reason: String::from_utf8_lossy(&column::<Vec<u8>>(row, 10)?).into_owned(),
    };
    let (epoch, seq, due_at) = (column(row, 2)?, column(row, 3)?, column(row, 4)?);
    Some(Header { summary, epoch, seq, due_at, fingerprint: column::<Vec<u8>>(row, 8)?.try_into().ok()? })
}

/// The row of the log that a row of [`WHOLE`] has.
pub(super) fn log_row_of(row: &mut Row) -> Option<(u64, Vec<u8>)> {
    Some((column(row, 11)?, column(row, 12)?))
}

fn column<T: FromValue>(row: &mut Row, at: usize) -> Option<T> {
    row.take_opt(at)?.ok()
}

/// Moves what still has its epoch.
pub(super) fn renew(held: &[(SagaId, u64)], due_at: Millis) -> String {
    let ids = id_list(held.iter().map(|(id, _)| id.as_str().as_bytes()));
    let held = held.iter().map(|(id, epoch)| format!("({}, {epoch})", hex(id.as_str().as_bytes())));
    let held = held.collect::<Vec<_>>().join(", ");
    // By their ids alone they are found without looking at any other.
    format!(
        "UPDATE saga SET due_at = {due_at} WHERE due_at IS NOT NULL AND id IN ({ids}) AND (id, epoch) IN ({held})"
    )
}

/// What becomes of the logs in a transaction.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) rows: Vec<(SagaId, u64, Vec<u8>)>,
    pub(super) drops: Vec<(SagaId, u64)>,
}

/// Headers and rows of the log, new or changed, as the end of a transaction.
pub(super) fn write(headers: &[Header], writes: &Writes) -> String {
    let headers = headers.iter().map(header).collect::<Vec<_>>().join(", ");
    let rows: Vec<_> = writes.rows.iter().map(|(id, seq, data)| log_row(id, *seq, data)).collect();
    let mut sql = format!(
        "INSERT INTO saga ({HEADER}) VALUES {headers} ON DUPLICATE KEY UPDATE status = VALUES(status), \
         seq = VALUES(seq), due_at = VALUES(due_at), finished_at = VALUES(finished_at), reason = VALUES(reason)"
    );
    log(&mut sql, &rows, &writes.drops);
    sql.push_str("; COMMIT");
    sql
}

/// The same without having looked: a header is changed only if its epoch and its number fit, and it has not ended. Assignments
/// are made from left to right; where the number is the new one, it did fit.
pub(super) fn guarded(headers: &[String], rows: &[String], drops: &[(SagaId, u64)]) -> String {
    const FITS: &str = "epoch = VALUES(epoch) AND seq + 1 = VALUES(seq) AND finished_at IS NULL";
    let headers = headers.join(", ");
    let mut sql = format!(
        "INSERT INTO saga ({HEADER}) VALUES {headers} ON DUPLICATE KEY UPDATE \
         status = IF({FITS}, VALUES(status), status), due_at = IF({FITS}, VALUES(due_at), due_at), \
         reason = IF({FITS}, VALUES(reason), reason), seq = IF({FITS}, VALUES(seq), seq), \
         finished_at = IF(epoch = VALUES(epoch) AND seq = VALUES(seq), COALESCE(finished_at, VALUES(finished_at)), finished_at)"
    );
    log(&mut sql, rows, drops);
    sql
}

/// A change as the row of an INSERT; what stays as it is does not matter.
pub(super) fn change(change: &Change) -> String {
    format!(
        "({}, {}, {}, {}, {}, 0, NULL, {}, '', '', {})",
        hex(change.id.as_str().as_bytes()),
        status_code(change.status),
        change.epoch,
        change.seq + 1,
        maybe(change.due_at),
        maybe(change.finished_at),
        hex(change.reason.as_bytes()),
    )
}

/// A row of the log as that of an INSERT.
pub(super) fn log_row(id: &SagaId, seq: u64, data: &[u8]) -> String {
    format!("({}, {seq}, {})", hex(id.as_str().as_bytes()), hex(data))
}

fn log(sql: &mut String, rows: &[String], drops: &[(SagaId, u64)]) {
    write!(sql, "; INSERT INTO saga_log (id, seq, data) VALUES {}", rows.join(", ")).unwrap_or_default();
    if !drops.is_empty() {
        let drops =
            drops.iter().map(|(id, seq)| format!("(id = {} AND seq = {seq})", hex(id.as_str().as_bytes())));
        let drops = drops.collect::<Vec<_>>().join(" OR ");
        write!(sql, "; DELETE FROM saga_log WHERE {drops}").unwrap_or_default();
    }
}
