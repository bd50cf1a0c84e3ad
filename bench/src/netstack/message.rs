//! What is sent and echoed: a length, the time when it was sent, and bytes that mean nothing.

use std::io;

use crate::clients::{Dialect, now};

/// The length (4 bytes, all of the message) and the time (8 bytes).
pub(super) const HEAD: usize = 12;

/// The length that a message's first bytes tell, once they are there.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    (rest.len() >= 8).then_some(u32::from_le_bytes(*length) as usize)
}

/// When a message was sent, on the clock that all processes share.
pub(super) fn sent_at(bytes: &[u8]) -> u64 {
    bytes.get(4..HEAD).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The client's side: messages of one size, echoed in full.
#[derive(Debug)]
pub(super) struct Echo {
    body: Vec<u8>,
}

impl Echo {
    pub(super) fn new(size: usize) -> Self {
        Self { body: vec![7; size - HEAD] }
    }
}

impl Dialect for Echo {
    /// Bytes of the answer so far.
    type State = usize;

    fn preface(&self, _: &mut Vec<u8>) {}

    fn request(&self, state: &mut usize, out: &mut Vec<u8>) {
        *state = 0;
        let length = u32::try_from(self.body.len() + HEAD).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&now().to_le_bytes());
        out.extend_from_slice(&self.body);
    }

    fn answer(&self, state: &mut usize, input: &[u8], _: &mut Vec<u8>) -> io::Result<Option<bool>> {
        *state += input.len();
        let whole = self.body.len() + HEAD;
        // The last byte tells an echo from as many bytes of something else.
        Ok((*state >= whole).then_some(*state == whole && input.last() == Some(&7)))
    }
}
