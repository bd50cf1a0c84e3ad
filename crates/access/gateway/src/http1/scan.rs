//! Where a head ends: found line by line, as the lines come, so that a slow head costs no more than a fast one.

use bytes::{Buf, BytesMut};

use super::head::{Head, Refused, bad, parse, too_large, too_many, unknown, uri_too_long};
use super::syntax::is_token;
use crate::reject::Reject;

/// Bounds on a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// How far the head at the beginning of a buffer has been looked through.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    seen: usize,
    /// Where the line begins in which `seen` is.
    line: usize,
    lines: usize,
    skipped: bool,
}

impl Scan {
    /// Takes a complete head off the buffer.
    pub(crate) fn head(
        &mut self,
        buffer: &mut BytesMut,
        bounds: Bounds,
    ) -> Result<Option<Box<Head>>, Box<Refused>> {
        let refused = |reject| Box::new(Refused { request: unknown(), reject });
        let Some(length) = self.length(buffer, bounds).map_err(refused)? else { return Ok(None) };
        *self = Scan::default();
        parse(&buffer.split_to(length).freeze(), bounds).map(Some)
    }

    /// The head's length, once it has ended.
    fn length(&mut self, buffer: &mut BytesMut, bounds: Bounds) -> Result<Option<usize>, Reject> {
        // RFC 9112, section 2.2: clients used to send an empty line behind a body.
        if !self.skipped && buffer.starts_with(b"\r\n") {
            self.skipped = true;
            buffer.advance(2);
        }
        match buffer.first() {
            None => return Ok(None),
            Some(b'\r') if !self.skipped && buffer.len() == 1 => return Ok(None),
            Some(byte) if is_token(*byte) => {}
            Some(_) => return Err(bad("request_line", "the request does not begin with a method")),
        }
        while let Some(found) = buffer.get(self.seen..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let end = self.seen + found;
            if end == 0 || buffer.get(end - 1) != Some(&b'\r') {
                return Err(bad("line_end", "a line of the head ends with a bare line feed"));
            }
            let empty = end == self.line + 1;
            (self.seen, self.line, self.lines) = (end + 1, end + 1, self.lines + 1);
            if empty {
                return if self.seen > bounds.bytes {
                    Err(self.too_large(bounds))
                } else {
                    Ok(Some(self.seen))
                };
            }
            if self.lines > bounds.fields + 1 {
                return Err(too_many(bounds.fields));
            }
        }
        self.seen = buffer.len();
        if self.seen > bounds.bytes { Err(self.too_large(bounds)) } else { Ok(None) }
    }

    #[cold]
    fn too_large(&self, bounds: Bounds) -> Reject {
        let Bounds { bytes, .. } = bounds;
        if self.lines == 0 {
            uri_too_long(bytes)
        } else {
            let message = format!("the request head is longer than {bytes} bytes");
            too_large("head_too_large", message)
        }
    }
}
