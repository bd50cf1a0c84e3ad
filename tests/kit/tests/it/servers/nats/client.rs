//! As much of NATS' text protocol as a test needs: a request, and its answer as JSON.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

/// A connection that has subscribed to its own inbox.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// What the server said of itself.
    pub(crate) server: Value,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = BufReader::new(TcpStream::connect(address).unwrap());
        let mut client = Self { stream, server: Value::Null };
        let info = client.line();
        client.server = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
        client.send("CONNECT {\"verbose\":false}\r\nSUB inbox 1\r\n");
        client
    }

    /// Publishes `payload` and waits for the answer.
    pub(crate) fn request(&mut self, subject: &str, payload: &str) -> Value {
        self.send_request(subject, payload);
        self.answer()
    }

    pub(crate) fn send_request(&mut self, subject: &str, payload: &str) {
        self.send(&format!("PUB {subject} inbox {}\r\n{payload}\r\n", payload.len()));
    }

    /// The next message of the inbox.
    pub(crate) fn answer(&mut self) -> Value {
        loop {
            let line = self.line();
            if line == "PING" {
                self.send("PONG\r\n");
            } else if line.starts_with("MSG ") {
                let length: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
                let mut payload = vec![0; length + 2];
                self.stream.read_exact(&mut payload).unwrap();
                return serde_json::from_slice(&payload).unwrap();
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.stream.read_line(&mut line).unwrap(), 0, "the server closed the connection");
        line.trim_end().to_owned()
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }
}
