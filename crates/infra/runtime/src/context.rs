//! The context of one request: whose trace it belongs to and when its answer is no longer wanted. It is small and
//! `Copy`, so that carrying it costs nothing and losing it is a visible omission. A span per request in `tracing` was
//! the alternative; it costs a microsecond and 13 allocations even when nothing is sampled.

use crate::{hex, rng};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The length of a `traceparent` header of version 00, in bytes.
pub const TRACEPARENT_LEN: usize = 55;

/// Flag bit 0: the caller may have recorded this trace.
const SAMPLED: u8 = 0b01;
/// Flag bit 1 (Trace Context level 2): the trace id's last 7 bytes are random. Passed on, as the draft demands; not
/// set on roots of our own, since level 1 readers are told that it is reserved.
const RANDOM: u8 = 0b10;

/// Who is asking, and until when. Trace and span ids are never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    trace_id: u128,
    span_id: u64,
    flags: u8,
    /// When the answer is no longer wanted; `None` means never.
    pub deadline: Option<Instant>,
}

impl Context {
    /// A new trace with random ids and no deadline.
    pub fn new_root(sampled: bool) -> Self {
        let trace_id = (u128::from(non_zero()) << 64) | u128::from(rng::next());
        Self { trace_id, span_id: non_zero(), flags: u8::from(sampled), deadline: None }
    }

    /// A new span of the same trace, with the same deadline.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: non_zero(), ..*self }
    }

    /// The same context with another deadline.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// The time left until the deadline, zero when it has passed; `None` without a deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The id of the whole trace.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The id of this span: what the next hop sees as its parent.
    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// The trace flags; only the bits that are defined (sampled, random).
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the trace is recorded.
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Reads a `traceparent` header (W3C Trace Context, section 3.2). The result names the *caller's* span and has no
    /// deadline; take a [`child`](Self::child) of it for one's own.
    ///
    /// # Errors
    /// When the value is malformed, has an id of zero, or the forbidden version `ff`. The specification then demands
    /// a new trace. An unknown version is read as far as version 00 defines it.
    pub fn parse_traceparent(value: &[u8]) -> Result<Self, TraceparentError> {
        let Some((head, tail)) = value.split_first_chunk::<TRACEPARENT_LEN>() else {
            return Err(TraceparentError);
        };
        // Two and two digits share a word, so that the hexadecimal code below sees groups of eight only.
        let ends = hex::decode([head[0], head[1], head[53], head[54], b'0', b'0', b'0', b'0']);
        let [version, flags, ..] = ends.ok_or(TraceparentError)?.to_be_bytes();
        let well_formed = match version {
            0x00 => tail.is_empty(),
            0xff => false,
            _ => tail.first().is_none_or(|byte| *byte == b'-'),
        };
        let dashes = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
        let trace_id = (u128::from(word(head, 3)?) << 64) | u128::from(word(head, 19)?);
        let span_id = word(head, 36)?;
        if !well_formed || !dashes || trace_id == 0 || span_id == 0 {
            return Err(TraceparentError);
        }
        Ok(Self { trace_id, span_id, flags: flags & (SAMPLED | RANDOM), deadline: None })
    }

    /// The `traceparent` header that names this span as the parent, always of version 00.
    pub fn traceparent(&self) -> [u8; TRACEPARENT_LEN] {
        let mut out = *b"00-................................-................-0f";
        out[3..35].copy_from_slice(&self.trace_id_hex());
        out[36..52].copy_from_slice(&self.span_id_hex());
        out[54] = b'0' + self.flags;
        out[53] = b'0';
        out
    }

    /// The trace id as logs show it: 32 lower-case hexadecimal digits.
    pub fn trace_id_hex(&self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, bytes) in out.as_chunks_mut().0.iter_mut().zip(self.trace_id.to_be_bytes().as_chunks().0)
        {
            *chunk = hex::encode(u32::from_be_bytes(*bytes));
        }
        out
    }

    /// The span id as logs show it: 16 lower-case hexadecimal digits.
    pub fn span_id_hex(&self) -> [u8; 16] {
        let mut out = [0; 16];
        for (chunk, bytes) in out.as_chunks_mut().0.iter_mut().zip(self.span_id.to_be_bytes().as_chunks().0) {
            *chunk = hex::encode(u32::from_be_bytes(*bytes));
        }
        out
    }
}

/// The header is not a `traceparent`. The client's fault; the answer is a new trace, not a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceparentError;

impl fmt::Display for TraceparentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a traceparent header (W3C Trace Context)")
    }
}

impl std::error::Error for TraceparentError {}

/// The 16 digits at `at`.
fn word(head: &[u8; TRACEPARENT_LEN], at: usize) -> Result<u64, TraceparentError> {
    let digits = |at: usize| head[at..].first_chunk().and_then(|text| hex::decode(*text));
    match (digits(at), digits(at + 8)) {
        (Some(high), Some(low)) => Ok((u64::from(high) << 32) | u64::from(low)),
        _ => Err(TraceparentError),
    }
}

/// A random id. Zero means "invalid" in the specification.
fn non_zero() -> u64 {
    loop {
        let id = rng::next();
        if id != 0 {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
