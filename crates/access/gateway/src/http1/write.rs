//! Answers as bytes (RFC 9112, sections 4 to 7): head and small pieces gathered in one buffer, long pieces where they are, both
//! in one write.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use aqueduct_runtime::pool::{Buffer, Pool};
use bytes::{Buf, Bytes};
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderValue, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::socket::Socket;
use crate::date;

/// Longer pieces are not copied into the buffer: each is written from where it is.
const SHORT: usize = 2 << 10;
/// A buffer that is fuller than this is written before more is put into it.
const FULL: usize = 16 << 10;
/// A larger buffer is not kept for another answer, and no more of them.
const KEPT: usize = 64 << 10;
const SPARES: usize = 16;

thread_local! {
    /// The buffers of whichever connections of this thread answer next: they have grown to the size of an answer already.
    static SPARE: Pool = const { Pool::new(SPARES, KEPT) };
}

/// How the end of an answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is no content: HEAD, 204 and 304.
    Empty,
    Length(usize),
    Chunked,
    /// By the end of the connection: HTTP/1.0.
    Close,
}

/// What has yet to be written: a buffer, then a long piece, then what ends it.
#[derive(Debug)]
pub(super) struct Out {
    buffer: Buffer,
    written: usize,
    long: Bytes,
    behind: &'static [u8],
}

impl Out {
    /// Nothing, with room for an answer.
    pub(super) fn new() -> Self {
        Self { buffer: Pool::take(&SPARE), written: 0, long: Bytes::new(), behind: b"" }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// A piece of a body of this kind. Only when [`has_room`](Self::has_room).
    pub(super) fn push_data(&mut self, data: Bytes, ending: Ending) {
        if data.is_empty() || ending == Ending::Empty {
            return;
        }
        if self.buffer.capacity() == 0 {
            self.buffer = Pool::take(&SPARE);
        }
        let behind: &'static [u8] = if ending == Ending::Chunked { b"\r\n" } else { b"" };
        if ending == Ending::Chunked {
            push_hex(&mut self.buffer, data.len());
            self.push(b"\r\n");
        }
        if data.len() > SHORT {
            (self.long, self.behind) = (data, behind);
        } else {
            self.push(&data);
            self.push(behind);
        }
    }

    /// Nothing has to be written for a while: what waits for its next piece needs no buffer.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            self.buffer.release();
            self.written = 0;
        }
    }

    /// Whether more can be put in before something is written.
    pub(super) fn has_room(&self) -> bool {
        self.long.is_empty() && self.behind.is_empty() && self.buffer.len() - self.written < FULL
    }

    fn is_empty(&self) -> bool {
        self.written == self.buffer.len() && self.long.is_empty() && self.behind.is_empty()
    }

    /// Writes everything. `stalled` is told of each time that the client takes nothing, and of each time that it does.
    pub(super) fn poll_flush<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &Socket<I>,
        stalled: impl Fn(bool),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let buffered = self.buffer.get(self.written..).unwrap_or_default();
            let wrote = if self.long.is_empty() && self.behind.is_empty() {
                // Nearly always: and `send` costs the kernel less than `writev`.
                socket.poll_write(buffered, cx)
            } else {
                let pieces = [IoSlice::new(buffered), IoSlice::new(&self.long), IoSlice::new(self.behind)];
                // A stream that takes one piece at a time must not be given an empty one first.
                let empty = pieces.iter().take_while(|piece| piece.is_empty()).count();
                socket.poll_write_vectored(pieces.get(empty..).unwrap_or_default(), cx)
            };
            match wrote {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    stalled(false);
                    self.advance(count);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    stalled(true);
                    return Poll::Pending;
                }
            }
        }
        self.buffer.clear();
        self.written = 0;
        let flushed = ready!(socket.poll_flush(cx));
        stalled(false);
        Poll::Ready(flushed)
    }

    fn advance(&mut self, count: usize) {
        let buffered = count.min(self.buffer.len() - self.written);
        self.written += buffered;
        let long = (count - buffered).min(self.long.len());
        self.long.advance(long);
        self.behind = self.behind.get(count - buffered - long..).unwrap_or_default();
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // Whatever was not written will not be.
        (self.written, self.long, self.behind) = (0, Bytes::new(), b"");
        self.buffer.clear();
        self.release();
    }
}

