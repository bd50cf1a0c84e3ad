//! Listening sockets handed from one process to its successor, so that neither closes them: closing one would reset the
//! connections that wait in its accept queue.
//!
//! The successor is a child whose standard input is one end of a socket pair. Over it go the sockets (`SCM_RIGHTS`, one byte
//! that says what it is for with each), and back comes a byte once the successor accepts. A successor that ends before
//! that leaves everything as it was.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::parent_id;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

/// The environment of a successor has the process id of its predecessor here.
pub const VARIABLE: &str = "AQUEDUCT_UPGRADE";
/// Behind the last socket.
const END: u8 = b'.';
/// The successor accepts.
const READY: u8 = b'+';
/// For one socket to be taken.
const STALLED: Duration = Duration::from_secs(30);

/// A process that is about to take over. It is ended when this is dropped before it is ready.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    socket: UnixStream,
    ready: bool,
}

impl Successor {
    /// Starts it and hands over the sockets, each with what it is for. Resolves when it has taken them. It is ended when the
    /// future is dropped before, at whatever point: only the start itself, which takes milliseconds, is not waited for but
    /// done, since on another thread it would go on behind the back of whoever does not want it any more.
    ///
    /// # Errors
    /// When it cannot be started, or does not take the sockets.
    pub async fn start(command: &mut Command, sockets: &[(u8, TcpListener)]) -> io::Result<Self> {
        let (socket, theirs) = std::os::unix::net::UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let socket = UnixStream::from_std(socket)?;
        command.stdin(Stdio::from(OwnedFd::from(theirs))).env(VARIABLE, std::process::id().to_string());
        let child = command.spawn()?;
        let mut successor = Self { child, socket, ready: false };
        // The command would keep the other end open, and hide the end of the child.
        command.stdin(Stdio::null());
        let sent = tokio::time::timeout(STALLED, send_all(&mut successor.socket, sockets));
        match sent.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => Ok(successor),
            // It has ended, or takes nothing.
            Err(error) => Err(match successor.child.try_wait() {
                Ok(Some(status)) => ended(status),
                _ => error,
            }),
        }
    }

    /// Waits until it accepts, at most for `patience`. Returns its process id. It is ended when the future is dropped before.
    ///
    /// # Errors
    /// When it ends, or is not ready in time; it has ended then.
    pub async fn ready(mut self, patience: Duration) -> io::Result<u32> {
        let mut byte = [0];
        match tokio::time::timeout(patience, self.socket.read(&mut byte)).await {
            Ok(Ok(1)) if byte == [READY] => {
                self.ready = true;
                Ok(self.child.id())
            }
            // It is about to end. An error says the same when it has not read all that was sent.
            Ok(_) => {
                let silent = || io::Error::other("the new process has let go of the sockets");
                Err(self.status().await.map_or_else(silent, ended))
            }
            Err(_) => Err(io::Error::other(format!("the new process is not ready after {patience:?}"))),
        }
    }

    async fn status(&mut self) -> Option<ExitStatus> {
        for _ in 0..500 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    fn end(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.ready {
            self.end();
        }
    }
}

fn ended(status: ExitStatus) -> io::Error {
    io::Error::other(format!("the new process has ended ({status}); what it printed tells why"))
}

async fn send_all(socket: &mut UnixStream, sockets: &[(u8, TcpListener)]) -> io::Result<()> {
    for (tag, listener) in sockets {
        socket.async_io(Interest::WRITABLE, || send(&*socket, *tag, listener)).await?;
    }
    socket.write_all(&[END]).await
}

fn send(socket: impl AsFd, tag: u8, listener: &TcpListener) -> io::Result<()> {
    let fds = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(&[tag])], &mut control, SendFlags::empty())?;
    Ok(())
}

/// The process that this one takes over from.
#[derive(Debug)]
pub struct Predecessor(());

