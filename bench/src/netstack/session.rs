//! A connection of a server that is told when it can read or write: one message at a time, in a buffer that it takes while it has
//! bytes, and gives back.

use std::cell::RefCell;

use super::counters::{Count, Counters};
use super::message;
use crate::clients::now;

/// Buffers of one size, of which there are as many as messages were in flight at once.
#[derive(Debug)]
pub(super) struct Buffers {
    size: usize,
    free: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// For messages of `size` bytes, with some room behind: a read that does not fill it was the last one.
    pub(super) fn new(size: usize) -> Self {
        Self { size: size + 64, free: RefCell::default() }
    }

    fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| vec![0; self.size])
    }

    fn give(&self, buffer: Vec<u8>) {
        self.free.borrow_mut().push(buffer);
    }
}

#[derive(Debug, Default)]
pub(super) struct Session {
    buffer: Vec<u8>,
    have: usize,
    written: usize,
    /// The message is complete and is being echoed.
    answering: bool,
}

impl Session {
    /// Where to read to.
    pub(super) fn room(&mut self, buffers: &Buffers) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = buffers.take();
        }
        &mut self.buffer[self.have..]
    }

    /// Nothing could be read. A connection without bytes keeps no buffer.
    pub(super) fn nothing(&mut self, buffers: &Buffers) {
        if self.have == 0 && !self.buffer.is_empty() {
            buffers.give(std::mem::take(&mut self.buffer));
        }
    }

    /// Bytes were read. Whether the message is complete now.
    pub(super) fn received(&mut self, count: usize, counters: &Counters) -> bool {
        self.have += count;
        counters.add(Count::Reads, 1);
        if message::length(&self.buffer[..self.have]) == Some(self.have) {
            counters.message(now().saturating_sub(message::sent_at(&self.buffer)));
            self.answering = true;
        }
        self.answering
    }

    /// What is left to be written.
    pub(super) fn answer(&self) -> Option<&[u8]> {
        self.answering.then(|| &self.buffer[self.written..self.have])
    }

    /// Bytes were written. After the last the next message can come.
    pub(super) fn sent(&mut self, count: usize, buffers: &Buffers, counters: &Counters) {
        self.written += count;
        counters.add(Count::Writes, 1);
        if self.written == self.have {
            buffers.give(std::mem::take(&mut self.buffer));
            *self = Self::default();
        }
    }
}
