//! Sagas that somebody wants to see: what queued up meanwhile is read by one statement. Whoever waits for sagas that end together
//! asks for them together.

use std::collections::BTreeMap;
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Pool};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex, oneshot};

use super::sql::{WHOLE, header_of, id_list, log_row_of};
use super::{unavailable, within};
use crate::error::StoreError;
use crate::id::SagaId;
use crate::store::Stored;

/// The most sagas of a statement.
const MOST: usize = 128;
/// Statements at a time.
const LANES: usize = 2;

/// A saga that is wanted, and who wants it.
pub(super) struct Wanted {
    pub(super) id: SagaId,
    pub(super) reply: oneshot::Sender<Result<Option<Stored>, StoreError>>,
}

/// Reads for a store for as long as that is there.
pub(super) struct Reading {
    pub(super) pool: Pool,
    pub(super) wanted: Mutex<Receiver<Wanted>>,
}

impl Reading {
    pub(super) async fn run(&self) {
        let lanes = (0..LANES).map(|_| self.lane());
        futures_util::future::join_all(lanes).await;
    }

    async fn lane(&self) {
        let mut connection = None;
        loop {
            let mut wanted = Vec::new();
            if self.wanted.lock().await.recv_many(&mut wanted, MOST).await == 0 {
                return;
            }
            let result = within(self.read(&mut connection, &wanted)).await;
            if result.is_err() {
                // With whatever it was in the middle of.
                connection = None;
            }
            for Wanted { id, reply } in wanted {
                let answer = result.clone().and_then(|found| {
                    let found = found.get(id.as_str().as_bytes()).cloned();
                    found.map(|found| found.ok_or_else(|| StoreError::Damaged(id.to_string()))).transpose()
                });
                reply.send(answer).unwrap_or_default();
            }
        }
    }

    async fn read(&self, connection: &mut Option<Conn>, wanted: &[Wanted]) -> Result<Arc<Found>, StoreError> {
        if connection.is_none() {
            *connection = Some(self.pool.get_conn().await.map_err(unavailable)?);
        }
        let Some(connection) = connection.as_mut() else { return Ok(Arc::default()) };
        let ids = wanted.iter().map(|wanted| wanted.id.as_str().as_bytes());
        whole(connection, ids).await.map(Arc::new).map_err(unavailable)
    }
}

/// Sagas by their ids; `None` is one whose header cannot be read.
pub(super) type Found = BTreeMap<Vec<u8>, Option<Stored>>;

/// Headers with their logs, as they belong together: by one statement, and so from one moment.
pub(super) async fn whole<'a>(
    connection: &mut impl Queryable,
    ids: impl Iterator<Item = &'a [u8]>,
) -> Result<Found, mysql_async::Error> {
    let sql = format!(
        "SELECT {WHOLE} FROM saga s LEFT JOIN saga_log l ON l.id = s.id WHERE s.id IN ({})",
        id_list(ids)
    );
    let rows: Vec<mysql_async::Row> = connection.query(sql).await?;
    let mut found = Found::new();
    for mut row in rows {
        let Some(id) = row.get::<Vec<u8>, _>(0) else { continue };
        let of_log = log_row_of(&mut row);
        let stored = found
            .entry(id)
            .or_insert_with(|| header_of(row).map(|header| Stored { header, log: Vec::new() }));
        if let Some(stored) = stored {
            stored.log.extend(of_log);
        }
    }
    for stored in found.values_mut().flatten() {
        stored.log.sort_unstable_by_key(|row| row.0);
    }
    Ok(found)
}
