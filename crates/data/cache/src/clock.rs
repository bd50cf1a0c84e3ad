//! The monotonic clock, and how a hit gets by without reading it.
//!
//! A reading takes some 30 ns, half of what a hit may cost. So each thread remembers its last one, together with the processor's cycle
//! counter, which costs much less to read. For a millisecond the clock is then known to lie between that reading and [`LAG`] after it,
//! which is all that a hit needs unless its deadline is as near as that. See ADR 20.

use std::{cell::Cell, sync::OnceLock, time::Duration};
use tokio::time::Instant;

/// Nanoseconds since a clock was made: 8 bytes an entry and deadline where an `Instant` takes 16.
pub(crate) type Nanos = u64;

pub(crate) fn nanos(duration: Duration) -> Nanos {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

/// How long a reading is remembered: 1 ms at a GHz.
const CYCLES: u64 = 1_000_000;

/// More than [`CYCLES`] take: no processor's counter is slower than 500 MHz.
const LAG: Nanos = 2_000_000;

/// The monotonic clock, counted from when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    born: Instant,
    /// Whether readings may be remembered.
    remembers: bool,
}

impl Clock {
    /// A clock that remembers its readings where the processor can tell how old they are. Not where assertions are on: tests there may
    /// stop tokio's clock and put it forward (`tokio::time::pause`), of which the processor knows nothing.
    pub(crate) fn new() -> Self {
        Self { born: Instant::now(), remembers: !cfg!(debug_assertions) && counts_time() }
    }

    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        self.nanos_at(Instant::now())
    }

    /// As good as [`Clock::now`] to tell whether `deadline` lies ahead: before it if the clock is, the clock's reading if not. It can be
    /// up to [`LAG`] behind the clock.
    #[inline]
    pub(crate) fn before(&self, deadline: Nanos) -> Nanos {
        if self.remembers
            && let Some(recent) = recent()
        {
            let recent = self.nanos_at(recent);
            if recent.saturating_add(LAG) < deadline {
                return recent;
            }
        }
        self.now()
    }

    /// An instant on this clock; 0 if it lies before its birth.
    #[inline]
    pub(crate) fn nanos_at(&self, at: Instant) -> Nanos {
        nanos(at.saturating_duration_since(self.born))
    }

    /// What [`Clock::nanos_at`] counts from.
    pub(crate) fn instant(&self, nanos: Nanos) -> Instant {
        self.born + Duration::from_nanos(nanos)
    }
}

/// A reading of this thread's that is less than [`CYCLES`] old; a new one, unless the clock stands still (a test has stopped it).
#[inline]
fn recent() -> Option<Instant> {
    thread_local!(static LAST: Cell<Option<(u64, Instant)>> = const { Cell::new(None) });
    let cycles = cycles();
    if let Some((then, at)) = LAST.get()
        && cycles.wrapping_sub(then) < CYCLES
    {
        return Some(at);
    }
    let at = Instant::now();
    let stands = Instant::now() == at;
    LAST.set((!stands).then_some((cycles, at)));
    (!stands).then_some(at)
}

/// The cycles that the processor has counted. They are read before the clock is, or a moment later: `LAG` allows for that.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the standard library has no safe way to read the counter")]
#[inline]
fn cycles() -> u64 {
    // SAFETY: the instruction is in every x86-64, and touches no memory. A system that forbids it to programs has no clock by this
    // counter, so that `counts_time` is false and this is not called.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn cycles() -> u64 {
    0
}

/// Whether the cycle counter runs evenly, in sleep too, and alike on all cores. The kernel has tried it, and uses it for its own clock if so.
fn counts_time() -> bool {
    static COUNTS: OnceLock<bool> = OnceLock::new();
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let tried = || std::fs::read_to_string(SOURCE).is_ok_and(|source| source.trim() == "tsc");
    cfg!(all(target_os = "linux", target_arch = "x86_64")) && *COUNTS.get_or_init(tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn remembering() -> Clock {
        Clock { remembers: true, ..Clock::new() }
    }

    /// With a `LAG` of nothing, or readings that are remembered for longer, this sees deadlines that have passed taken for ones ahead.
    #[test]
    fn a_deadline_that_has_passed_never_lies_ahead() {
        if !counts_time() {
            return;
        }
        let clock = remembering();
        for _ in 0..20 {
            let deadline = clock.now() + LAG + LAG / 2;
            loop {
                let now = clock.now();
                let ahead = clock.before(deadline) < deadline;
                assert!(!ahead || now < deadline, "{} ns after it", now - deadline);
                if now >= deadline {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_reading_is_remembered_for_a_moment_and_not_for_long() {
        if !counts_time() {
            return;
        }
        let clock = remembering();
        let readings: Vec<_> = (0..1000).map(|_| clock.before(Nanos::MAX)).collect();
        let new = readings.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(new < 500, "{new} of 1000 readings are new");
        let first = clock.before(Nanos::MAX);
        while clock.now() < first + LAG {}
        assert!(clock.before(Nanos::MAX) > first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_clock_that_is_put_forward_is_seen() {
        let clock = remembering();
        let deadline = nanos(HOUR);
        assert!(clock.before(deadline) < deadline);
        tokio::time::advance(HOUR).await;
        assert_eq!(clock.before(deadline), deadline);
    }
}
