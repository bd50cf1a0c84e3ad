//! What is to be written: frames as they were made, small ones in one buffer, long messages as they are.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head, LONGEST, RESET, Reason,
    WINDOW_UPDATE,
};

/// A message that is no longer than this is copied behind the head of its frame: another slice costs a write more.
const SHORT: usize = 512;
/// Slices of one write.
const SLICES: usize = 64;

/// A larger buffer is not kept for the next writer.
const KEPT: usize = 64 << 10;

thread_local! {
    /// The buffer of whichever connection of this thread writes next.
    static SPARE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// The frames that wait for the next write.
#[derive(Debug, Default)]
pub(super) struct Out {
    queue: VecDeque<Bytes>,
    /// What follows the queue.
    tail: BytesMut,
    length: usize,
}

impl Out {
    /// A buffer that is empty belongs to whoever of this thread writes next; one that has become large to nobody.
    pub(super) fn release(&mut self) {
        if self.length == 0 && self.tail.capacity() > 0 {
            let tail = std::mem::take(&mut self.tail);
            if tail.capacity() <= KEPT {
                SPARE.set(tail);
            }
        }
    }

    fn tail(&mut self) -> &mut BytesMut {
        if self.tail.capacity() == 0 {
            self.tail = SPARE.take();
        }
        &mut self.tail
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.tail().extend_from_slice(bytes);
        self.length += bytes.len();
    }

    pub(super) fn frame(&mut self, head: Head, payload: &[u8]) {
        self.bytes(&Head { length: payload.len(), ..head }.bytes());
        self.bytes(payload);
    }

    pub(super) fn data(&mut self, stream: u32, data: Bytes, end: bool) {
        let flags = if end { END_STREAM } else { 0 };
        self.bytes(&Head::new(data.len(), DATA, flags, stream).bytes());
        if data.len() <= SHORT {
            return self.bytes(&data);
        }
        self.length += data.len();
        self.queue.push_back(self.tail.split().freeze());
        self.queue.push_back(data);
    }

    pub(super) fn reset(&mut self, stream: u32, reason: Reason) {
        self.frame(Head::new(0, RESET, 0, stream), &reason.0.to_be_bytes());
    }

    pub(super) fn window(&mut self, stream: u32, by: u32) {
        self.frame(Head::new(0, WINDOW_UPDATE, 0, stream), &by.to_be_bytes());
    }

    pub(super) fn go_away(&mut self, last: u32, reason: Reason) {
        let payload = u64::from(last) << 32 | u64::from(reason.0);
        self.frame(Head::new(0, GOAWAY, 0, 0), &payload.to_be_bytes());
    }

    /// A header block, which `write` appends, in as many frames as it needs.
    pub(super) fn headers(&mut self, stream: u32, end: bool, write: impl FnOnce(&mut BytesMut)) {
        let end = if end { END_STREAM } else { 0 };
        let at = self.tail().len();
        self.tail.extend_from_slice(&[0; HEAD]);
        write(&mut self.tail);
        let length = self.tail.len() - at - HEAD;
        if length <= LONGEST {
            let head = Head::new(length, HEADERS, END_HEADERS | end, stream);
            if let Some(room) = self.tail.get_mut(at..).and_then(|room| room.first_chunk_mut::<HEAD>()) {
                *room = head.bytes();
            }
            self.length += HEAD + length;
            return;
        }
        let block = self.tail.split_off(at).split_off(HEAD);
        let last = block.len().div_ceil(LONGEST) - 1;
        for (number, piece) in block.chunks(LONGEST).enumerate() {
            let (kind, end) = if number == 0 { (HEADERS, end) } else { (CONTINUATION, 0) };
            let flags = end | if number == last { END_HEADERS } else { 0 };
            self.frame(Head::new(0, kind, flags, stream), piece);
        }
    }

    /// Writes all of it. Ready when nothing is left.
    pub(super) fn poll_write<I: AsyncWrite + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.length > 0 {
            let written = if self.queue.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, &self.tail))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let pieces = self.queue.iter().map(|piece| &**piece).chain([&*self.tail]);
                let mut count = 0;
                for (slice, piece) in slices.iter_mut().zip(pieces) {
                    *slice = IoSlice::new(piece);
                    count += 1;
                }
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, slices.get(..count).unwrap_or_default()))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(written);
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(first) = self.queue.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            self.queue.pop_front();
        }
        if count == self.tail.len() { self.tail.clear() } else { self.tail.advance(count) }
    }
}
