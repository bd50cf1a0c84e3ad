//! The coordinator's store, opened, and watched for as long as it is used.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, anyhow};
use aqueduct_runtime::task;
use aqueduct_saga::fjall::{Fjall, OpenError};
use aqueduct_saga::mysql::Mysql;
use aqueduct_saga::{Clock, Store};
use mysql_async::{OptsBuilder, Pool, PoolConstraints, PoolOpts};

use crate::config::SagaMysql;
use crate::trust::Trust;

/// How often the disk is asked whether it still takes writes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long the database may take to let us in and to make its tables.
const OPEN_WITHIN: Duration = Duration::from_secs(20);
/// Connections to the database that are kept, and the most: one a lane of the writer, and some for what is read.
const CONNECTIONS: (usize, usize) = (2, 16);
/// Those beyond are closed when they were idle for so long.
const IDLE: Duration = Duration::from_mins(1);

/// Where the sagas are.
#[derive(Debug)]
pub(super) enum Place {
    Folder(PathBuf),
    Database(Box<SagaMysql>),
}

/// An open store.
pub(super) struct Opened<S: Store> {
    pub(super) store: S,
    /// For the log.
    pub(super) shown: String,
    /// Resolves with the reason when it cannot be used any more.
    pub(super) failed: Pin<Box<dyn Future<Output = anyhow::Error>>>,
}

/// Opens the embedded store.
pub(super) async fn folder(folder: &Path) -> Result<Opened<Fjall>> {
    let path = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || Fjall::open(path, Clock::system())).await;
    let store = opened.map_err(|error| anyhow!(error).context("open the store"))?;
    let store = store.map_err(|error| advise(&error))?;
    let failed = Box::pin(full(store.clone()));
    Ok(Opened { store, shown: folder.display().to_string(), failed })
}

/// Opens the store in a database, and creates its tables where they are missing.
pub(super) async fn database(file: &SagaMysql) -> Result<Opened<Mysql>> {
    let SagaMysql { login, tls, server, database } = file;
    let constraints = PoolConstraints::new(CONNECTIONS.0, CONNECTIONS.1).unwrap_or_default();
    let pool = PoolOpts::default().with_constraints(constraints).with_inactive_connection_ttl(IDLE);
    let opts = OptsBuilder::default()
        .ip_or_hostname(server.host.clone())
        .tcp_port(server.port)
        .user(login.user.clone())
        .pass(login.password.clone())
        .db_name(Some(database.clone()))
        .ssl_opts(tls.as_ref().map(Trust::mysql))
        .pool_opts(pool);
    let refused = |why: &dyn Display| {
        anyhow!("cannot use the database {database} at {server}: {why}; `saga.mysql` in the file names it")
    };
    let opened = tokio::time::timeout(OPEN_WITHIN, Mysql::open(Pool::new(opts))).await;
    let opened = opened.map_err(|_| refused(&"it does not answer"))?;
    let (store, writing) = opened.map_err(|error| refused(&error))?;
    let writing = task::spawn("saga-writer", writing.run());
    let failed = Box::pin(async move {
        drop(writing.await);
        anyhow!("the store's writer has ended; the log tells why")
    });
    Ok(Opened { store, shown: format!("{database} at {server}"), failed })
}

/// Resolves with the reason when the disk takes no more writes. A commit may then wait without end, and tells nobody.
async fn full(store: Fjall) -> anyhow::Error {
    loop {
        let store = store.clone();
        match tokio::task::spawn_blocking(move || store.probe()).await {
            Ok(Ok(())) => tokio::time::sleep(PROBE_EVERY).await,
            Ok(Err(error)) => return error.into(),
            Err(error) => return anyhow!(error).context("probe the store"),
        }
    }
}

/// What the user can do about it.
fn advise(error: &OpenError) -> anyhow::Error {
    match error {
        OpenError::InUse { .. } => anyhow!("{error}; stop that one, or choose another folder with --data"),
        OpenError::Format { .. } => {
            anyhow!("{error}; run the version that wrote it, or choose another folder with --data")
        }
        OpenError::Folder { .. } => anyhow!("{error}; choose a folder that can be written with --data"),
        _ => anyhow!("{error}"),
    }
}
