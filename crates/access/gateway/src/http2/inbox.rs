//! What has come of a body, until somebody reads it: in pieces that cost no more memory than they are worth.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::Bytes;

use super::STREAM_WINDOW;
use super::error::Error;
use super::frame::{LONGEST, Reason};
use super::reader::Reader;

/// Pieces of a body up to this length are put together behind others that nobody has read yet, so that neither many small frames
/// nor the buffers that they were read into cost more memory than a window. The first that waits, and what is longer, is not copied.
const SMALL: usize = 1 << 10;

/// Room for small pieces behind the first.
const FEW: usize = 2 << 10;

/// Small pieces are put together up to the length of a frame.
const FRAME: usize = LONGEST;

/// Up to this length a copy is cheaper than a share of the buffer.
const TINY: usize = 256;

/// Something is wrong with one stream: it is reset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault(pub(super) Reason, pub(super) &'static str);

impl Fault {
    #[cold]
    pub(super) fn malformed(what: &'static str) -> Self {
        Self(Reason::PROTOCOL_ERROR, what)
    }
}

/// The body of one stream.
#[derive(Debug)]
pub(super) struct Inbox {
    body: VecDeque<Bytes>,
    /// Small pieces behind the others.
    tail: Vec<u8>,
    /// Nothing more will come.
    pub(super) ended: Option<Result<(), Error>>,
    /// Bytes of the body that are still to come, if that was told.
    pub(super) left: Option<u64>,
    reader: Option<Waker>,
    /// What the peer may still send.
    room: u32,
    /// What has been read since it was told.
    read: u32,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            body: VecDeque::new(),
            tail: Vec::new(),
            ended: None,
            left: None,
            reader: None,
            room: STREAM_WINDOW,
            read: 0,
        }
    }
}

impl Inbox {
    /// Counts what came, if it is within the window and no more than was announced.
    pub(super) fn admit(&mut self, data: usize, padding: usize) -> Result<(), Fault> {
        let length = u32::try_from(data + padding).unwrap_or(u32::MAX);
        let Some(room) = self.room.checked_sub(length) else {
            return Err(Fault(Reason::FLOW_CONTROL_ERROR, "more data than the window has room for"));
        };
        self.room = room;
        self.read += u32::try_from(padding).unwrap_or_default();
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(data as u64) else {
                return Err(Fault::malformed("more data than was announced"));
            };
            *left = rest;
        }
        Ok(())
    }

    /// Keeps what was admitted.
    pub(super) fn keep(&mut self, length: usize, reader: &mut Reader) {
        if length == 0 {
        } else if self.copies(length) {
            self.small(reader.peek(length));
        } else {
            self.large(reader.take(length));
        }
    }

    /// Whether a piece of this length is to be copied.
    fn copies(&self, length: usize) -> bool {
        length <= TINY || length <= SMALL && !self.is_empty()
    }

    fn small(&mut self, data: &[u8]) {
        let length = self.tail.len() + data.len();
        if length > self.tail.capacity() {
            match self.tail.capacity() {
                // Exactly as much as is needed: nearly always it is the only one.
                0 => self.tail.reserve_exact(data.len()),
                _ if length > FRAME => {
                    let full = std::mem::replace(&mut self.tail, Vec::with_capacity(FRAME));
                    self.body.push_back(full.into());
                }
                // Of a stream of messages, which would be moved at each doubling.
                room if room < FEW => self.tail.reserve_exact(FEW - self.tail.len()),
                _ => self.tail.reserve_exact(FRAME - self.tail.len()),
            }
        }
        self.tail.extend_from_slice(data);
    }

    fn large(&mut self, data: Bytes) {
        if !self.tail.is_empty() {
            self.body.push_back(std::mem::take(&mut self.tail).into());
        }
        self.body.push_back(data);
    }

    /// The body is complete, if all came that was announced.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(Fault::malformed("less data than was announced"));
        }
        self.ended = Some(Ok(()));
        Ok(())
    }

    /// Nothing more will come; what has come can still be read.
    pub(super) fn fail(&mut self, error: &Error) {
        if self.ended.is_none() {
            self.ended = Some(Err(error.clone()));
        }
    }

    /// Whether there is nothing to be read now.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_empty() && self.tail.is_empty()
    }

    /// The next piece.
    pub(super) fn piece(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.body.pop_front() {
            return Some(piece);
        }
        (!self.tail.is_empty()).then(|| std::mem::take(&mut self.tail).into())
    }

    /// Throws away what nobody will read; how much that was.
    pub(super) fn clear(&mut self) -> usize {
        let length = self.body.iter().map(Bytes::len).sum::<usize>() + self.tail.len();
        (self.body, self.tail) = (VecDeque::new(), Vec::new());
        length
    }

    /// Counts what was read, and answers by how much the window opens again: only now and then, and not for what ends.
    pub(super) fn release(&mut self, length: usize) -> Option<u32> {
        self.read += u32::try_from(length).unwrap_or_default();
        if self.read < STREAM_WINDOW / 2 || self.ended.is_some() {
            return None;
        }
        self.room += self.read;
        Some(std::mem::take(&mut self.read))
    }

    /// The task is woken when there is more.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAME, Inbox};

    #[test]
    fn small_pieces_become_frames_and_stay_in_order() {
        let mut inbox = Inbox::default();
        let message = |number: u8| [number; 250];
        (0..1000_u32).for_each(|number| inbox.small(&message(number.to_le_bytes()[0])));
        let kept = inbox.tail.capacity() + inbox.body.iter().map(bytes::Bytes::len).sum::<usize>();
        assert!(kept < 250 * 1000 + FRAME, "{kept} bytes are kept");
        let mut read = Vec::new();
        let mut pieces = 0;
        while let Some(piece) = inbox.piece() {
            assert!(piece.len() <= FRAME);
            read.extend_from_slice(&piece);
            pieces += 1;
        }
        let sent = (0..1000_u32).flat_map(|number| message(number.to_le_bytes()[0]));
        assert!(read == sent.collect::<Vec<_>>());
        assert!(pieces <= 250 * 1000 / FRAME + 1, "{pieces}");
        assert!(inbox.is_empty());
    }

    #[test]
    fn the_only_piece_takes_no_more_than_it_is_long() {
        let mut inbox = Inbox::default();
        inbox.small(&[7; 100]);
        assert_eq!(inbox.tail.capacity(), 100);
    }
}
