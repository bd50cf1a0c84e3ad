//! SIGUSR2: the binary as it is now takes over every listening socket, and this process drains once the new one accepts.
//! If the new one does not come that far, this one goes on.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_runtime::handover::{Predecessor, Successor};
use aqueduct_telemetry::health::{Health, Status};

/// How long the new process may take until it accepts.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a new process waits for the checks of its upstreams before it accepts all the same.
const JOIN_WITHIN: Duration = Duration::from_secs(10);
const EDGE: u8 = b'e';
const ADMIN: u8 = b'a';

/// What a predecessor has handed over; nothing when there is none.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) edge: Vec<TcpListener>,
    pub(crate) admin: Option<TcpListener>,
    predecessor: Option<Predecessor>,
}

impl Inherited {
    /// Takes what the predecessor hands over, if this process was started by one.
    pub(crate) fn take() -> Result<Self> {
        let Some(predecessor) = Predecessor::find() else { return Ok(Self::default()) };
        let sockets = predecessor.sockets().context("take over the listening sockets")?;
        let mut inherited = Self { predecessor: Some(predecessor), ..Self::default() };
        for (tag, listener) in sockets {
            match tag {
                ADMIN => inherited.admin = Some(listener),
                _ => inherited.edge.push(listener),
            }
        }
        Ok(inherited)
    }

    /// Waits until this process can answer as well as its predecessor, which goes on meanwhile.
    pub(crate) async fn joined(&self, health: &Health) {
        if self.predecessor.is_some() {
            let mut status = health.subscribe();
            let joined = status.wait_for(|status| *status != Status::Starting);
            if tokio::time::timeout(JOIN_WITHIN, joined).await.is_err() {
                tracing::warn!("not every upstream has answered; taking over all the same");
            }
        }
    }

    /// This process accepts: the predecessor may go.
    pub(crate) fn ready(self) {
        if let Some(predecessor) = self.predecessor
            && let Err(error) = predecessor.ready()
        {
            tracing::warn!(%error, "the process before this one is gone already");
        }
    }
}

/// Starts the binary anew, with the same arguments. Resolves with its process id once it accepts; the new process is ended
/// when the future is dropped before.
pub(crate) async fn hand_over(edge: Vec<TcpListener>, admin: Option<TcpListener>) -> io::Result<u32> {
    let edge = edge.into_iter().map(|listener| (EDGE, listener));
    let sockets: Vec<_> = edge.chain(admin.map(|listener| (ADMIN, listener))).collect();
    let successor = Successor::start(&mut command()?, &sockets).await?;
    successor.ready(PATIENCE).await
}

/// This command again, by the path that it was called by: what lies there now is what is wanted, also behind a symbolic link.
fn command() -> io::Result<Command> {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let mut command = Command::new(program(called)?);
    command.args(args);
    Ok(command)
}

fn program(called: OsString) -> io::Result<PathBuf> {
    let path = PathBuf::from(called);
    if path.components().count() > 1 {
        return Ok(path);
    }
    // Found by the shell in its PATH. Linux marks a file that was replaced since.
    let own = std::env::current_exe()?;
    let own = own.to_string_lossy().into_owned();
    Ok(own.strip_suffix(" (deleted)").unwrap_or(&own).into())
}

#[cfg(test)]
mod tests {
    use super::program;

    #[test]
    fn the_path_it_was_called_by_is_what_is_started() {
        assert_eq!(program("./aqueduct".into()).unwrap().to_str(), Some("./aqueduct"));
        assert_eq!(program("/opt/now/aqueduct".into()).unwrap().to_str(), Some("/opt/now/aqueduct"));
        assert_eq!(program("aqueduct".into()).unwrap(), std::env::current_exe().unwrap());
    }
}
