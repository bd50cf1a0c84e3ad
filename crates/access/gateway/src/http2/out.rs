//! What is to be written: frames as they were made, small ones in one buffer, long messages as they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::frame::{DATA, END_STREAM, HEAD, Head, RESET, Reason, WINDOW_UPDATE};

/// A message that is no longer than this is copied behind the head of its frame: another slice costs a write more.
const SHORT: usize = 512;
/// Slices of one write.
const SLICES: usize = 64;

/// The frames that wait for the next write.
#[derive(Debug, Default)]
pub(super) struct Out {
    queue: VecDeque<Bytes>,
    /// What follows the queue.
    tail: BytesMut,
    length: usize,
}

impl Out {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
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

    /// Room for a head that will be known when what follows it is.
    pub(super) fn begin(&mut self) -> (usize, &mut BytesMut) {
        let at = self.tail.len();
        self.tail.extend_from_slice(&[0; HEAD]);
        (at, &mut self.tail)
    }

    /// The head at `at`, of what was written since; answers with the length.
    pub(super) fn end(&mut self, at: usize, head: Head) -> usize {
        let length = self.tail.len() - at - HEAD;
        if let Some(room) = self.tail.get_mut(at..).and_then(|room| room.first_chunk_mut::<HEAD>()) {
            *room = Head { length, ..head }.bytes();
        }
        self.length += HEAD + length;
        length
    }

    /// Takes back what was written since `at`.
    pub(super) fn take_back(&mut self, at: usize) -> BytesMut {
        let mut taken = self.tail.split_off(at);
        self.length -= taken.len();
        taken.advance(HEAD.min(taken.len()));
        taken
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
