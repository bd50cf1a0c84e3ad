//! Takes the times: in turns, round by round.

use std::hint::black_box;

use tokio::time::Instant;

use super::contenders::Contender;
use crate::median::median;
use crate::{progress, threads};

/// IDs of a burst, all threads together, and how many bursts a round has.
const BURST: u64 = 1_000;
const BURSTS: u64 = 50;
const SUSTAINED: u64 = 200_000;

/// Burst and sustained on one thread and two, in ns, of each contender.
pub(super) fn measure(contenders: &[Contender], rounds: u32) -> Vec<[f64; 4]> {
    let mut samples = vec![[const { Vec::new() }; 4]; contenders.len()];
    let bar = progress::bar(u64::from(rounds + 1) * contenders.len() as u64);
    for round in 0..=rounds {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            bar.set_message(contender.name);
            let costs =
                [burst(contender, 1), burst(contender, 2), sustained(contender, 1), sustained(contender, 2)];
            // The first one warms up.
            if round > 0 {
                samples.iter_mut().zip(costs).for_each(|(samples, cost)| samples.push(cost));
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    samples.into_iter().map(|samples| [0, 1, 2, 3].map(|at| median(samples[at].iter().copied()))).collect()
}

/// The part of neighbours that ascend.
pub(super) fn ascending(contender: &Contender) -> f64 {
    let ids: Vec<u128> = (0..100_000).map(|_| (contender.mint)(0)).collect();
    let up = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
    up as f64 / (ids.len() - 1) as f64
}

fn burst(contender: &Contender, threads: u64) -> f64 {
    threads::mean(threads, |thread| {
        let count = BURST / threads;
        let mut ns = 0.0;
        for burst in 0..BURSTS {
            next_millisecond();
            let began = Instant::now();
            for turn in 0..count {
                black_box((contender.mint)(thread * 32 + burst + turn));
            }
            ns += began.elapsed().as_secs_f64() * 1e9;
        }
        ns / (BURSTS * count) as f64
    })
}

fn sustained(contender: &Contender, threads: u64) -> f64 {
    threads::mean(threads, |thread| {
        let count = SUSTAINED / threads;
        let began = Instant::now();
        for turn in 0..count {
            black_box((contender.mint)(thread * 32 + turn));
        }
        began.elapsed().as_secs_f64() * 1e9 / count as f64
    })
}

fn next_millisecond() {
    let now = aqueduct_runtime::clock::now_unix_ms();
    while aqueduct_runtime::clock::now_unix_ms() == now {
        std::hint::spin_loop();
    }
}
