//! Creations and transitions that queued up, in one transaction each time: the quick way, and if something does not fit, by locking
//! rows and looking at them before they are written.

use std::collections::BTreeSet;
use std::fmt;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Pool};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex, oneshot};

use super::quick::Quick;
use super::reader::{Reading, Wanted};
use super::sql::{HEADER, Writes, header_of, hex, id_list, write};
use super::{unavailable, within};
use crate::error::StoreError;
use crate::id::SagaId;
use crate::store::{Append, Change, Creation, Header, New};
use crate::table::{Fit, Table};

/// The most requests of a transaction.
const MOST: usize = 256;
/// About so many bytes of rows go into one transaction: twice as much in hexadecimal is far below what a server takes.
const MOST_BYTES: usize = 2 << 20;
/// Transactions at a time: while one waits for its commit another is prepared.
const LANES: usize = 4;
/// So often a transaction is tried that lost a race for its rows.
const TRIES: usize = 3;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Request {
    Create(New, Reply<Creation>),
    Append(Change, Reply<Append>),
}

/// Writes for a store, and reads single sagas, for as long as that is there. Spawn it.
pub struct Writing {
    pool: Pool,
    requests: Mutex<Receiver<Request>>,
    reading: Reading,
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writing")
    }
}

impl Writing {
    pub(super) fn new(pool: &Pool, requests: Receiver<Request>, wanted: Receiver<Wanted>) -> Self {
        let reading = Reading { pool: pool.clone(), wanted: Mutex::new(wanted) };
        Self { pool: pool.clone(), requests: Mutex::new(requests), reading }
    }

    /// Until the last clone of the store is dropped.
    pub async fn run(self) {
        let lanes = (0..LANES).map(|_| self.lane());
        futures_util::future::join(futures_util::future::join_all(lanes), self.reading.run()).await;
    }

    async fn lane(&self) {
        let mut connection = None;
        loop {
            let mut requests = Vec::new();
            {
                // One lane waits for requests; the others work, or wait for their turn here.
                let mut queue = self.requests.lock().await;
                if queue.recv_many(&mut requests, 1).await == 0 {
                    return;
                }
                let mut bytes = requests.iter().map(Request::bytes).sum::<usize>();
                while requests.len() < MOST && bytes < MOST_BYTES {
                    let Ok(request) = queue.try_recv() else { break };
                    bytes += request.bytes();
                    requests.push(request);
                }
            }
            self.commit(&mut connection, requests).await;
        }
    }

    /// One transaction. Whoever asked is told; after an error nobody knows whether it was done, and the same may be asked again.
    async fn commit(&self, connection: &mut Option<Conn>, requests: Vec<Request>) {
        let mut tries = 0;
        let result = loop {
            tries += 1;
            let mut race = false;
            let attempt = async {
                self.attempt(connection, &requests).await.map_err(|error| {
                    race = is_race(&error);
                    unavailable(error)
                })
            };
            let result = within(attempt).await;
            if result.is_err() {
                // With whatever it was in the middle of.
                *connection = None;
            }
            if !race || tries == TRIES {
                break result;
            }
        };
        match result {
            Ok(answers) => {
                for (request, answer) in requests.into_iter().zip(answers) {
                    request.answer(answer);
                }
            }
            Err(error) => {
                for request in requests {
                    request.fail(error.clone());
                }
            }
        }
    }

