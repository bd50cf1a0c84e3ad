//! The access log of a running edge, and its own figures.

use anyhow::{Context as _, Result};
use aqueduct_telemetry::access::{AccessLog, AccessOptions, AccessWriter};
use aqueduct_telemetry::metrics::Registry;

use crate::config::AccessLogFile;

/// Opens the log, unless it is off.
pub(crate) fn open(file: &AccessLogFile, registry: &Registry) -> Result<Option<(AccessLog, AccessWriter)>> {
    let Some(target) = file.target.clone() else { return Ok(None) };
    let options = AccessOptions {
        target,
        format: file.format.clone(),
        sample: file.sample,
        ..AccessOptions::default()
    };
    let (log, writer) = AccessLog::open(&options).context("open the access log")?;
    let figures = log.clone();
    registry.collect(move |snapshot| {
        let stats = figures.stats();
        snapshot.counter("access_log_lines", "Lines handed to the writer", stats.recorded);
        let lost = [([("reason", "full")], stats.dropped), ([("reason", "io")], stats.failed)];
        snapshot.counters("access_log_lost", "Lines lost: the writer was behind, or could not write", lost);
    });
    Ok(Some((log, writer)))
}

/// Writes what is left. Blocks for as long as the disk does.
pub(crate) async fn close(writer: Option<AccessWriter>) {
    if let Some(writer) = writer {
        // Its panic has been logged by the writer.
        drop(tokio::task::spawn_blocking(|| writer.close()).await);
    }
}
