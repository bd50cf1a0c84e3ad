//! `bench words`: what moving an order from state to state costs in memory, by a swap of its word and behind a mutex.

mod contenders;

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Result;
use tokio::time::Instant;

use crate::median::median;
use crate::table::Table;
use crate::{machine, progress, threads};
use contenders::{Contender, ORDERS, all};

/// Moves of a round, all threads together.
const MOVES: u64 = 200_000;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench words
  cargo xtask bench words -- --rounds 3 --print-only")]
pub(crate) struct Args {
    /// How often each measurement is repeated; the medians are shown
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

const HOW: &str = "ns of a thread's time a move, the median over the rounds, in which all take turns. A move finds the word of an order, holds it, \
and lets go of it with the next state; a mutex is locked for each of the two, since a commit lies between them. All moves are of one order, or each is of \
one of 2^20 at random. **Held** is how often one of two threads found the one order held by the other, of 100 moves, and looked again. The two arrays know \
where an order is and let nobody wait: they show what a swap and a mutex cost by themselves.";

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut facts = machine::facts();
    facts.push(format!("Command: `cargo xtask bench words -- --rounds {}`", args.rounds));
    let facts: Vec<String> = facts.iter().map(|fact| format!("- {fact}")).collect();
    let mut table = Table::new([
        "",
        "one order, 1 thread",
        "one order, 2 threads",
        "held",
        "2^20 orders, 1 thread",
        "2^20 orders, 2 threads",
    ]);
    let contenders = all()?;
    for (contender, [one, both, many, many_both]) in contenders.iter().zip(measure(&contenders, args.rounds))
    {
        let [one, both, held, many, many_both] =
            [one.ns, both.ns, both.held, many.ns, many_both.ns].map(|figure| format!("{figure:.1}"));
        table.row([contender.name.to_owned(), one, both, held, many, many_both]);
    }
    let report = ["# Words and mutexes".to_owned(), facts.join("\n"), HOW.to_owned(), table.to_string()]
        .map(|part| part.trim_end().to_owned());
    let report = report.join("\n\n") + "\n";
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("words", &report)?.display());
    }
    Ok(())
}

/// What one round, or the median of all, showed.
#[derive(Clone, Copy, Default)]
struct Cost {
    ns: f64,
    held: f64,
}

/// One order on one thread and two, then all of them.
fn measure(contenders: &[Contender], rounds: u32) -> Vec<[Cost; 4]> {
    let mut samples = vec![[const { Vec::new() }; 4]; contenders.len()];
    let bar = progress::bar(u64::from(rounds + 1) * contenders.len() as u64);
    for round in 0..=rounds {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            bar.set_message(contender.name);
            let costs = [(1, 1), (2, 1), (1, ORDERS), (2, ORDERS)]
                .map(|(threads, orders)| moves(contender, threads, orders));
            // The first one warms up.
            if round > 0 {
                samples.iter_mut().zip(costs).for_each(|(samples, cost)| samples.push(cost));
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let medians = |costs: &Vec<Cost>| Cost {
        ns: median(costs.iter().map(|cost| cost.ns)),
        held: median(costs.iter().map(|cost| cost.held)),
    };
    samples.iter().map(|samples| [0, 1, 2, 3].map(|at: usize| medians(&samples[at]))).collect()
}

fn moves(contender: &Contender, threads: u64, orders: u64) -> Cost {
    let (held, count) = (AtomicU64::new(0), MOVES / threads);
    let ns = threads::mean(threads, |thread| {
        let (mut random, mut refused) = (thread, 0);
        let began = Instant::now();
        for _ in 0..count {
            // Knuth's MMIX generator; its upper half is random enough.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let order = black_box((random >> 32) % orders);
            while !(contender.try_move)(order) {
                refused += 1;
                spin_loop();
            }
        }
        let took = began.elapsed();
        held.fetch_add(refused, Relaxed);
        took.as_secs_f64() * 1e9 / count as f64
    });
    Cost { ns, held: held.into_inner() as f64 * 100.0 / MOVES as f64 }
}
