//! A blocking HTTP/1.1 client that sends exactly the bytes it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    trailers: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // Only so that a broken gateway fails the test instead of hanging it.
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader, trailers: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Like `send`, when the gateway may have hung up already.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub(crate) fn get(&mut self, path: &str, headers: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n").as_bytes());
        self.answer().unwrap()
    }

    pub(crate) fn post(&mut self, path: &str, headers: &str, body: &str) -> Answer {
        self.request("POST", path, headers, body)
    }

    /// A request of any method.
    pub(crate) fn request(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n{headers}\r\n");
        self.send(format!("{head}{body}").as_bytes());
        self.answer().unwrap()
    }

    /// The head of a request whose body comes in chunks.
    pub(crate) fn begin(&mut self, path: &str, headers: &str) {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n{headers}\r\n");
        self.send(head.as_bytes());
    }

    /// One chunk of it; an empty one is the last.
    pub(crate) fn send_chunk(&mut self, chunk: &str) {
        self.send(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes());
    }

    /// How many bytes go out until nobody takes any more.
    pub(crate) fn send_until_full(&mut self, piece: &[u8], most: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        while sent < most && self.stream.write_all(piece).is_ok() {
            sent += piece.len();
        }
        sent
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    /// The head of the next answer; `None` when the connection is closed instead.
    pub(crate) fn head(&mut self) -> Option<Answer> {
        let status = self.line()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None => return Some(Answer { status, headers, body: String::new() }),
            }
        }
    }

    /// The next answer with its whole body.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head()?;
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.push_str(&chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            let mut body = vec![0; length.parse().ok()?];
            self.reader.read_exact(&mut body).ok()?;
            answer.body = String::from_utf8(body).ok()?;
        }
        Some(answer)
    }

    /// The next answer, its body as it came.
    pub(crate) fn raw_answer(&mut self) -> (Answer, Vec<u8>) {
        let answer = self.head().unwrap();
        let mut body = Vec::new();
        if let Some(length) = answer.header("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.reader.read_exact(&mut body).unwrap();
        } else {
            body.extend(std::iter::from_fn(|| self.raw_chunk()).flatten());
        }
        (answer, body)
    }

    /// The next chunk of a chunked body; `None` after the last.
    pub(crate) fn chunk(&mut self) -> Option<String> {
        self.raw_chunk().map(|chunk| String::from_utf8_lossy(&chunk).into_owned())
    }

    /// The same, whatever its bytes are.
    pub(crate) fn raw_chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).ok()?;
        if size == 0 {
            let lines = std::iter::from_fn(|| self.line().filter(|line| !line.is_empty()));
            let fields =
                lines.map(|line| line.split_once(": ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap());
            self.trailers = fields.collect();
            return None;
        }
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        Some(chunk)
    }

    /// The trailers of the last chunked body.
    pub(crate) fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }

    /// All that comes until the gateway closes the connection.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        self.stream.shutdown(how).unwrap();
    }

    /// Whether the gateway closes the connection without another answer.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.reader.read(&mut byte), Ok(0) | Err(_))
    }
}
