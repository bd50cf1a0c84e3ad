//! An HTTP/2 client that sends exactly the frames it is told to, over TCP or TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// What the client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The status, if it is the head of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        status_of(&self.payload)
    }

    /// A number of 32 bits in the payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals without indexing or Huffman coding.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            // RFC 7541, section 5.1: a number with a prefix of 7 bits.
            let mut length = text.len();
            if length < 127 {
                out.push(u8::try_from(length).unwrap());
            } else {
                out.push(127);
                length -= 127;
                while length >= 128 {
                    out.push(u8::try_from(length % 128).unwrap() | 128);
                    length /= 128;
                }
                out.push(u8::try_from(length).unwrap());
            }
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// The fields of a request.
pub(crate) fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
}

/// `GET /v1/say/x`, whole.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&request("GET", "/v1/say/x")))
}

/// A connection's other side.
pub(crate) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

pub(crate) struct Raw {
    stream: Box<dyn Stream>,
}

impl Raw {
    /// Connects, and says nothing.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // Only so that a broken gateway fails the test instead of hanging it.
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self::over(stream)
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream) }
    }

    /// Connects, and sends the preface with empty settings.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let mut raw = Self::silent(address);
        raw.begin();
        raw
    }

    pub(crate) fn begin(&mut self) {
        assert!(self.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()));
    }

    /// Whether the bytes could be sent.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// The next frame; `None` when the connection is closed. Silence is a failure.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.read(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.read(&mut payload)?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    fn read(&mut self, room: &mut [u8]) -> Option<()> {
        let read = self.stream.read_exact(room);
        let kind = read.as_ref().err().map(std::io::Error::kind);
        assert!(!matches!(kind, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "nothing comes any more");
        read.ok()
    }

    /// The next frame that is of this kind and not an acknowledgement of settings; `None` when there is none.
    pub(crate) fn find(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.next())
            .find(|frame| frame.kind == kind && !(kind == SETTINGS && frame.flags & ACK != 0))
    }

    /// Whether a frame of this kind comes.
    pub(crate) fn find_any(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> bool {
        std::iter::from_fn(|| self.next()).any(|frame| wanted(&frame))
    }

    /// Reads whatever comes, frames or not, to the end of the connection.
    pub(crate) fn end_of_connection(&mut self) -> bool {
        let mut room = [0; 4096];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }

    /// Reads to the end: the reason of the last GOAWAY, if there was one.
    pub(crate) fn end(&mut self) -> Option<u32> {
        let frames = std::iter::from_fn(|| self.next());
        frames.filter(|frame| frame.kind == GOAWAY).map(|frame| frame.number(4)).last()
    }

    /// The status of the answer on a stream.
    pub(crate) fn status(&mut self, stream: u32) -> Option<u16> {
        loop {
            let frame = self.next()?;
            if frame.kind == HEADERS && frame.stream == stream {
                return frame.status();
            }
        }
    }
}

/// What a header block that begins with `:status` says.
fn status_of(block: &[u8]) -> Option<u16> {
    // RFC 7541, appendix A: the statuses that have an entry of their own.
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        // A change of the table's size may come first.
        [size, rest @ ..] if size >> 5 == 1 => status_of(rest),
        [indexed @ 0x88..=0x8e, ..] => KNOWN.get(usize::from(indexed - 0x88)).copied(),
        // A literal whose name is one of those entries: three digits, perhaps in Huffman's code.
        [_, 3, digits @ ..] => std::str::from_utf8(digits.get(..3)?).ok()?.parse().ok(),
        [_, length, digits @ ..] if length & 0x80 != 0 => {
            huffman_digits(digits.get(..usize::from(length & 0x7f))?)
        }
        _ => None,
    }
}

/// RFC 7541, appendix B: 0, 1 and 2 have 5 bits, 3 to 9 have 6.
fn huffman_digits(bytes: &[u8]) -> Option<u16> {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let take = |at: usize, count: usize| {
        bits.get(at..at + count).map(|bits| bits.iter().fold(0u16, |all, bit| all << 1 | u16::from(*bit)))
    };
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let short = take(at, 5)?;
        let digit = if short <= 2 {
            at += 5;
            short
        } else {
            at += 6;
            take(at - 6, 6)? - 0x19 + 3
        };
        status = status * 10 + digit;
    }
    Some(status)
}
