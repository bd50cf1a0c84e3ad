//! A transaction as it goes nearly always: nobody has lost a saga, no id is taken. Then nothing needs to be read first: headers and
//! rows of the log are written, each header only if its epoch and number are those that the change names, and the server
//! says how many were. If it is one less, all is rolled back, and done with locks and a look.

use std::collections::BTreeMap;

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use super::sql;
use super::writer::Request;
use crate::id::SagaId;

/// The statements, and what the server says if all fits.
pub(super) struct Quick {
    sql: String,
    affected: u64,
}

impl Quick {
    /// `None` when several requests are about the same saga.
    pub(super) fn of(requests: &[Request]) -> Option<Self> {
        // In the order of the ids, so that two transactions do not wait for each other.
        let by_id: BTreeMap<&SagaId, &Request> =
            requests.iter().map(|request| (request.id(), request)).collect();
        if by_id.len() < requests.len() {
            return None;
        }
        let (mut headers, mut rows, mut drops, mut affected) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (id, request) in by_id {
            match request {
                Request::Create(new, _) => {
                    headers.push(sql::header(&new.header));
                    rows.push(sql::log_row(id, new.header.seq, &new.row));
                    affected += 1;
                }
                Request::Append(change, _) => {
                    headers.push(sql::change(change));
                    rows.push(sql::log_row(id, change.seq + 1, &change.row));
                    drops.extend(change.drops.iter().map(|seq| (id.clone(), *seq)));
                    // So the server counts a row that was there and was changed.
                    affected += 2;
                }
            }
        }
        Some(Self { sql: sql::guarded(&headers, &rows, &drops), affected })
    }

    /// True when it is committed; else nothing is.
    pub(super) async fn run(&self, connection: &mut Conn) -> Result<bool, mysql_async::Error> {
        let written = async {
            let result = connection.query_iter(&self.sql).await?;
            let affected = result.affected_rows();
            result.drop_result().await?;
            Ok(affected == self.affected)
        };
        let fits = match written.await {
            // The log has the number.
            Err(mysql_async::Error::Server(error)) if error.code == 1062 => false,
            other => other?,
        };
        connection.query_drop(if fits { "COMMIT" } else { "ROLLBACK" }).await?;
        Ok(fits)
    }
}
