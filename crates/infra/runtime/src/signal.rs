//! Being asked to stop: SIGTERM (a supervisor) or SIGINT (Ctrl-C); or to go on otherwise: SIGHUP and SIGUSR2. What the
//! first and the second request to stop mean, and the exit code, is the binary's decision.

use std::io;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Which signal asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as by Ctrl-C.
    Interrupt,
    /// SIGTERM, as by a service manager.
    Terminate,
}

impl Signal {
    /// The number of the signal; a shell shows a process it ended as 128 and this.
    pub fn number(self) -> i32 {
        match self {
            Self::Interrupt => SignalKind::interrupt(),
            Self::Terminate => SignalKind::terminate(),
        }
        .as_raw_value()
    }
}

/// The requests to stop, in order. From [`install`](Self::install) on, the signals no longer end the process.
///
/// ```no_run
/// # async fn example(drain: impl Future<Output = ()>) -> std::io::Result<()> {
/// let mut signals = aqueduct_runtime::signal::Signals::install()?;
/// signals.next().await;
/// tokio::select! {
///     () = drain => {}
///     _ = signals.next() => {} // the second one: stop now
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Signals {
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the system refuses the handlers. Panics outside a tokio runtime with I/O.
    pub fn install() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next request. Nothing is lost when the future is dropped before it resolves; equal signals that
    /// arrive before they are taken may count once.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// What a running process is asked to do other than to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR2: hand over to the binary as it is now.
    Upgrade,
}

/// The orders, as they come. From [`install`](Self::install) on, the signals no longer end the process.
#[derive(Debug)]
pub struct Orders {
    hangup: Stream,
    user: Stream,
}

impl Orders {
    /// Starts to listen.
    ///
    /// # Errors
    /// As [`Signals::install`].
    pub fn install() -> io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, user: signal(SignalKind::user_defined2())? })
    }

    /// Waits for the next order. Nothing is lost when the future is dropped before it resolves; equal orders that arrive
    /// before they are taken may count once.
    pub async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            _ = self.user.recv() => Order::Upgrade,
        }
    }
}
