//! What is remembered of a server, and whether the process of that number is still it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A server of a cluster.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    /// Also the name of its folder.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    /// Of the process that was started last.
    pub(crate) pid: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Mariadb,
    /// The nodes talk to each other on the port `bus`.
    Redis {
        bus: u16,
    },
    Nats,
}

impl Entry {
    pub(crate) fn new(name: &str, kind: Kind, port: u16) -> Self {
        Self { name: name.to_owned(), kind, port, pid: None }
    }

    /// Whether it runs: whether its pid is that of a process of this program that works in this server's folder. After a
    /// restart of the machine, say, it may be anybody's.
    pub(crate) fn runs(&self, cluster: &Path) -> bool {
        let Some(pid) = self.pid else { return false };
        let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // That of a process that has ended, and whose parent has not noticed, cannot be read.
        let works_in = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        program.trim_end() == self.program() && works_in.starts_with(cluster.join(&self.name))
    }

    /// Asks it to end, also if it is paused; false if it does not run.
    pub(crate) fn terminate(&self, cluster: &Path) -> Result<bool> {
        let Some(pid) = self.pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) else { return Ok(false) };
        // Opened before the check, it cannot come to mean another process after it.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(false) };
        if !self.runs(cluster) {
            return Ok(false);
        }
        for signal in [Signal::TERM, Signal::CONT] {
            pidfd_send_signal(&process, signal)
                .or_else(|error| if error == rustix::io::Errno::SRCH { Ok(()) } else { Err(error) })
                .with_context(|| format!("end {} (pid {pid:?})", self.name))?;
        }
        Ok(true)
    }

    fn program(&self) -> &'static str {
        match self.kind {
            Kind::Mariadb => "mariadbd",
            Kind::Redis { .. } => "redis-server",
            Kind::Nats => "nats-server",
        }
    }
}
