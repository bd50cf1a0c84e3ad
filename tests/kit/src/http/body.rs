//! The framing of an answer's body (RFC 9112, sections 6 and 7): by length, chunked, or until the connection closes.

use std::io::{self, BufRead, ErrorKind, Read};

use super::response::{Head, invalid, read_line};

/// Reads one body off a connection.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes are left of the present chunk; then comes another.
    Chunked(u64),
    /// Everything until the server closes.
    UntilClose,
    /// Nothing is left.
    Done,
}

impl Body {
    /// The body that follows `head`. `without` says that the request was a HEAD.
    pub(super) fn after(head: &Head, without: bool) -> io::Result<Self> {
        if without || matches!(head.status, 204 | 304) {
            return Ok(Self::Done);
        }
        if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Ok(Self::Chunked(0));
        }
        match head.header("content-length") {
            Some(text) => Ok(Self::Length(text.parse().map_err(|_| invalid("content-length is no number"))?)),
            None => Ok(Self::UntilClose),
        }
    }

    pub(super) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Appends what has arrived, waiting for at least one byte. 0 at the body's end.
    pub(super) fn read_some(&mut self, reader: &mut impl BufRead, out: &mut Vec<u8>) -> io::Result<usize> {
        if let Self::Chunked(0) = self {
            self.next_chunk(reader)?;
        }
        let left = match self {
            Self::Length(0) | Self::Done => return Ok(0),
            Self::Length(left) | Self::Chunked(left) => left,
            Self::UntilClose => return take(reader, u64::MAX, out),
        };
        let got = take(reader, *left, out)?;
        if got == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        *left -= got as u64;
        if let Self::Chunked(0) = self {
            end_of_line(reader)?;
        }
        Ok(got)
    }

    pub(super) fn read_to_end(&mut self, reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while self.read_some(reader, &mut bytes)? > 0 {}
        Ok(bytes)
    }

    fn next_chunk(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        let line = read_line(reader)?;
        let size = line.split(';').next().unwrap_or_default();
        let size =
            u64::from_str_radix(size, 16).map_err(|_| invalid(format!("not a chunk size: {line:?}")))?;
        *self = if size > 0 {
            Self::Chunked(size)
        } else {
            // Trailer lines, which no test needs, and the empty line that ends them.
            while !read_line(reader)?.is_empty() {}
            Self::Done
        };
        Ok(())
    }
}

/// Moves what is buffered, `most` bytes at most, to `out`.
fn take(reader: &mut impl BufRead, most: u64, out: &mut Vec<u8>) -> io::Result<usize> {
    let available = reader.fill_buf()?;
    let count = available.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    out.extend_from_slice(&available[..count]);
    reader.consume(count);
    Ok(count)
}

fn end_of_line(reader: &mut impl Read) -> io::Result<()> {
    let mut line_end = [0; 2];
    reader.read_exact(&mut line_end)?;
    if line_end == *b"\r\n" { Ok(()) } else { Err(invalid("a chunk is longer than its size")) }
}
