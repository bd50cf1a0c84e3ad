//! A configuration that is taken up while the process runs: on SIGHUP, and when the file has changed. All of it, or
//! nothing when something is wrong; either way the log tells, and the admin server's `/api/config`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqueduct_runtime::clock;
use aqueduct_runtime::file::Watched;
use aqueduct_runtime::signal::{Order, Orders};
use aqueduct_telemetry::metrics::{Counters, Registry};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{self, Rejected};

/// Between two looks at the file.
const POLL: Duration = Duration::from_secs(1);

/// What a configuration asks for that only a restart brings about, by its keys.
pub(crate) type Restart = Vec<&'static str>;

/// The configuration in use and what the last attempt to change it said. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Active(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    file: Option<PathBuf>,
    bytes: Vec<u8>,
    since_ms: u64,
    restart: Restart,
    last: Option<Last>,
}

/// What came of reading the file again.
#[derive(Debug)]
struct Last {
    at_ms: u64,
    asked_by: &'static str,
    result: &'static str,
    problems: Vec<Value>,
}

impl Active {
    /// What the process has started with; without a file the built-in configuration.
    pub(crate) fn new(file: Option<&Path>, bytes: Vec<u8>, registry: &Registry) -> Self {
        let since_ms = clock::now_unix_ms();
        let file = file.map(Path::to_owned);
        let active =
            Self(Arc::new(Mutex::new(State { file, bytes, since_ms, restart: Vec::new(), last: None })));
        let shown = active.clone();
        registry.collect(move |snapshot| {
            let since = Duration::from_millis(shown.state().since_ms).as_secs();
            let help = "When the configuration in use was taken up, in seconds since 1970";
            snapshot.gauge("config_timestamp_seconds", help, since);
        });
        active
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As the admin server shows it.
    pub(crate) fn show(&self) -> Value {
        let state = self.state();
        let last = state.last.as_ref().map(|last| {
            json!({
                "at": time(last.at_ms),
                "askedBy": last.asked_by,
                "result": last.result,
                "problems": last.problems,
            })
        });
        json!({
            "file": state.file.as_ref().map(|file| file.display().to_string()),
            "sha256": state.file.as_ref().map(|_| hash(&state.bytes)),
            "since": time(state.since_ms),
            "needsRestart": state.restart,
            "lastReload": last,
            "config": config::show(&String::from_utf8_lossy(&state.bytes)),
        })
    }
}

fn time(unix_ms: u64) -> String {
    String::from_utf8_lossy(&clock::rfc3339(unix_ms)).into_owned()
}

fn hash(bytes: &[u8]) -> String {
    let digits: Vec<_> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// Takes up the configuration of these bytes, or says all that is wrong.
pub(crate) trait TakeUp:
    Fn(&Path, Vec<u8>) -> Result<Restart, Rejected> + Clone + Send + 'static
{
}

impl<F: Fn(&Path, Vec<u8>) -> Result<Restart, Rejected> + Clone + Send + 'static> TakeUp for F {}

/// Who reads the file again.
#[derive(Debug)]
pub(crate) struct Reloads {
    active: Active,
    results: Counters,
}

impl Reloads {
    pub(crate) fn new(active: &Active, registry: &Registry) -> Self {
        let results =
            registry.counters("config_reloads", "Readings of the configuration by what came of them");
        Self { active: active.clone(), results }
    }

    /// Takes up what is asked for until it is dropped. Orders to upgrade are passed on.
    pub(crate) async fn follow(&self, orders: &mut Orders, upgrade: &mpsc::Sender<()>, take_up: impl TakeUp) {
        let (path, bytes) = {
            let state = self.active.state();
            (state.file.clone(), state.bytes.clone())
        };
        let mut file = path.as_ref().map(|path| Watched::new(path, config::MAX_BYTES));
        // What was tried last, so that one change is one attempt.
        let mut tried = Some(bytes);
        // What is there since the last look: it may be half of what is being written.
        let mut fresh: Option<Vec<u8>> = None;
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                order = orders.next() => match order {
                    Order::Reload => true,
                    Order::Upgrade => {
                        if upgrade.try_send(()).is_err() {
                            tracing::warn!("asked to upgrade, which is under way already");
                        }
                        continue;
                    }
                },
                _ = ticks.tick() => false,
            };
            let Some(watched) = file.take() else {
                if asked {
                    tracing::warn!("asked to reload, but there is no configuration file");
                }
                continue;
            };
            let (watched, found) = look(watched, asked).await;
            let path = watched.path().to_owned();
            file = Some(watched);
            let settled = matches!(found, Ok(None));
            let found = found.map(|found| found.or_else(|| fresh.take()));
            match found {
                Ok(None) => {}
                Ok(Some(bytes)) if !asked && tried.as_ref() == Some(&bytes) => fresh = None,
                Ok(Some(bytes)) if !asked && !settled && fresh.as_ref() != Some(&bytes) => {
                    fresh = Some(bytes);
                }
                Ok(Some(bytes)) => {
                    fresh = None;
                    tried = Some(bytes.clone());
                    self.attempt(asked, &path, bytes, take_up.clone()).await;
                }
                // A file that is being replaced may be away for a moment: that is told when it was asked for, and once.
                Err(why) if asked || tried.is_some() => {
                    tried = None;
                    let why = format!("cannot read {}: {why}", path.display());
                    self.tell(asked, Err(&Rejected::Unreadable(why)), None);
                }
                Err(_) => {}
            }
        }
    }

