//! Health: what probes are told. Checks are set by their owners and load by a background sampler, so that answering a
//! probe only reads memory, whatever state the dependencies are in.
//!
//! **Join strictly, stay tolerantly.** The process becomes ready when it is started and *every* check has passed at
//! the same time. After that a failing check does what its [`OnFailure`] says.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

mod load;
mod machine;
mod probe;

pub use probe::Probe;

/// The state of the process. Clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    status: watch::Sender<Status>,
    load: load::Load,
}

#[derive(Debug, Default)]
struct State {
    checks: Vec<CheckState>,
    /// The id of the next check.
    next: u64,
    started: bool,
    /// Whether every check has passed once; never taken back.
    joined: bool,
    draining: bool,
}

#[derive(Debug)]
struct CheckState {
    id: u64,
    name: String,
    on_failure: OnFailure,
    ok: bool,
    detail: String,
    lag: Option<Duration>,
    /// When `ok` last changed.
    since: Instant,
    /// When the owner last reported.
    reported: Instant,
}

/// What a failing check means for a process that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Answers may be stale or partial, but are still worth having: stay ready.
    Degraded,
    /// No useful answer is possible: leave the balancer's rotation.
    Unavailable,
}

/// The process as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not started yet, or not every check has passed yet.
    Starting,
    /// Ready, every check passes.
    Ok,
    /// Ready, a check fails that is [tolerable](OnFailure::Degraded).
    Degraded,
    /// Not ready: a check fails that is [not](OnFailure::Unavailable).
    Unavailable,
    /// Not ready and about to end.
    Draining,
}

impl Status {
    /// Whether new requests should be sent here.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ok | Self::Degraded)
    }

    /// As it is written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// A process that is starting and has no checks.
    pub fn new() -> Self {
        let shared = Shared {
            state: Mutex::default(),
            status: watch::Sender::new(Status::Starting),
            load: load::Load::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The check of this name. Asking again gives the same check, with this meaning from now on. A new one counts as
    /// failing until its owner reports; of a process that is ready already that would say too much: there it counts as
    /// passing until then.
    /// Configured checks must be there before [`set_started`](Self::set_started): that is when joining is decided.
    pub fn check(&self, name: &str, on_failure: OnFailure) -> Check {
        let (shared, now) = (Arc::clone(&self.shared), Instant::now());
        let mut state = self.shared.lock();
        let known = state.checks.iter_mut().find(|check| check.name == name).map(|check| {
            check.on_failure = on_failure;
            check.id
        });
        let id = known.unwrap_or_else(|| {
            let (id, ok, detail) = (state.next, state.joined, "not reported yet".to_owned());
            let name = name.to_owned();
            state.next += 1;
            state.checks.push(CheckState {
                id,
                name,
                on_failure,
                ok,
                detail,
                lag: None,
                since: now,
                reported: now,
            });
            id
        });
        drop(state);
        self.shared.update(|_| {});
        Check { shared, id }
    }

    /// Whether there is a check of this name.
    pub fn has(&self, name: &str) -> bool {
        self.shared.lock().checks.iter().any(|check| check.name == name)
    }

    /// The process has set itself up: it is ready as soon as all checks pass.
    pub fn set_started(&self) {
        self.shared.update(|state| state.started = true);
    }

    /// The process stops: not ready from now on, for good.
    pub fn set_draining(&self) {
        self.shared.update(|state| state.draining = true);
    }

    /// The state now.
    pub fn status(&self) -> Status {
        *self.shared.status.borrow()
    }

    /// The state and its changes.
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }
}

/// One dependency's state, in the hands of whoever watches it. Clones are the same check.
#[derive(Debug, Clone)]
pub struct Check {
    shared: Arc<Shared>,
    id: u64,
}

impl Check {
    /// The dependency works. `detail` may be empty.
    pub fn ok(&self, detail: impl Into<String>) {
        self.set(true, detail);
    }

    /// The dependency does not work; `detail` says what an operator should know. The probes inside show it, so no secrets.
    pub fn failed(&self, detail: impl Into<String>) {
        self.set(false, detail);
    }

    /// How far the dependency is behind, for one that can be; probes show it outside, too. `None` is not known.
    pub fn lag(&self, lag: Option<Duration>) {
        self.shared.update(|state| {
            if let Some(check) = state.checks.iter_mut().find(|check| check.id == self.id) {
                check.lag = lag;
            }
        });
    }

    /// The dependency is none any more. What is still reported of it is ignored.
    pub fn remove(&self) {
        self.shared.update(|state| state.checks.retain(|check| check.id != self.id));
    }

    /// Either of the two.
    pub fn set(&self, ok: bool, detail: impl Into<String>) {
        let detail = detail.into();
        self.shared.update(|state| {
            // It may have been removed.
            let Some(check) = state.checks.iter_mut().find(|check| check.id == self.id) else { return };
            let now = Instant::now();
            if check.ok != ok {
                check.since = now;
                log_change(&check.name, ok, &detail);
            }
            check.ok = ok;
            check.detail = detail;
            check.reported = now;
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and then tells those who wait for another status.
    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.joined |= state.started && state.checks.iter().all(|check| check.ok);
        let status = state.status();
        // Still under the lock: two updates must not be announced in the wrong order.
        self.status.send_if_modified(|current| {
            if *current == status {
                return false;
            }
            tracing::info!(from = current.as_str(), to = status.as_str(), "health status changed");
            *current = status;
            true
        });
    }
}

impl State {
    fn status(&self) -> Status {
        let fails = |meaning| self.checks.iter().any(|check| !check.ok && check.on_failure == meaning);
        if self.draining {
            Status::Draining
        } else if !self.joined {
            Status::Starting
        } else if fails(OnFailure::Unavailable) {
            Status::Unavailable
        } else if fails(OnFailure::Degraded) {
            Status::Degraded
        } else {
            Status::Ok
        }
    }
}

fn log_change(check: &str, ok: bool, detail: &str) {
    if ok {
        tracing::info!(check, detail, "check passes");
    } else {
        tracing::warn!(check, detail, "check fails");
    }
}

#[cfg(test)]
mod tests;
