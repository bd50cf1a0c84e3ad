//! Takes the times: in turns, round by round.

use std::hint::black_box;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::buffers::{Buffers, GLIBC, JEMALLOC, LIVE, MIMALLOC, NAMES, Nothing, Of, OfThread, Shared};
use crate::median::median;
use crate::{progress, threads};

/// Buffers of a measurement, and of a paced one.
const COUNT: u32 = 100_000;
const PACED: u32 = 3_000;
const EVERY: Duration = Duration::from_micros(100);

/// Medians of one way to have buffers, in ns.
pub(super) struct Figures {
    /// On one thread and on two.
    pub(super) once: [f64; 2],
    pub(super) grown: [f64; 2],
    pub(super) paced: Pace,
}

/// Of single buffers, paced.
pub(super) struct Pace {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

static OF_GLIBC: Of<std::alloc::System> = GLIBC;
static OF_MIMALLOC: Of<mimalloc::MiMalloc> = MIMALLOC;
static OF_JEMALLOC: Of<tikv_jemallocator::Jemalloc> = JEMALLOC;
static SHARED: LazyLock<Shared> = LazyLock::new(Shared::default);

/// In the order of [`NAMES`].
pub(super) fn measure(rounds: u32) -> Vec<Figures> {
    let mut samples = vec![[const { Vec::new() }; 6]; NAMES.len()];
    let bar = progress::bar(u64::from(rounds) + 1);
    for round in 0..=rounds {
        let shared: &'static Shared = &SHARED;
        let taken = [
            one(&Nothing),
            one(&&OF_GLIBC),
            one(&&OF_MIMALLOC),
            one(&&OF_JEMALLOC),
            one(&OfThread),
            one(&shared),
        ];
        // The first round warms up.
        if round > 0 {
            for (samples, taken) in samples.iter_mut().zip(taken) {
                samples.iter_mut().zip(taken).for_each(|(samples, ns)| samples.push(ns));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let figures = |samples: [Vec<f64>; 6]| {
        let [a, b, c, d, p50, p99] = samples.map(median);
        Figures { once: [a, b], grown: [c, d], paced: Pace { p50, p99 } }
    };
    samples.into_iter().map(figures).collect()
}

fn one<B: Buffers>(buffers: &B) -> [f64; 6] {
    let (p50, p99) = paced(buffers);
    let once = |threads| threads::mean(threads, |_| ring(|| buffers.at_once()));
    let grown = |threads| threads::mean(threads, |_| ring(|| buffers.grown()));
    [once(1), once(2), grown(1), grown(2), p50, p99]
}

/// The mean of a buffer on one thread, with `LIVE` of them alive.
fn ring<T>(mut next: impl FnMut() -> T) -> f64 {
    let mut live: Vec<Option<T>> = (0..LIVE).map(|_| Some(next())).collect();
    let began = Instant::now();
    for turn in 0..COUNT as usize {
        // Given back before the next one is taken, as by a connection that answers and is asked again.
        live[turn % LIVE] = None;
        live[turn % LIVE] = Some(black_box(next()));
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(COUNT)
}

/// 10,000 a second, each timed alone.
#[expect(clippy::disallowed_methods, reason = "the pause that a paced load has")]
fn paced<B: Buffers>(buffers: &B) -> (f64, f64) {
    let mut live: Vec<Option<B::Buffer>> = (0..LIVE).map(|_| Some(buffers.grown())).collect();
    let mut times = Vec::with_capacity(PACED as usize);
    let mut clock = Vec::with_capacity(PACED as usize);
    let mut due = Instant::now();
    for turn in 0..PACED as usize {
        due += EVERY;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let began = Instant::now();
        live[turn % LIVE] = None;
        live[turn % LIVE] = Some(black_box(buffers.grown()));
        times.push(ns(began.elapsed()));
        let began = Instant::now();
        clock.push(ns(began.elapsed()));
    }
    times.sort_by(f64::total_cmp);
    let own = median(clock);
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(f64::NAN) - own;
    (at(50), at(99))
}

fn ns(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
