//! The coordinator's store, opened, and watched for as long as it is used.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use aqueduct_saga::Clock;
use aqueduct_saga::fjall::{Fjall, OpenError};

/// How often the disk is asked whether it still takes writes.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Opens the embedded store.
pub(super) async fn open(folder: &Path) -> Result<Fjall> {
    let folder = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || Fjall::open(folder, Clock::system())).await;
    opened.map_err(|error| anyhow!(error).context("open the store"))?.map_err(|error| advise(&error))
}

/// Resolves with the reason when the disk takes no more writes. A commit may then wait without end, and tells nobody.
pub(super) async fn failed(store: Fjall) -> anyhow::Error {
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
