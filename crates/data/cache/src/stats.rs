//! Counters, cheap enough for the hit path, and the snapshot an owner exports as metrics.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// A snapshot. Each `get` counts in exactly one of `hits`, `negative_hits`, `stale` and `misses`; the other counters
/// only grow too, `entries` and `bytes` are as of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reads answered with a fresh row.
    pub hits: u64,
    /// Reads answered with a fresh "there is no such row".
    pub negative_hits: u64,
    /// Reads answered at once with a stale row.
    pub stale: u64,
    /// Reads that needed a load, their own or one they joined.
    pub misses: u64,
    /// Loads begun, refreshes included.
    pub loads: u64,
    /// Loads that brought no usable row: failed, timed out, panicked, dropped, or behind.
    pub load_errors: u64,
    /// Loads begun to refresh a stale entry.
    pub refreshes: u64,
    /// Loads whose result was not kept: a fence or a flush came in between, or the version was behind.
    pub refused_fills: u64,
    /// Loads whose result was answered but not kept: a lower level's stale answer, or a change that may concern it has no floor.
    pub unkept_fills: u64,
    /// Loads whose result was answered but not kept, because more keys are read in turn than fit, and keeping the ones that are there
    /// hits more often.
    pub turned_away: u64,
    /// Fences, those of keys that were not cached included.
    pub fences: u64,
    /// Entries that had to make room, or were too large to be kept.
    pub evictions: u64,
    /// Entries held.
    pub entries: u64,
    /// Bytes charged for them; never above the capacity.
    pub bytes: u64,
}

/// The classes every read falls into, counted on the hit path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Read {
    Hit,
    Negative,
    Stale,
    Miss,
}

const LANES: usize = 16;

/// One cache line's worth (two, for the adjacent-line prefetcher) of counters for the threads assigned to it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane([AtomicU64; 4]);

/// All counters. Reads are striped by thread; the rest happens beside a load or a write and is not.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    lanes: [Lane; LANES],
    pub(crate) loads: AtomicU64,
    pub(crate) load_errors: AtomicU64,
    pub(crate) refreshes: AtomicU64,
    pub(crate) refused_fills: AtomicU64,
    pub(crate) unkept_fills: AtomicU64,
    pub(crate) fences: AtomicU64,
}

impl Counters {
    #[inline]
    pub(crate) fn read(&self, read: Read) {
        self.lanes[lane()].0[read as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let sum = |read: Read| self.lanes.iter().map(|lane| lane.0[read as usize].load(Relaxed)).sum();
        Stats {
            hits: sum(Read::Hit),
            negative_hits: sum(Read::Negative),
            stale: sum(Read::Stale),
            misses: sum(Read::Miss),
            loads: self.loads.load(Relaxed),
            load_errors: self.load_errors.load(Relaxed),
            refreshes: self.refreshes.load(Relaxed),
            refused_fills: self.refused_fills.load(Relaxed),
            unkept_fills: self.unkept_fills.load(Relaxed),
            fences: self.fences.load(Relaxed),
            ..Stats::default()
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The lane of this thread: threads take turns, so up to 16 never share one.
#[inline]
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static LANE: Cell<usize> = const { Cell::new(usize::MAX) });
    LANE.with(|lane| {
        if lane.get() == usize::MAX {
            lane.set(NEXT.fetch_add(1, Relaxed) % LANES);
        }
        lane.get()
    })
}
