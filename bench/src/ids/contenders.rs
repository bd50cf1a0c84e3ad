//! Who is compared, each with the system's clock.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_ids::shared::{Memory, SharedLease, SharedOptions};
use aqueduct_ids::{Generator, Lease, LeaseOptions, Route};
use aqueduct_kit::Scratch;
use aqueduct_kit::mariadb::MariaDb;
use ferroid::generator::AtomicSnowflakeGenerator;
use ferroid::id::SnowflakeTwitterId;
use ferroid::time::{MonotonicClock, TWITTER_EPOCH};
use mysql_async::prelude::Queryable as _;
use snowflake::SnowflakeIdGenerator;
use uuid::Uuid;

use super::clock;

/// IDs of a segment.
const SEGMENT: u64 = 10_000;

/// Mints the next ID; the argument is any number, to place it by.
type Mint = Box<dyn Fn(u64) -> u128 + Sync>;

/// One way to have IDs.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) bits: u32,
    pub(super) routable: &'static str,
    /// What happens, in words.
    pub(super) clock_back: fn() -> String,
    pub(super) mint: Mint,
}

pub(super) fn all() -> Result<Vec<Contender>> {
    Ok(vec![
        Contender {
            name: "aqueduct-ids, lease in a folder",
            bits: 63,
            routable: "shard and table in the ID",
            clock_back: clock::ours,
            mint: folder()?,
        },
        Contender {
            name: "aqueduct-ids, shared lease",
            bits: 63,
            routable: "shard and table in the ID",
            clock_back: clock::ours,
            mint: ours(shared()?, ()),
        },
        Contender {
            name: "UUIDv4",
            bits: 122,
            routable: "by a hash",
            clock_back: || "asks no clock".to_owned(),
            mint: Box::new(|_| Uuid::new_v4().as_u128()),
        },
        Contender {
            name: "UUIDv7",
            bits: 122,
            routable: "by a hash",
            clock_back: clock::uuid7,
            mint: Box::new(|_| Uuid::now_v7().as_u128()),
        },
        Contender {
            name: "a segment of 10,000 from MariaDB",
            bits: 63,
            routable: "by a hash",
            clock_back: || "asks no clock".to_owned(),
            mint: segments()?,
        },
        Contender {
            name: "rs-snowflake 0.6, behind a Mutex",
            bits: 63,
            routable: "machine and node",
            clock_back: || {
                "goes back with it, its sequence from 0: IDs come twice (by its source: no clock can be given)".to_owned()
            },
            mint: rs_snowflake(),
        },
        Contender {
            name: "ferroid 2.0, atomic",
            bits: 63,
            routable: "machine",
            clock_back: clock::ferroid,
            mint: ferroid(),
        },
    ])
}

/// `kept` lives as long.
fn ours<T: Send + 'static>(ids: Generator, kept: T) -> Mint {
    let (routes, kept): (Vec<_>, _) = (Route::all().collect(), Mutex::new(kept));
    Box::new(move |turn| {
        let _kept = &kept;
        let route = routes[usize::try_from(turn).unwrap_or(0) % routes.len()];
        loop {
            // A refusal passes: more than a second's IDs were minted ahead, or a renewal is late.
            if let Ok(id) = ids.next_id(route) {
                return id.get().into();
            }
            std::hint::spin_loop();
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "a thread that renews for as long as the process lives")]
fn folder() -> Result<Mint> {
    let scratch = Scratch::new("bench-ids");
    let mut lease = Lease::open(scratch.path(), LeaseOptions::default())?;
    let ids = lease.generator();
    thread::spawn(move || {
        while lease.renew().is_ok() {
            thread::sleep(lease.renew_every());
        }
    });
    Ok(ours(ids, scratch))
}

#[expect(clippy::disallowed_methods, reason = "a thread that renews for as long as the process lives")]
fn shared() -> Result<Generator> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let options = SharedOptions { term: Duration::from_mins(1), ..SharedOptions::default() };
    let mut lease = runtime.block_on(SharedLease::claim(Memory::default(), options))?;
    let ids = lease.generator();
    thread::spawn(move || {
        while runtime.block_on(lease.renew()).is_ok() {
            thread::sleep(Duration::from_millis(300));
        }
    });
    Ok(ids)
}

/// What is left of a segment.
#[derive(Default)]
struct Segment {
    next: u64,
    end: u64,
}

/// As Leaf has them (Meituan, 2017), without its second segment that is fetched ahead.
fn segments() -> Result<Mint> {
    let scratch = Scratch::new("bench-segment");
    let server = MariaDb::start(&scratch)?;
    server.sql("CREATE DATABASE ids; CREATE TABLE ids.segments (name VARCHAR(20) PRIMARY KEY, next BIGINT UNSIGNED NOT NULL); INSERT INTO ids.segments VALUES ('orders', 1)")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let url = format!("mysql://root@127.0.0.1:{}/ids", server.port());
    let connection = runtime
        .block_on(mysql_async::Conn::new(mysql_async::Opts::from_url(&url)?))
        .context("connect to MariaDB")?;
    let state = Mutex::new((Segment::default(), runtime, connection));
    let alive = Mutex::new((server, scratch));
    Ok(Box::new(move |_| {
        let _alive = &alive;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (segment, runtime, connection) = &mut *state;
        if segment.next == segment.end {
            *segment = runtime.block_on(fetch(connection)).unwrap_or_default();
        }
        segment.next += 1;
        u128::from(segment.next - 1)
    }))
}

async fn fetch(connection: &mut mysql_async::Conn) -> Result<Segment, mysql_async::Error> {
    let advance =
        format!("UPDATE segments SET next = LAST_INSERT_ID(next) + {SEGMENT} WHERE name = 'orders'");
    connection.query_drop(advance).await?;
    let next: u64 = connection.query_first("SELECT LAST_INSERT_ID()").await?.unwrap_or_default();
    Ok(Segment { next, end: next + SEGMENT })
}

fn rs_snowflake() -> Mint {
    let generator = Mutex::new(SnowflakeIdGenerator::new(1, 1));
    Box::new(move |_| {
        let id = generator.lock().unwrap_or_else(PoisonError::into_inner).real_time_generate();
        u128::from(id.unsigned_abs())
    })
}

fn ferroid() -> Mint {
    let clock = MonotonicClock::<1>::with_epoch(TWITTER_EPOCH);
    let generator = AtomicSnowflakeGenerator::<SnowflakeTwitterId, _>::new(1, clock);
    Box::new(move |_| u128::from(generator.next_id(|_| std::hint::spin_loop()).to_raw()))
}