    async fn attempt(&self, asked: bool, path: &Path, bytes: Vec<u8>, take_up: impl TakeUp) {
        let (path, tried) = (path.to_owned(), bytes.clone());
        let taken = tokio::task::spawn_blocking(move || take_up(&path, tried)).await;
        // Otherwise the runtime ends.
        if let Ok(taken) = taken {
            self.tell(asked, taken.as_ref(), Some(bytes));
        }
    }

    fn tell(&self, asked: bool, taken: Result<&Restart, &Rejected>, bytes: Option<Vec<u8>>) {
        let asked_by = if asked { "SIGHUP" } else { "a change of the file" };
        let now = clock::now_unix_ms();
        let mut state = self.active.state();
        let mut problems = Vec::new();
        let result = match taken {
            Ok(restart) => {
                let unchanged = bytes.as_ref() == Some(&state.bytes);
                if !unchanged {
                    state.since_ms = now;
                }
                state.bytes = bytes.unwrap_or_default();
                state.restart.clone_from(restart);
                let sha256 = hash(&state.bytes);
                tracing::info!(asked_by, sha256, "the configuration is in use");
                for key in restart {
                    tracing::warn!(
                        "`{key}` is changed in the configuration, which takes a restart or an upgrade"
                    );
                }
                if unchanged { "unchanged" } else { "applied" }
            }
            Err(Rejected::Unreadable(why)) => {
                tracing::error!(asked_by, "the configuration is kept: {why}");
                problems.push(json!({ "message": why }));
                "unreadable"
            }
            Err(Rejected::Wrong(wrong)) => {
                for problem in &wrong.problems {
                    let (line, column) = (problem.span.line, problem.span.column);
                    tracing::error!("{}:{line}:{column}: {}", wrong.file, problem.message);
                    let message = &problem.message;
                    let path = &problem.path;
                    problems
                        .push(json!({ "line": line, "column": column, "path": path, "message": message }));
                }
                tracing::error!(
                    asked_by,
                    problems = wrong.problems.len(),
                    "the configuration is kept: the new one is wrong"
                );
                "invalid"
            }
        };
        state.last = Some(Last { at_ms: now, asked_by, result, problems });
        drop(state);
        self.results.with(&[("result", result)]).inc();
    }
}

/// Looks at the file, and reads it in any case if `anew`.
async fn look(mut file: Watched, anew: bool) -> (Watched, std::io::Result<Option<Vec<u8>>>) {
    if anew {
        file = Watched::new(file.path(), config::MAX_BYTES);
    }
    let again = Watched::new(file.path(), config::MAX_BYTES);
    let look = move || {
        let found = file.look();
        (file, found)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked.unwrap_or_else(|error| (again, Err(std::io::Error::other(error))))
}
