//! The diagnostic log of the process: `tracing` events to standard error, for people or as JSON lines.

use aqueduct_runtime::clock;
use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// How the log is written and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// For people or for machines.
    pub format: LogFormat,
    /// Levels by target, such as `info` or `warn,aqueduct_gateway=debug`.
    pub filter: String,
    /// Whether to colour text for people.
    pub colour: bool,
}

/// The shape of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line of text for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why the log cannot be set up. The user's to repair.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LogError {
    /// The format is neither `human` nor `json`.
    #[error("unknown log format {0:?}: there are human and json")]
    Format(String),
    /// The filter cannot be read.
    #[error(
        "cannot read the log filter {filter:?} (such as \"info\" or \"warn,aqueduct_gateway=debug\"): {reason}"
    )]
    Filter {
        /// The filter given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another subscriber has been set up in this process.
    #[error("the log of this process is already set up")]
    AlreadySet,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(LogError::Format(text.to_owned())),
        }
    }
}

impl LogOptions {
    /// From the environment: `AQUEDUCT_LOG_FORMAT` (`human` by default), `AQUEDUCT_LOG` or else `RUST_LOG` (`info` by
    /// default), colour when standard error is a terminal and `NO_COLOR` (no-color.org) is not set.
    ///
    /// # Errors
    /// [`LogError::Format`] for an unknown format.
    pub fn from_env() -> Result<Self, LogError> {
        let colour = std::io::stderr().is_terminal();
        Self::from_variables(|name| std::env::var(name).ok(), colour)
    }

    /// An empty variable counts as not set.
    fn from_variables(get: impl Fn(&str) -> Option<String>, terminal: bool) -> Result<Self, LogError> {
        let get = |name| get(name).filter(|value| !value.is_empty());
        let dumb = get("TERM").as_deref() == Some("dumb");
        Ok(Self {
            format: get("AQUEDUCT_LOG_FORMAT").map_or(Ok(LogFormat::Human), |format| format.parse())?,
            filter: get("AQUEDUCT_LOG").or_else(|| get("RUST_LOG")).unwrap_or_else(|| "info".to_owned()),
            colour: terminal && !dumb && get("NO_COLOR").is_none(),
        })
    }
}

/// Sends this process's `tracing` events to standard error from now on. Once a process.
///
/// # Errors
/// [`LogError`] for a filter that cannot be read, or when it was done before.
pub fn init(options: &LogOptions) -> Result<(), LogError> {
    subscriber(options, std::io::stderr)?.try_init().map_err(|_| LogError::AlreadySet)
}

fn subscriber<W>(options: &LogOptions, writer: W) -> Result<impl Subscriber + Send + Sync, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = options
        .filter
        .parse::<Targets>()
        .map_err(|error| LogError::Filter { filter: options.filter.clone(), reason: error.to_string() })?;
    let layer = layer::<Registry>().with_writer(writer).with_timer(WallClock);
    let layer = match options.format {
        LogFormat::Human => layer.with_ansi(options.colour).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    Ok(tracing_subscriber::registry().with(layer.with_filter(filter)))
}

/// Times as in the access log.
struct WallClock;

impl FormatTime for WallClock {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let time = clock::rfc3339(clock::now_unix_ms());
        w.write_str(str::from_utf8(&time).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests;
