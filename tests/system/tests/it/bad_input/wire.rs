//! A client that sends whatever it is told to, and sees how the server takes it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Only a failing test waits that long.
const LIMIT: Duration = Duration::from_secs(30);

/// What became of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The status of the first answer.
    Status(u16),
    /// Closed without an answer.
    Closed,
}

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
}

impl Wire {
    pub(super) fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Self { stream }
    }

    /// Sends, as far as the server still listens.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.write(bytes);
    }

    /// Whether all of it could be sent.
    fn write(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if hung_up(error.kind()) => false,
            Err(error) => panic!("the server neither reads nor closes: {error}"),
        }
    }

    /// Sends `piece` as a chunk again and again until the server hangs up, `most` bytes at most. Answers how many were sent.
    pub(super) fn flood(&mut self, piece: &[u8], most: usize) -> usize {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        self.flood_raw(&chunk, most)
    }

    /// The same without the framing of a chunk.
    pub(super) fn flood_raw(&mut self, piece: &[u8], most: usize) -> usize {
        let mut sent = 0;
        while sent < most && self.write(piece) {
            sent += piece.len();
        }
        sent
    }

    /// Sends one byte if for `pause` the server has neither answered nor hung up; answers whether it was taken.
    pub(super) fn drip(&mut self, pause: Duration) -> bool {
        self.stream.set_read_timeout(Some(pause)).unwrap();
        let heard = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(LIMIT)).unwrap();
        let silent =
            heard.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        silent && self.write(b"x")
    }

    /// Waits for an answer or the connection's end.
    pub(super) fn outcome(&mut self) -> Outcome {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while heard.len() < "HTTP/1.1 400".len() {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Outcome::Closed,
                Ok(count) => heard.extend_from_slice(&buffer[..count]),
                Err(error) if hung_up(error.kind()) => return Outcome::Closed,
                Err(error) => panic!("neither an answer nor an end: {error}"),
            }
        }
        let head = String::from_utf8_lossy(&heard);
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Outcome::Status(status.unwrap_or_else(|| panic!("not HTTP: {head}")))
    }

    /// One of these statuses, or closed.
    pub(super) fn assert_refused(&mut self, statuses: &[u16]) {
        match self.outcome() {
            Outcome::Closed => {}
            Outcome::Status(status) => assert!(statuses.contains(&status), "status {status}"),
        }
    }

    /// Whatever is said, the connection ends.
    pub(super) fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert!(hung_up(error.kind()), "it does not end: {error}"),
        }
    }
}

fn hung_up(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}
