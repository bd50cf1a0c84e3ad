//! The embedded store: one process, one folder, one thread that commits for all.

mod folder;
mod header;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ::fjall::{Database, PersistMode};
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, millis};
use crate::error::StoreError;
use crate::id::SagaId;
use crate::store::{Append, Change, Creation, Figures, New, Store, Stored};
use crate::table::Table;
use crate::view::{Filter, Millis, Status, Summary};
use folder::Folder;
use rows::Rows;
use writer::{Request, Writer, lock};

/// Requests that wait for the writer; beyond, who asks waits.
const QUEUE: usize = 8192;

/// Sagas in an embedded database. Cheap to clone; when the last clone is dropped the folder is free for others.
#[derive(Clone, Debug)]
pub struct Fjall(Arc<Inner>);

struct Inner {
    /// `None` once it is being dropped.
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    table: Arc<Mutex<Table>>,
    rows: Rows,
    database: Database,
    clock: Clock,
    _folder: Option<Folder>,
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by process {holder}: one process at a time", folder.display())]
    InUse {
        /// Which.
        folder: PathBuf,
        /// Its process id, or nothing.
        holder: String,
    },
    /// It was written by something else.
    #[error("{} has the format {found:?}, and this program reads {expected:?}", folder.display())]
    Format {
        /// Which.
        folder: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// The file system says no.
    #[error("cannot use {}: {source}", path.display())]
    Folder {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database says no.
    #[error("cannot open the database: {0}")]
    Database(#[from] ::fjall::Error),
    /// What is in it cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fjall {
    /// Opens the store in a folder of its own, and creates it where there is none. Blocks on the disk.
    ///
    /// All sagas that have not ended are due at once: whoever had them is gone.
    pub fn open(folder: impl AsRef<Path>, clock: Clock) -> Result<Self, OpenError> {
        let folder = Folder::open(folder.as_ref())?;
        let database = folder.database(|path| {
            let database = Database::builder(path).open()?;
            Rows::open(&database)?;
            Ok(database)
        })?;
        Self::start(database, clock, Some(folder))
    }

    /// Opens the store in a database that the caller has opened, and shares: its keyspaces have names that begin with
    /// `saga_`. There must be one store on it at a time.
    pub fn on(database: Database, clock: Clock) -> Result<Self, OpenError> {
        Self::start(database, clock, None)
    }

    fn start(database: Database, clock: Clock, folder: Option<Folder>) -> Result<Self, OpenError> {
        let rows = Rows::open(&database)?;
        let table = Arc::new(Mutex::new(recover(&database, &rows, clock.now())?));
        let (queue, requests) = mpsc::channel(QUEUE);
        let writer = Writer {
            database: database.clone(),
            rows: rows.clone(),
            table: Arc::clone(&table),
            queue: requests,
        };
        let started = std::thread::Builder::new().name("saga-writer".to_owned()).spawn(move || writer.run());
        let writer =
            Some(started.map_err(|source| OpenError::Folder { path: PathBuf::from("saga-writer"), source })?);
        let inner = Inner { queue: Some(queue), writer, table, rows, database, clock, _folder: folder };
        Ok(Self(Arc::new(inner)))
    }

    /// Whether the database still takes writes. It may wait for a sync in progress, so not on a request task: call it now
    /// and then from a thread that may block, and end the process when it errs. fjall's own threads can meet a full disk
    /// while nobody writes, and a commit that waits for their flush never returns.
    pub fn probe(&self) -> Result<(), StoreError> {
        self.0.database.persist(PersistMode::Buffer).map_err(rows::unreadable)
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let ended = || StoreError::Failed("its writer has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let queue = self.0.queue.as_ref().ok_or_else(ended)?;
        queue.send(request(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// All that has not ended, due at once; damaged headers become those of parked sagas.
fn recover(database: &Database, rows: &Rows, now: Millis) -> Result<Table, OpenError> {
    let mut table = Table::default();
    let mut mended = database.batch().durability(Some(PersistMode::SyncData));
    for id in rows.open_ids()? {
        let Some((mut header, sound)) = rows.read(&id)? else { continue };
        header.due_at = (header.summary.status != Status::Parked).then_some(now);
        if !sound {
            rows.put_header(&mut mended, &header);
        }
        table.put(header);
    }
    mended.commit()?;
    Ok(table)
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        // It ends with the queue, after one more commit at most. Its own panics are caught within.
        self.writer.take().map(JoinHandle::join).transpose().unwrap_or_default();
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fjall").finish_non_exhaustive()
    }
}

impl Store for Fjall {
    fn now(&self) -> Millis {
        self.0.clock.now()
    }

    async fn create(&self, new: New) -> Result<Creation, StoreError> {
        self.ask(|reply| Request::Create(new, reply)).await
    }

    async fn append(&self, change: Change) -> Result<Append, StoreError> {
        self.ask(|reply| Request::Append(change, reply)).await
    }

    async fn claim(&self, most: usize, lease: Duration) -> Result<Vec<Stored>, StoreError> {
        let now = self.now();
        let until = now.saturating_add(millis(lease));
        let headers = self.ask(|reply| Request::Claim { now, until, most, reply }).await?;
        headers.into_iter().map(|header| self.0.rows.stored(header)).collect()
    }

    fn next_due(&self) -> Millis {
        lock(&self.0.table).next_due()
    }

    async fn renew(&self, held: Vec<(SagaId, u64)>, due_at: Millis) -> Result<(), StoreError> {
        self.ask(|reply| Request::Renew { held, due_at, reply }).await
    }

    async fn load(&self, id: &SagaId) -> Result<Option<Stored>, StoreError> {
        let header = self.0.rows.header(id)?;
        header.map(|header| self.0.rows.stored(header)).transpose()
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Summary>, StoreError> {
        if filter.wanted().is_some_and(|status| !status.is_terminal()) {
            return Ok(lock(&self.0.table).list(filter));
        }
        self.0.rows.list(filter)
    }

    async fn forget(&self, before: Millis, most: usize) -> Result<usize, StoreError> {
        self.ask(|reply| Request::Forget { before, most, reply }).await
    }

    async fn figures(&self) -> Result<Figures, StoreError> {
        Ok(lock(&self.0.table).figures())
    }
}
