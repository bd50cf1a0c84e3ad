//! The barrier for participants on MySQL and MariaDB, in the transaction that the caller has opened.

use bytes::Bytes;
use mysql_async::Transaction;
use mysql_async::prelude::Queryable as _;

use super::{Answer, Failure, Key, Outcome, Verdict, verdict};
use crate::plan::Op;

/// The table, to be created in the participant's own database, next to what it guards.
pub const TABLE: &str = "CREATE TABLE IF NOT EXISTS saga_barrier (
  saga VARBINARY(128) NOT NULL,
  step VARBINARY(128) NOT NULL,
  op ENUM('execute', 'compensate') NOT NULL,
  outcome ENUM('ok', 'failed', 'void') NOT NULL,
  detail MEDIUMBLOB NOT NULL,
  at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (saga, step, op),
  KEY at (at)
) ENGINE = InnoDB";

/// Makes a business change unless it was made, refused or undone before, and records what became of it, both in `work`.
/// Commit it before you answer. After an error, roll all of it back.
///
/// The row comes first: two copies of one call wait for each other at it, and not behind the business change.
pub async fn run<E: From<mysql_async::Error>>(
    work: &mut Transaction<'_>,
    key: Key<'_>,
    business: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<Bytes, Failure<E>>,
) -> Result<Answer, E> {
    let first = match key.op {
        Op::Execute => insert(work, key, Op::Execute, "ok").await?,
        // What never arrived must not arrive any more.
        Op::Compensate => insert(work, key, Op::Execute, "void").await?,
    };
    let verdict = if first && key.op == Op::Execute {
        Verdict::Run
    } else {
        let (execute, compensate) = rows(work, key).await?;
        verdict(key.op, execute.as_ref(), compensate.as_ref())
    };
    match verdict {
        Verdict::Known(answer) => Ok(answer),
        Verdict::Nothing => {
            insert(work, key, Op::Compensate, "void").await?;
            Ok(Answer::Done(Bytes::new()))
        }
        Verdict::Run => guarded(work, key, business).await,
    }
}

/// The business change within a savepoint.
async fn guarded<E: From<mysql_async::Error>>(
    work: &mut Transaction<'_>,
    key: Key<'_>,
    business: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<Bytes, Failure<E>>,
) -> Result<Answer, E> {
    work.query_drop("SAVEPOINT saga_barrier").await?;
    if key.op == Op::Compensate {
        insert(work, key, Op::Compensate, "ok").await?;
    }
    match business(work).await {
        Ok(output) => {
            if !output.is_empty() {
                settle(work, key, "ok", &output).await?;
            }
            Ok(Answer::Done(output))
        }
        Err(Failure::Rejected(why)) => {
            work.query_drop("ROLLBACK TO SAVEPOINT saga_barrier").await?;
            if key.op == Op::Execute {
                settle(work, key, "failed", why.as_bytes()).await?;
            }
            Ok(Answer::Rejected(why))
        }
        Err(Failure::Error(error)) => Err(error),
    }
}

/// Removes at most `most` rows older than `days`. Keep them for longer than any coordinator keeps its sagas.
pub async fn forget(
    connection: &mut mysql_async::Conn,
    days: u32,
    most: u32,
) -> Result<u64, mysql_async::Error> {
    let sql = "DELETE FROM saga_barrier WHERE at < CURRENT_TIMESTAMP(3) - INTERVAL ? DAY LIMIT ?";
    connection.exec_drop(sql, (days, most)).await?;
    Ok(connection.affected_rows())
}

/// True when the row was not there.
async fn insert(
    work: &mut Transaction<'_>,
    key: Key<'_>,
    op: Op,
    outcome: &str,
) -> Result<bool, mysql_async::Error> {
    let sql = "INSERT IGNORE INTO saga_barrier (saga, step, op, outcome, detail) VALUES (?, ?, ?, ?, '')";
    work.exec_drop(sql, (key.saga, key.step, op.as_str(), outcome)).await?;
    Ok(work.affected_rows() > 0)
}

async fn settle(
    work: &mut Transaction<'_>,
    key: Key<'_>,
    outcome: &str,
    detail: &[u8],
) -> Result<(), mysql_async::Error> {
    let sql = "UPDATE saga_barrier SET outcome = ?, detail = ? WHERE saga = ? AND step = ? AND op = ?";
    work.exec_drop(sql, (outcome, detail, key.saga, key.step, key.op.as_str())).await
}

/// The rows of both operations, as they are now and not as they were when the transaction began.
async fn rows(
    work: &mut Transaction<'_>,
    key: Key<'_>,
) -> Result<(Option<Outcome>, Option<Outcome>), mysql_async::Error> {
    let sql = "SELECT op, outcome, detail FROM saga_barrier WHERE saga = ? AND step = ? FOR UPDATE";
    let found: Vec<(String, String, Vec<u8>)> = work.exec(sql, (key.saga, key.step)).await?;
    let outcome = |op: Op| {
        let row = found.iter().find(|(of, ..)| of == op.as_str())?;
        Some(match row.1.as_str() {
            "ok" => Outcome::Ok(Bytes::copy_from_slice(&row.2)),
            "failed" => Outcome::Failed(String::from_utf8_lossy(&row.2).into_owned()),
            _ => Outcome::Void,
        })
    };
    Ok((outcome(Op::Execute), outcome(Op::Compensate)))
}