    async fn attempt(
        &self,
        connection: &mut Option<Conn>,
        requests: &[Request],
    ) -> Result<Vec<Done>, mysql_async::Error> {
        if connection.is_none() {
            let mut new = self.pool.get_conn().await?;
            new.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
            new.query_drop("SET autocommit = 0").await?;
            *connection = Some(new);
        }
        let Some(connection) = connection.as_mut() else { return Ok(Vec::new()) };
        if let Some(quick) = Quick::of(requests)
            && quick.run(connection).await?
        {
            return Ok(requests.iter().map(Request::done).collect());
        }
        let ids: BTreeSet<&SagaId> = requests.iter().map(Request::id).collect();
        let list = id_list(ids.iter().map(|id| id.as_str().as_bytes()));
        // In the order of the ids, so that two transactions do not wait for each other.
        let sql = format!("SELECT {HEADER} FROM saga WHERE id IN ({list}) ORDER BY id FOR UPDATE");
        let rows: Vec<mysql_async::Row> = connection.query(sql).await?;
        let mut table = Table::default();
        rows.into_iter().filter_map(header_of).for_each(|header| table.put(header));
        let (mut answers, mut touched, mut writes) = (Vec::new(), Vec::new(), Writes::default());
        for request in requests {
            let answer = match request.decide(&mut table, &mut writes) {
                Decision::Write(answer) => {
                    touched.push(request.id().clone());
                    answer
                }
                Decision::Answer(answer) => answer,
                Decision::Look(id, seq, row) => {
                    let sql = format!(
                        "SELECT data FROM saga_log WHERE id = {} AND seq = {seq}",
                        hex(id.as_str().as_bytes())
                    );
                    let last: Option<Vec<u8>> = connection.query_first(sql).await?;
                    Done::Append(if last.as_ref() == Some(row) { Append::Applied } else { Append::Lost })
                }
            };
            answers.push(answer);
        }
        touched.sort();
        touched.dedup();
        let headers: Vec<Header> = touched.iter().filter_map(|id| table.get(id).cloned()).collect();
        let sql = if headers.is_empty() { "COMMIT".to_owned() } else { write(&headers, &writes) };
        connection.query_drop(sql).await?;
        Ok(answers)
    }
}

/// What is done once the transaction has committed.
enum Done {
    Create(Creation),
    Append(Append),
}

enum Decision<'a> {
    Write(Done),
    Answer(Done),
    /// Whether this is the row that was written last.
    Look(&'a SagaId, u64, &'a Vec<u8>),
}

impl Request {
    pub(super) fn id(&self) -> &SagaId {
        match self {
            Self::Create(new, _) => &new.header.summary.id,
            Self::Append(change, _) => &change.id,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Create(new, _) => new.row.len() + 256,
            Self::Append(change, _) => change.row.len() + 256,
        }
    }

    /// What whoever asked wants to hear.
    fn done(&self) -> Done {
        match self {
            Self::Create(..) => Done::Create(Creation::Created),
            Self::Append(..) => Done::Append(Append::Applied),
        }
    }

    /// What becomes of it, given the rows as they are locked.
    fn decide(&self, table: &mut Table, writes: &mut Writes) -> Decision<'_> {
        let Writes { rows: log, drops } = writes;
        match self {
            Self::Create(new, _) => {
                let id = &new.header.summary.id;
                if let Some(header) = table.get(id) {
                    return Decision::Answer(Done::Create(Creation::Exists(header.fingerprint)));
                }
                log.push((id.clone(), new.header.seq, new.row.clone()));
                table.put(new.header.clone());
                Decision::Write(Done::Create(Creation::Created))
            }
            Self::Append(change, _) => match table.fit(change) {
                Fit::Next(header) => {
                    log.push((change.id.clone(), header.seq, change.row.clone()));
                    drops.extend(change.drops.iter().map(|seq| (change.id.clone(), *seq)));
                    table.put(header);
                    Decision::Write(Done::Append(Append::Applied))
                }
                Fit::Last => Decision::Look(&change.id, change.seq + 1, &change.row),
                Fit::Lost => Decision::Answer(Done::Append(Append::Lost)),
            },
        }
    }

    /// Whoever asked may have gone away.
    fn answer(self, done: Done) {
        match (self, done) {
            (Self::Create(_, reply), Done::Create(creation)) => reply.send(Ok(creation)).unwrap_or_default(),
            (Self::Append(_, reply), Done::Append(append)) => reply.send(Ok(append)).unwrap_or_default(),
            _ => {}
        }
    }

    fn fail(self, error: StoreError) {
        match self {
            Self::Create(_, reply) => reply.send(Err(error)).unwrap_or_default(),
            Self::Append(_, reply) => reply.send(Err(error)).unwrap_or_default(),
        }
    }
}

/// Somebody else was quicker: a duplicate key, a wait that took too long, a deadlock.
fn is_race(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(error) if matches!(error.code, 1062 | 1205 | 1213))
}
