//! A node of the fleet in `tests/ids`: takes a worker number, mints under it on a thread of its own, and writes down each ID with when
//! it was asked for and had. `ids-node mysql URL FOLDER 0,1,any`, or `etcd`, with the numbers that it wants; the file `offset` in its
//! folder tells by how many ms its wall clock is off.
#![expect(clippy::print_stdout, reason = "the test waits for its lines")]
#![expect(clippy::expect_used, reason = "a node that cannot go on ends, and its test tells what it printed")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aqueduct_ids::shared::etcd::Etcd;
use aqueduct_ids::shared::mysql::Mysql;
use aqueduct_ids::shared::{Register, SharedError, SharedLease, SharedOptions};
use aqueduct_ids::{Clock, Generator, Route};
use rustix::time::{ClockId, clock_gettime};

/// As short as can be, so that numbers change hands all the time.
const TERM: Duration = Duration::from_secs(1);
/// IDs at a time, and the pause after them.
const BURST: usize = 20;
const PAUSE: Duration = Duration::from_millis(1);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, url, folder, wanted] = args.try_into().expect("four arguments");
    let wanted: Vec<Option<u16>> = wanted.split(',').map(|number| number.parse().ok()).collect();
    let folder = PathBuf::from(folder);
    let offset = follow(folder.join("offset"));
    if kind == "mysql" {
        live(Mysql::new(mysql_async::Opts::from_url(&url).expect("a URL")), &folder, (&wanted, &offset))
            .await;
    } else {
        live(Etcd::new(&[url], "/ids/").expect("a URL"), &folder, (&wanted, &offset)).await;
    }
}

/// What the file says, as it changes.
fn follow(path: PathBuf) -> Arc<AtomicI64> {
    let read = move || fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let offset = Arc::new(AtomicI64::new(read().unwrap_or(0)));
    let shown = Arc::clone(&offset);
    std::thread::spawn(move || {
        loop {
            if let Some(ms) = read() {
                shown.store(ms, Ordering::SeqCst);
            }
            pause();
        }
    });
    offset
}

/// Takes a number, keeps it until it is lost, and takes another.
async fn live<R: Register + Clone + 'static>(
    register: R,
    folder: &Path,
    (wanted, offset): (&[Option<u16>], &Arc<AtomicI64>),
) {
    let out = folder.join(format!("minted-{}", std::process::id()));
    let mut out = File::options().create(true).append(true).open(out).expect("open the list");
    for claim in 0.. {
        let mut lease = claimed(&register, wanted, offset).await;
        let worker = lease.worker();
        println!("claimed {worker}");
        let (ids, to) = (lease.generator(), out.try_clone().expect("clone a handle"));
        // Never told to stop: what is minted after the number was lost is what must not be.
        std::thread::spawn(move || mint(&ids, claim, to));
        loop {
            tokio::time::sleep(lease.renew_every()).await;
            match lease.renew().await {
                Ok(()) => {}
                Err(SharedError::Lost { .. }) => break,
                Err(error) => println!("late: {error}"),
            }
        }
        println!("lost {worker}");
        out.flush().expect("write the list");
    }
}

/// The first of the wanted numbers that can be had.
async fn claimed<R: Register + Clone>(
    register: &R,
    wanted: &[Option<u16>],
    offset: &Arc<AtomicI64>,
) -> SharedLease<R> {
    for worker in wanted.iter().copied().cycle() {
        let offset = Arc::clone(offset);
        let wall = move || {
            aqueduct_runtime::clock::now_unix_ms().saturating_add_signed(offset.load(Ordering::SeqCst))
        };
        let options =
            SharedOptions { clock: Clock::from_fn(wall), term: TERM, worker, ..SharedOptions::default() };
        match SharedLease::claim(register.clone(), options).await {
            Ok(lease) if lease.generator().ready_in() < Duration::from_secs(2) => return lease,
            // Its mark is an hour ahead of this clock.
            Ok(lease) => drop(lease.close().await),
            Err(error) => println!("none: {error}"),
        }
    }
    unreachable!("the cycle has no end")
}

fn mint(ids: &Generator, claim: usize, mut to: File) {
    let worker = ids.worker();
    let routes: Vec<_> = Route::all().collect();
    for burst in 0.. {
        let mut lines = Vec::new();
        for _ in 0..BURST {
            let before = steady();
            if let Ok(id) = ids.next_id(routes[burst % routes.len()]) {
                writeln!(lines, "{worker} {claim} {id} {before} {}", steady()).expect("write to memory");
            }
        }
        to.write_all(&lines).expect("write the list");
        pause();
    }
}

/// Nanoseconds of a clock that all processes of this machine share and nobody steps.
fn steady() -> u128 {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)).as_nanos()
}

#[expect(clippy::disallowed_methods, reason = "threads that go on for ever at a measured pace")]
fn pause() {
    std::thread::sleep(PAUSE);
}
