//! A process under test: started, watched through what it prints, and ended by its pid.

mod output;

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::wait::until;
use output::Output;

/// How long the waits below may take; only a failing test ever waits this long.
pub const fn within(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A running child process whose standard output and error are collected line by line, or kept in a file.
///
/// Dropping it ends it with SIGKILL; processes that it has started itself are not ended. When the test is failing, the last
/// lines that it printed are shown.
pub struct Process {
    name: String,
    child: Child,
    output: Output,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with an empty standard input; `name` labels its output in failures.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(name: &str, command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let output = Output::collect(child.stdout.take(), child.stderr.take())?;
        Ok(Self { name: name.to_owned(), child, output, ended: None })
    }

    /// As [`Process::start`], but what it prints is appended to the file `log`, and stays there.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or the program cannot be started.
    pub fn start_with_log(name: &str, command: &mut Command, log: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn()?;
        Ok(Self { name: name.to_owned(), child, output: Output::File(log.to_owned()), ended: None })
    }

    /// Lets the process live on when this one ends. It must have been started with a log: a pipe would break.
    pub fn detach(self) {
        // Without its `drop`, which would end the process. A name and a path are all that leaks.
        std::mem::forget(self);
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line (of either stream) that contains `text`, and answers it. Lines of before count too.
    ///
    /// # Errors
    ///
    /// With all that was printed, when `limit` passes or both streams end first.
    pub fn wait_line(&self, text: &str, limit: Duration) -> Result<String, Unready> {
        self.output
            .wait_line(text, limit)
            .ok_or_else(|| self.unready(&format!("printed no line with {text:?}")))
    }

    /// Waits until something accepts TCP connections at `address`.
    ///
    /// # Errors
    ///
    /// With all that was printed, when the process ends or `limit` passes first.
    pub fn wait_port(&mut self, address: SocketAddr, limit: Duration) -> Result<(), Unready> {
        let open = until(limit, || match self.exited() {
            Some(_) => Some(false),
            None => TcpStream::connect(address).is_ok().then_some(true),
        });
        if open == Some(true) { Ok(()) } else { Err(self.unready(&format!("does not listen on {address}"))) }
    }

    /// The exit status, if the process has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the child is ours to wait for");
        }
        self.ended
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    ///
    /// With all that was printed, when it still runs after `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus, Unready> {
        until(limit, || self.exited()).ok_or_else(|| self.unready("still runs"))
    }

    /// Waits until the process ends by itself and everything that it printed is read: the status and the text.
    ///
    /// # Errors
    ///
    /// As [`Process::wait_exit`]; also when another process holds its output open for longer than `limit`.
    pub fn finish(&mut self, limit: Duration) -> Result<(ExitStatus, String), Unready> {
        let status = self.wait_exit(limit)?;
        if !self.output.wait_end(limit) {
            return Err(self.unready("has ended, but its output has not"));
        }
        Ok((status, self.printed()))
    }

    /// Asks the process to end, with SIGTERM. Returns at once.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent. A process that has already ended is no error.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Asks the process to read its configuration again, with SIGHUP.
    ///
    /// # Errors
    ///
    /// As [`Process::terminate`].
    pub fn hang_up(&mut self) -> io::Result<()> {
        self.signal(Signal::HUP)
    }

    /// Asks the process to hand over to its successor, with SIGUSR2.
    ///
    /// # Errors
    ///
    /// As [`Process::terminate`].
    pub fn upgrade(&mut self) -> io::Result<()> {
        self.signal(Signal::USR2)
    }

    /// Stops the process in its tracks, with SIGSTOP, until it is resumed: it stays connected and answers nothing. Waits
    /// until all its threads have stopped, since one on another core may still answer after the signal was sent.
    ///
    /// # Errors
    ///
    /// As [`Process::terminate`].
    pub fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        if self.ended.is_some() {
            return Ok(());
        }
        // Left to be waited for: the end of the process is asked for elsewhere.
        let either = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), either)?;
        Ok(())
    }

    /// Lets a paused process go on, with SIGCONT.
    ///
    /// # Errors
    ///
    /// As [`Process::terminate`].
    pub fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Ends the process with SIGKILL, which it cannot notice, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent. A process that has already ended is no error.
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::KILL)?;
        self.ended = Some(self.child.wait()?);
        Ok(())
    }

    /// All that the process has printed so far, both streams in order of arrival.
    pub fn printed(&self) -> String {
        self.output.all()
    }

    /// Checks first whether it has ended, since its pid may by then belong to another process.
    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.exited().is_none() {
            kill_process(Pid::from_child(&self.child), signal)?;
        }
        Ok(())
    }

    fn unready(&self, what: &str) -> Unready {
        Unready::new(format!("{} {what}; it printed:\n{}", self.name, self.printed()))
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "goes with the failure's own report")]
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("could not end {} (pid {}): {error}", self.name, self.pid());
        }
        if std::thread::panicking() {
            eprintln!("--- {} printed, at the end:\n{}", self.name, self.output.tail(60));
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

/// A process did not get to where it was awaited.
pub struct Unready {
    message: String,
}

impl Unready {
    pub(crate) fn new(message: String) -> Self {
        Self { message }
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As `Display`: `unwrap` shows this, and the process's output should keep its line breaks.
impl fmt::Debug for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unready {}

#[cfg(test)]
mod tests;
