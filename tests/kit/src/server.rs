//! A real server (MariaDB, a Redis node, NATS, etcd) in a folder and on a port of its own: ended and started again at the same
//! place, by its pid.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::port::Port;
use crate::process::{Process, Unready, within};
use crate::program;
use crate::scratch::Scratch;

/// Longer than any of the servers needs to start, recovery after a kill -9 included.
const START_LIMIT: u64 = 60;

/// Where a server lives: its folder, its port, and whether it outlives who started it.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    port: Port,
    detached: bool,
}

impl Place {
    /// A free port, and a folder in `scratch` that is named after it: `redis-12345`.
    pub fn in_scratch(scratch: &Scratch, name: &str) -> Self {
        let port = Port::free();
        Self { folder: scratch.join(format!("{name}-{}", port.number())), port, detached: false }
    }

    /// `folder`, which need not exist yet, and `port`, for a server that is to run on when this process has ended: in a
    /// process group of its own, so that no Ctrl-C reaches it.
    pub fn detached(folder: PathBuf, port: Port) -> Self {
        Self { folder, port, detached: true }
    }

    /// The server's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The number of its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

/// A server that was started. Dropping it ends it with SIGKILL and leaves its folder, which is the scratch folder's to
/// remove.
pub struct Server {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    place: Place,
    process: Process,
    state: State,
}

/// What was last done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    Ended,
}

impl Server {
    /// Starts `program` in the folder of `place`, which is made if it is not there, and does not wait for it.
    pub(crate) fn spawn(program: &str, place: Place, args: Vec<String>) -> io::Result<Self> {
        let name = format!("{program} {}", place.port());
        let program = program::find(program)?;
        fs::create_dir_all(&place.folder)?;
        let process = launch(&name, &program, &args, &place)?;
        Ok(Self { name, program, args, place, process, state: State::Running })
    }

    /// Waits until it accepts connections.
    pub(crate) fn wait_ready(&mut self) -> io::Result<()> {
        let address = self.address();
        self.process.wait_port(address, within(START_LIMIT)).map_err(io::Error::other)
    }

    /// The process id; after an end, that of the process that was.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// 127.0.0.1 and its port, the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.place.port.address()
    }

    /// The number of its port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.place.port()
    }

    /// Its folder, with its data and its `log`.
    pub fn folder(&self) -> &Path {
        self.place.folder()
    }

    /// Whether it was neither ended nor paused by one of the methods below.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Ends it with SIGKILL, and waits until it is gone. What it had written stays.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent. A server that has already ended is no error.
    pub fn kill9(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.state = State::Ended;
        Ok(())
    }

    /// Asks it to end, with SIGTERM, and waits until it has. A paused one is resumed first.
    ///
    /// # Errors
    ///
    /// When it still runs after a minute, with its log.
    pub fn stop(&mut self) -> io::Result<()> {
        self.process.terminate()?;
        self.process.resume()?;
        self.process.wait_exit(within(START_LIMIT)).map_err(io::Error::other)?;
        self.state = State::Ended;
        Ok(())
    }

    /// Stops it in its tracks, with SIGSTOP: its connections stay open and nothing is answered.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub fn pause(&mut self) -> io::Result<()> {
        self.process.pause()?;
        self.state = State::Paused;
        Ok(())
    }

    /// Lets it go on after [`Server::pause`].
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub fn resume(&mut self) -> io::Result<()> {
        self.process.resume()?;
        self.state = State::Running;
        Ok(())
    }

    /// Starts it again on the same folder and port, and waits until it accepts connections. If it still runs, it is
    /// stopped first.
    ///
    /// # Errors
    ///
    /// When it does not stop or start, with its log.
    pub fn restart(&mut self) -> io::Result<()> {
        if self.state != State::Ended {
            self.stop()?;
        }
        self.process = launch(&self.name, &self.program, &self.args, &self.place)?;
        self.state = State::Running;
        self.wait_ready()
    }

    /// Lets it run on when this process has ended. Its place must be a detached one.
    pub fn detach(self) {
        self.process.detach();
    }
}

fn launch(name: &str, program: &Path, args: &[String], place: &Place) -> io::Result<Process> {
    let mut command = Command::new(program);
    command.args(args).current_dir(&place.folder);
    // In a test the group is inherited, so that whoever ends the test's group ends its servers too.
    if place.detached {
        command.process_group(0);
    }
    Process::start_with_log(name, &mut command, &place.folder.join("log"))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("name", &self.name).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

/// What a client printed, without the last line break.
///
/// # Errors
///
/// When it did not succeed, with all that it printed.
pub(crate) fn client_output(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    let printed = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let program = command.get_program().display();
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "{program} failed ({}): {} {}",
        output.status,
        complaint.trim(),
        printed.trim()
    )))
}

/// An error whose line breaks are kept when a test unwraps it.
pub(crate) fn failure(message: impl Into<String>) -> io::Error {
    io::Error::other(Unready::new(message.into()))
}