/// Writes the head of an answer. `connection` is what is said of it, if anything.
pub(super) fn head<B>(
    out: &mut Out,
    response: &Response<B>,
    ending: Ending,
    connection: Option<&'static [u8]>,
) {
    let buffer: &mut Vec<u8> = &mut out.buffer;
    push_status(buffer, response.status());
    let mut dated = false;
    for (name, value) in response.headers() {
        let ours = *name == CONNECTION || *name == TRANSFER_ENCODING || *name == UPGRADE;
        // Of an answer without content it says what the content would be.
        if ours || name.as_str() == "keep-alive" || (*name == CONTENT_LENGTH && ending != Ending::Empty) {
            continue;
        }
        dated |= *name == DATE;
        push_field(buffer, name.as_str().as_bytes(), value.as_bytes());
    }
    match ending {
        Ending::Length(length) => {
            buffer.extend_from_slice(b"content-length: ");
            buffer.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            buffer.extend_from_slice(b"\r\n");
        }
        Ending::Chunked => buffer.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Ending::Empty | Ending::Close => {}
    }
    if let Some(connection) = connection {
        push_field(buffer, b"connection", connection);
    }
    if !dated {
        date::now(|date| push_field(buffer, b"date", date));
    }
    buffer.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body, with those of the trailers that the head has announced.
pub(super) fn last_chunk(out: &mut Out, trailers: Option<&HeaderMap>, announced: Option<&HeaderValue>) {
    out.push(b"0\r\n");
    if let (Some(trailers), Some(announced)) = (trailers, announced) {
        let is_announced = |name: &str| {
            let mut names = announced.as_bytes().split(|byte| *byte == b',');
            names.any(|one| one.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        };
        for (name, value) in trailers.iter().filter(|(name, _)| is_announced(name.as_str())) {
            push_field(&mut out.buffer, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.push(b"\r\n");
}

/// What the head says will come behind the body.
pub(super) fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(TRAILER).cloned()
}

fn push_status(buffer: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        return buffer.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    buffer.extend_from_slice(b"HTTP/1.1 ");
    buffer.extend_from_slice(status.as_str().as_bytes());
    buffer.push(b' ');
    buffer.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    buffer.extend_from_slice(b"\r\n");
}

fn push_field(buffer: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    buffer.extend_from_slice(name);
    buffer.extend_from_slice(b": ");
    buffer.extend_from_slice(value);
    buffer.extend_from_slice(b"\r\n");
}

fn push_hex(buffer: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = u32::try_from(number >> (4 * place) & 0xf).unwrap_or_default();
        buffer.extend(char::from_digit(digit, 16).map(|digit| digit as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_hexadecimal() {
        for number in [0, 1, 9, 15, 16, 255, 256, 0xdead_beef, usize::MAX] {
            let mut out = Vec::new();
            push_hex(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number:x}"));
        }
    }

    #[test]
    fn a_write_may_stop_anywhere() {
        let mut out = Out::new();
        out.push(b"ab");
        out.push_data(Bytes::from(vec![b'x'; SHORT + 1]), Ending::Chunked);
        assert!(!out.has_room());
        let whole = [&out.buffer[..], &out.long, out.behind].concat();
        assert_eq!(&whole[..7], b"ab801\r\n");
        let mut left = whole.len();
        for count in [1, 5, 2, 2000].into_iter().chain(std::iter::repeat(1)) {
            out.advance(count);
            left -= count;
            let rest = [&out.buffer[out.written..], &out.long, out.behind].concat();
            assert_eq!(rest, whole[whole.len() - left..]);
            if left == 0 {
                break;
            }
        }
        assert!(out.is_empty() && out.has_room());
    }
}
