//! The head of an answer, and an answer read to its end.

use std::io::{self, BufRead, ErrorKind};

use serde_json::Value;

/// The status line and the header lines.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Header lines in order, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status and headers.
    pub head: Head,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

impl Head {
    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// Whether the connection may carry another request.
    pub fn keeps_alive(&self) -> bool {
        !self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Reads a head, and passes over informational ones (100 Continue).
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        loop {
            let head = Self::read_one(reader)?;
            if !(100..200).contains(&head.status) {
                return Ok(head);
            }
        }
    }

    fn read_one(reader: &mut impl BufRead) -> io::Result<Self> {
        let status_line = read_line(reader)?;
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| invalid(format!("not a status line: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(reader)?;
            if line.is_empty() {
                return Ok(Self { status, headers });
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| invalid(format!("not a header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not JSON; the message shows what it is instead.
    #[expect(clippy::panic, reason = "a test cannot go on without the answer")]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("status {}, not JSON ({error}): {}", self.status(), self.text()),
        }
    }
}

/// One line without CR LF.
pub(super) fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let Some(content) = line.strip_suffix(b"\r\n") else {
        return Err(if line.is_empty() {
            ErrorKind::UnexpectedEof.into()
        } else {
            invalid("a line without CR LF")
        });
    };
    String::from_utf8(content.to_vec()).map_err(|error| invalid(error.to_string()))
}

pub(super) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.into())
}
