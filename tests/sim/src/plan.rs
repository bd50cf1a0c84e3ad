//! What a seed decides before a run begins: its size, its times and its faults.

use std::time::Duration;

use crate::history::Table;
use crate::random::Random;

/// The course of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Databases, each followed for itself.
    pub(crate) sources: usize,
    pub(crate) instances: usize,
    pub(crate) readers: usize,
    pub(crate) writers: usize,
    /// Rows of a table.
    pub(crate) keys: u64,
    /// The table without a version column.
    pub(crate) bounded: Option<Table>,
    /// The versions with which they begin.
    pub(crate) base: u64,
    /// How long everybody is busy.
    pub(crate) busy: Duration,
    /// The longest pause between two writes of one writer, in milliseconds.
    pub(crate) write_pause: u64,
    pub(crate) read_pause: u64,
    /// Floors that wait for the second level before they are let go.
    pub(crate) queue: usize,
    /// How many writes come between two times of rest, in which what is stale gets old.
    pub(crate) burst: u64,
    /// How many answers of a database in a hundred are late, and how many later than a lease is long.
    pub(crate) late: (u64, u64),
    /// Lifetimes of entries.
    pub(crate) soft: Duration,
    pub(crate) fresh: Duration,
    pub(crate) negative: Duration,
    /// In the order of time.
    pub(crate) faults: Vec<(Duration, Fault)>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process that follows a database is killed, and comes back; perhaps its checkpoint is gone, or too old.
    KillCdc { source: usize, gone: Duration, lost: Lost },
    /// SIGSTOP.
    StopCdc { source: usize, lasts: Duration },
    /// The master dies, and its replica is promoted.
    Failover { gone: Duration },
    /// The master is stopped, its replica promoted; then it goes on, and answers for a while as if nothing had happened. An
    /// instance is started again meanwhile, and has no floors of its own.
    Replaced { gone: Duration, later: Duration, lasts: Duration, instance: usize },
    /// The same as a failover, in good order: nothing is lost.
    Handover,
    /// Nobody reaches the second level.
    RedisDown { lasts: Duration },
    /// Its answers are late.
    RedisSlow { lasts: Duration, millis: u64 },
    /// The bus takes and gives nothing.
    BusDown { source: usize, lasts: Duration },
    /// It loses its records.
    BusReset { source: usize },
    /// One instance hears nothing.
    Deaf { instance: usize, source: usize, lasts: Duration },
    /// An instance is killed and started again.
    KillInstance { instance: usize },
    /// The primary cannot be reached.
    StoreDown { source: usize, lasts: Duration },
    /// The replica is behind.
    Lag { source: usize, lasts: Duration },
}

/// What became of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Nothing,
    /// The file.
    Checkpoint,
    /// The binlog before the present.
    Binlog,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let random = Random::new(seed, "plan");
        let sources = if random.percent(20) { 2 } else { 1 };
        let instances = usize_of(random.range(2..4));
        let busy = random.millis(3000..6000);
        let count = random.range(0..9);
        let mut faults: Vec<_> = (0..count)
            .map(|_| {
                (
                    random.millis(200..u64::try_from(busy.as_millis()).unwrap_or(3000)),
                    fault(&random, sources, instances),
                )
            })
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        Self {
            sources,
            instances,
            readers: usize_of(random.range(3..7)),
            writers: usize_of(random.range(1..4)),
            keys: random.range(2..6),
            bounded: random.percent(30).then_some(Table::Items),
            base: *random.pick(&[1, 1 << 53, (1 << 53) - 4, 1 << 62]),
            busy,
            write_pause: *random.pick(&[40, 120, 400]),
            read_pause: *random.pick(&[15, 40, 100]),
            queue: *random.pick(&[3, 12, 100]),
            burst: *random.pick(&[3, 8, 1000]),
            late: *random.pick(&[(6, 1), (30, 3), (60, 10)]),
            soft: random.millis(1000..8000),
            fresh: random.millis(1000..20_000),
            negative: random.millis(300..3000),
            faults,
        }
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(1)
}

fn fault(random: &Random, sources: usize, instances: usize) -> Fault {
    let source = usize_of(random.range(0..sources as u64));
    let instance = usize_of(random.range(0..instances as u64));
    let lasts = random.millis(100..2500);
    match random.range(0..21) {
        0..3 => {
            let lost =
                *random.pick(&[Lost::Nothing, Lost::Nothing, Lost::Nothing, Lost::Checkpoint, Lost::Binlog]);
            Fault::KillCdc { source, gone: random.millis(5..1500), lost }
        }
        3 => Fault::StopCdc { source, lasts },
        4..7 => Fault::Failover { gone: random.millis(1000..2500) },
        7 => Fault::Handover,
        8 => Fault::RedisDown { lasts },
        9 => Fault::RedisSlow { lasts, millis: random.range(20..300) },
        10 => Fault::BusDown { source, lasts },
        11..13 => Fault::BusReset { source },
        13..15 => Fault::Deaf { instance, source, lasts },
        15..18 => Fault::KillInstance { instance },
        18 => Fault::StoreDown { source, lasts },
        19 => {
            let (gone, later) = (random.millis(0..2000), random.millis(0..1000));
            Fault::Replaced { gone, later, lasts, instance }
        }
        _ => Fault::Lag { source, lasts },
    }
}
