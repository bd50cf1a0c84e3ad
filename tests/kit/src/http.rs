//! A small blocking HTTP/1.1 client (RFC 9112): keep-alive, chunked bodies, bodies read line by line as they arrive,
//! and raw bytes for what no correct client would send.
//!
//! It repeats nothing and hides nothing: a lost answer is an error, which a test must see.

mod body;
mod response;

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use body::Body;
pub use response::{Head, Response};

/// How long a read may take before the client gives up; only a failing test waits this long.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// A client of one server, with at most one connection, which it keeps alive.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    read_limit: Duration,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of the server at `address`; the first request connects.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, read_limit: READ_LIMIT, connection: None }
    }

    /// Sets how long one read may take (30 s at first); for requests that must not be answered.
    pub fn set_read_limit(&mut self, limit: Duration) {
        self.read_limit = limit;
        self.connection = None;
    }

    /// Sends a GET and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When the connection fails, or the answer is not HTTP/1.1. Any status is an answer.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.request("GET", path, &[], b"")
    }

    /// POSTs `body` as JSON and reads the whole answer.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn post(&mut self, path: &str, body: &Value) -> io::Result<Response> {
        self.request("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Sends any request and reads the whole answer. `host` and `content-length` are added.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.send(&encode(method, path, headers, body))?;
        self.read_response(method == "HEAD")
    }

    /// Sends a GET and reads the answer's head only; the body's lines come from [`Lines`] as they arrive.
    ///
    /// The connection belongs to the lines, so that dropping them closes it, as a client does that stops listening.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn lines(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Lines> {
        self.send(&encode("GET", path, headers, b""))?;
        let mut reader = self.connection.take().ok_or(ErrorKind::NotConnected)?;
        let head = Head::read(&mut reader)?;
        let body = Body::after(&head, false)?;
        Ok(Lines { head, body, reader, pending: Vec::new() })
    }

    /// Sends `bytes` as they are, on the kept connection or a new one.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.connected().and_then(|reader| reader.get_mut().write_all(bytes));
        if sent.is_err() {
            self.connection = None;
        }
        sent
    }

    /// Reads one whole answer to what [`Client::send`] sent. `without_body` says that the request was a HEAD.
    ///
    /// # Errors
    ///
    /// As [`Client::get`]. `UnexpectedEof` when the server closes the connection without an answer.
    pub fn read_response(&mut self, without_body: bool) -> io::Result<Response> {
        let mut reader = self.connection.take().ok_or(ErrorKind::NotConnected)?;
        let head = Head::read(&mut reader)?;
        let mut body = Body::after(&head, without_body)?;
        let bytes = body.read_to_end(&mut reader)?;
        if head.keeps_alive() && !body.ends_with_connection() {
            self.connection = Some(reader);
        }
        Ok(Response { head, body: bytes })
    }

    fn connected(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(self.read_limit))?;
            self.connection = Some(BufReader::new(stream));
        }
        self.connection.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

/// A body that is read line by line while the server is still writing it.
#[derive(Debug)]
pub struct Lines {
    head: Head,
    body: Body,
    reader: BufReader<TcpStream>,
    pending: Vec<u8>,
}

impl Lines {
    /// The answer's status and headers.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next line without its line feed; `None` at the body's end.
    ///
    /// # Errors
    ///
    /// When the connection breaks before the body's end, or nothing comes for the client's read limit.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line = self.pending.drain(..=end).take(end).collect();
                return Ok(Some(text(line)?));
            }
            if self.body.read_some(&mut self.reader, &mut self.pending)? == 0 {
                let rest = std::mem::take(&mut self.pending);
                return if rest.is_empty() { Ok(None) } else { Ok(Some(text(rest)?)) };
            }
        }
    }
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

fn encode(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        head.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests;