impl Predecessor {
    /// The predecessor, if this process was started as a successor.
    pub fn find() -> Option<Self> {
        let pid: u32 = std::env::var(VARIABLE).ok()?.parse().ok()?;
        // Otherwise the variable was inherited from a process that was one.
        (pid == parent_id()).then_some(Self(()))
    }

    /// Takes the sockets. Call it once.
    ///
    /// # Errors
    /// When the predecessor is gone.
    pub fn sockets(&self) -> io::Result<Vec<(u8, TcpListener)>> {
        receive_all(io::stdin())
    }

    /// Tells that this process accepts. The predecessor lets go from here on.
    ///
    /// # Errors
    /// As [`sockets`](Self::sockets).
    pub fn ready(self) -> io::Result<()> {
        rustix::net::send(io::stdin(), &[READY], SendFlags::empty())?;
        Ok(())
    }
}

fn receive_all(socket: impl AsFd) -> io::Result<Vec<(u8, TcpListener)>> {
    let mut all = Vec::new();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        // A byte at a time: that is a socket at a time.
        let mut room = [IoSliceMut::new(&mut byte)];
        let received = rustix::net::recvmsg(&socket, &mut room, &mut control, RecvFlags::empty())?;
        let tag = match (received.bytes, byte) {
            (1, [END]) => return Ok(all),
            (1, [tag]) => tag,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                for fd in fds {
                    // Not for the children of this process.
                    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
                    all.push((tag, TcpListener::from(fd)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn sockets_arrive_with_their_meaning_and_the_connections_that_wait() {
        let listeners = [b'a', b'b', b'b'].map(|tag| (tag, TcpListener::bind("127.0.0.1:0").unwrap()));
        let addresses: Vec<_> = listeners.iter().map(|(tag, it)| (*tag, it.local_addr().unwrap())).collect();
        let waiting = TcpStream::connect(addresses[2].1).unwrap();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut ours = UnixStream::from_std(ours).unwrap();
        send_all(&mut ours, &listeners).await.unwrap();
        drop(listeners);
        let received = receive_all(&theirs).unwrap();
        let found: Vec<_> = received.iter().map(|(tag, it)| (*tag, it.local_addr().unwrap())).collect();
        assert_eq!(found, addresses);
        assert_eq!(received[2].1.accept().unwrap().1, waiting.local_addr().unwrap());
        drop(ours);
        assert_eq!(receive_all(&theirs).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_successor_that_ends_is_told_of_with_its_status() {
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 1 >/dev/null; exit 3"]);
        let successor = Successor::start(&mut command, &[]).await.unwrap();
        let error = successor.ready(Duration::from_mins(1)).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn a_successor_that_is_never_ready_is_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 1 >/dev/null; exec sleep 600"]);
        let successor = Successor::start(&mut command, &[]).await.unwrap();
        let pid = successor.child.id();
        let error = successor.ready(Duration::from_millis(10)).await.unwrap_err().to_string();
        assert!(error.contains("not ready"), "{error}");
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        let missing = Successor::start(&mut Command::new("/nowhere/aqueduct"), &[]).await;
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_successor_that_says_so_is_ready() {
        // dash's printf writes to the socket that is its standard input.
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 1 >/dev/null; printf + >&0"]);
        let successor = Successor::start(&mut command, &[]).await.unwrap();
        successor.ready(Duration::from_mins(1)).await.unwrap();
    }

    /// Nobody is left who would take over from nobody.
    #[tokio::test]
    async fn a_successor_that_nobody_wants_any_more_is_ended_while_it_takes_the_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("pid");
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >$0.new; mv $0.new $0; exec sleep 600"]).arg(&said);
        // More than fit between the two.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets: Vec<_> = (0..1000).map(|_| (b'a', listener.try_clone().unwrap())).collect();
        let begun = async {
            while !said.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            started = Successor::start(&mut command, &sockets) => unreachable!("{started:?}"),
            () = begun => {}
        }
        let pid = std::fs::read_to_string(said).unwrap();
        assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
    }
}
