//! The heart of the crate: one growing atomic a route, held between the lease's mark and the wall clock.

use std::time::Duration;

use crate::error::IdError;
use crate::layout::{ROUTES, Route, TIME_END};
use crate::sync::{AtomicU64, Ordering};

/// How far, in ms, IDs may run ahead of the wall clock: a full sequence borrows from the next millisecond, and a
/// clock that was set back a little is waited for without refusing anyone.
pub(crate) const MAX_AHEAD_MS: i64 = 1000;

/// A route in this state mints no more. As a stamp it lies beyond any reservation, so the hot path needs no
/// check of its own.
const SEALED: u64 = u64::MAX;

/// Two cache lines, since x86 prefetches them in pairs: routes must not slow each other down.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Padded(pub(crate) AtomicU64);

/// A stamp is `time << S | sequence`; each route holds the least one it has not given out.
#[derive(Debug)]
pub(crate) struct Sequences {
    /// S of the layout.
    bits: u32,
    /// Times below this, in ms since the epoch, are on disk as possibly used.
    reserved: Padded,
    routes: [Padded; ROUTES],
}

impl Sequences {
    /// Nothing below `floor` (ms since the epoch) will be given out, and nothing at all before a reservation.
    pub(crate) fn new(bits: u32, floor: u64) -> Self {
        Self {
            bits,
            reserved: Padded(AtomicU64::new(floor)),
            routes: std::array::from_fn(|_| Padded(AtomicU64::new(floor << bits))),
        }
    }

    /// Takes the next stamp of a route at `now` (ms since the epoch). Lock-free; a refusal changes nothing.
    pub(crate) fn next(&self, route: Route, now: i64) -> Result<u64, IdError> {
        let slot = &self.routes[route.index()].0;
        let earliest = self.first_stamp(now);
        let reserved = self.reserved.0.load(Ordering::Acquire);
        // Uniqueness needs no more than the atomicity of the exchange: the stamp publishes no other memory.
        let mut held = slot.load(Ordering::Relaxed);
        loop {
            let stamp = held.max(earliest);
            self.admit(stamp, now, reserved)?;
            match slot.compare_exchange_weak(held, stamp + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(stamp),
                Err(seen) => held = seen,
            }
        }
    }

    /// What the worst route would answer at `now`.
    pub(crate) fn ready(&self, now: i64) -> Result<(), IdError> {
        let furthest = self.routes.iter().map(|slot| slot.0.load(Ordering::Relaxed)).max().unwrap_or(SEALED);
        self.admit(furthest.max(self.first_stamp(now)), now, self.reserved.0.load(Ordering::Acquire))
    }

    /// Allows times below `mark`, which must be durable already. Release keeps that order.
    pub(crate) fn reserve(&self, mark: u64) {
        self.reserved.0.store(mark, Ordering::Release);
    }

    /// Ends minting and returns the first time that was never used. A swap, not a load: a thread in the middle of
    /// [`next`](Self::next) either took its stamp before it, and is counted, or fails its exchange.
    pub(crate) fn seal(&self) -> u64 {
        let used = self.routes.iter().map(|slot| slot.0.swap(SEALED, Ordering::Relaxed)).max();
        used.unwrap_or(0).div_ceil(1 << self.bits)
    }

    /// The first stamp of the present millisecond; a clock outside the 42 bits is clamped to their ends.
    fn first_stamp(&self, now: i64) -> u64 {
        u64::try_from(now).unwrap_or(0).min(TIME_END) << self.bits
    }

    #[inline]
    fn admit(&self, stamp: u64, now: i64, reserved: u64) -> Result<(), IdError> {
        let time = stamp >> self.bits;
        if time < reserved && time.cast_signed().saturating_sub(now) <= MAX_AHEAD_MS {
            return Ok(());
        }
        Err(refusal(stamp, time, now))
    }
}

/// Tells apart why a stamp was not admitted; kept off the hot path.
#[cold]
fn refusal(stamp: u64, time: u64, now: i64) -> IdError {
    let ahead = time.cast_signed().saturating_sub(now);
    if stamp == SEALED {
        IdError::Closed
    } else if time >= TIME_END {
        IdError::TimeExhausted
    } else if ahead > MAX_AHEAD_MS {
        IdError::ClockBehind { by: Duration::from_millis((ahead - MAX_AHEAD_MS).unsigned_abs()) }
    } else {
        IdError::NotReserved
    }
}

#[cfg(test)]
#[cfg(aqueduct_loom)]
mod model;
#[cfg(test)]
#[cfg(not(aqueduct_loom))]
mod tests;
