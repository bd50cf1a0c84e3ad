//! Leases on worker numbers that a fleet shares, in a register that all its nodes reach: MySQL, etcd, or one of the owner's.
//!
//! Two things keep an ID from being minted twice, and neither trusts a clock of any machine to show the right time:
//!
//! 1. **The mark.** A node writes into the row of its worker number how far it may mint, before it does. Whoever has the number
//!    next begins there. The row is written by compare-and-swap, so a node that lost it cannot move the mark.
//! 2. **The term.** A number is taken from a node only after its row was *seen* not to change for a whole term, by the taker's
//!    monotonic clock, and the node stops by its own a tenth of a term earlier. So at no time do two nodes mint under one number.
//!    A time of expiry in the row is what others do; it would need a clock that all agree on.
//!
//! ```
//! use aqueduct_ids::shared::{Memory, SharedLease, SharedOptions};
//! use aqueduct_ids::{Layout, Route};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), aqueduct_ids::shared::SharedError> {
//! let register = Memory::default(); // for tests; `mysql::Mysql` and `etcd::Etcd` are for fleets
//! let mut one = SharedLease::claim(register.clone(), SharedOptions::default()).await?;
//! let other = SharedLease::claim(register, SharedOptions::default()).await?;
//! assert_ne!(one.worker(), other.worker());
//!
//! let id = one.generator().next_id(Route::of_hash(42)).unwrap();
//! assert_eq!(Layout::DEFAULT.decode(id).worker, one.worker());
//! one.renew().await?; // the owner does this every `one.renew_every()`
//! one.close().await?; // the number is free at once; otherwise it is after a term
//! # Ok(()) }
//! ```

mod claim;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
mod register;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Steady};
use crate::generator::{Generator, Source, Term};
use crate::layout::{Layout, TIME_END};
use crate::lease::DEFAULT_EPOCH_MS;
use crate::sequence::{MAX_AHEAD_MS, Sequences};
pub use error::SharedError;
pub use memory::Memory;
pub use register::{Entry, Register, RegisterError, Row, Settings};

/// The shortest and the longest term.
const TERMS: [Duration; 2] = [Duration::from_secs(1), Duration::from_hours(1)];
/// The longest time between renewals: a clock that jumps ahead is followed after so long.
const RENEW_AT_LEAST: Duration = Duration::from_secs(1);

/// Who mints, and how. Layout and epoch are stored with the first claim of a fleet and cannot change afterwards.
#[derive(Clone, Debug)]
pub struct SharedOptions {
    /// The profile: [`Layout::DEFAULT`] unless told.
    pub layout: Layout,
    /// The instant that IDs count from, in ms of Unix time.
    pub epoch_ms: u64,
    /// The wall clock: the system's unless told.
    pub clock: Clock,
    /// The clock that terms end by: the system's unless told.
    pub steady: Steady,
    /// For how long a number is this node's after a renewal; 1 s to 1 h, 10 s unless told. Whoever crashes leaves its number
    /// unused for as long, and a register that cannot be reached is survived for nearly as long.
    pub term: Duration,
    /// The number to have; the free one with the lowest mark unless told.
    pub worker: Option<u16>,
    /// What others are told of who has a number: a host and a process, for instance. At most 128 bytes of it are kept.
    pub name: String,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self {
            layout: Layout::DEFAULT,
            epoch_ms: DEFAULT_EPOCH_MS,
            clock: Clock::system(),
            steady: Steady::system(),
            term: Duration::from_secs(10),
            worker: None,
            name: format!("process {}", std::process::id()),
        }
    }
}

/// What follows from the length of a term.
#[derive(Clone, Copy, Debug)]
struct Timing {
    term: Duration,
}

impl Timing {
    fn new(term: Duration) -> Result<Self, SharedError> {
        let [least, most] = TERMS;
        if (least..=most).contains(&term) { Ok(Self { term }) } else { Err(SharedError::Term { term }) }
    }

    /// How long a node goes on after it began a renewal: less than a term, so that clocks may differ in rate by a tenth.
    fn hold_ms(self) -> u64 {
        millis(self.term / 10 * 9)
    }

    fn renew_every(self) -> Duration {
        (self.term / 10).min(RENEW_AT_LEAST)
    }

    /// How long one question to the register may take.
    fn patience(self) -> Duration {
        self.term / 5
    }

    /// The mark of a renewal at `now`: whatever the clock admits until the term ends is below it.
    fn mark(self, now: i64) -> u64 {
        let until = now.saturating_add_unsigned(millis(self.term)).saturating_add(MAX_AHEAD_MS);
        u64::try_from(until).unwrap_or(0).min(TIME_END)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The right to mint under a worker number, for a term after each renewal.
///
/// Dropping it without [`close`](Self::close) is as safe as a crash: generators go on until the term ends, and whoever has the
/// number next begins above it.
#[derive(Debug)]
pub struct SharedLease<R> {
    register: R,
    source: Arc<Source>,
    timing: Timing,
    worker: u16,
    /// Names this claim and no other.
    holder: String,
    /// Of the row, when this node last wrote it.
    version: u64,
    /// What is in the row, and in force.
    mark: u64,
    /// Who has the number now.
    lost: Option<String>,
}

impl<R: Register> SharedLease<R> {
    /// Takes a worker number: a free one, or else one whose holder is seen not to renew it for a term, which takes that long.
    ///
    /// If all marks are more than a second ahead of the clock the lease is granted all the same, and
    /// [`Generator::ready_in`] tells how long it refuses to mint.
    ///
    /// # Errors
    /// [`SharedError`]. When the register's answer was lost the number may be taken all the same; it is free after a term.
    pub async fn claim(register: R, options: SharedOptions) -> Result<Self, SharedError> {
        let timing = Timing::new(options.term)?;
        let holder = claim::holder(&options.name);
        let seat =
            claim::Claim { register: &register, options: &options, timing, holder: &holder }.seat().await?;
        let SharedOptions { layout, epoch_ms, clock, steady, .. } = options;
        let sequences = Sequences::new(layout.sequence_bits(), seat.floor);
        sequences.reserve(seat.mark);
        let term = Term::new(steady);
        term.set(seat.began.saturating_add(timing.hold_ms()));
        let source = Source { layout, worker: seat.worker, epoch_ms, clock, sequences, term: Some(term) };
        let lease = Self {
            register,
            source: Arc::new(source),
            timing,
            worker: seat.worker,
            holder,
            version: seat.version,
            mark: seat.mark,
            lost: None,
        };
        let wait = lease.generator().ready_in();
        if !wait.is_zero() {
            tracing::warn!(
                ?wait,
                worker = seat.worker,
                "the wall clock is behind the ids minted under this number"
            );
        }
        Ok(lease)
    }

    /// A handle that mints under this lease.
    pub fn generator(&self) -> Generator {
        Generator::new(Arc::clone(&self.source))
    }

    /// The number that was taken.
    pub fn worker(&self) -> u16 {
        self.worker
    }

    /// How often the owner must call [`renew`](Self::renew): ten times a term, and once a second at least.
    pub fn renew_every(&self) -> Duration {
        self.timing.renew_every()
    }

    /// Begins another term, and reserves the time until its end. May be dropped at any await.
    ///
    /// # Errors
    /// [`SharedError::Lost`] for good: another node has the number, so claim another one. Anything else may pass: IDs are minted
    /// until the term ends.
    pub async fn renew(&mut self) -> Result<(), SharedError> {
        // From before it is asked: what the register does later can only be later than this.
        let began = self.term().map_or(0, Term::steady_ms);
        // It never goes down while IDs are minted: a clock that was set back reserves nothing new.
        let mark = self.mark.max(self.timing.mark(self.source.now()));
        self.write(Row { holder: self.holder.clone(), mark }).await?;
        self.mark = mark;
        self.source.sequences.reserve(mark);
        if let Some(term) = self.term() {
            term.set(began.saturating_add(self.timing.hold_ms()));
        }
        Ok(())
    }

    /// Ends minting, stores the exact time used and frees the number, so that the next node need not wait.
    ///
    /// # Errors
    /// As [`renew`](Self::renew); then the number is free after a term.
    pub async fn close(mut self) -> Result<(), SharedError> {
        let unused = self.source.sequences.seal();
        self.write(Row { holder: String::new(), mark: unused }).await
    }

    fn term(&self) -> Option<&Term> {
        self.source.term.as_ref()
    }

    /// Writes the row of this node's number, as long as it is this node's.
    async fn write(&mut self, row: Row) -> Result<(), SharedError> {
        if let Some(holder) = &self.lost {
            return Err(SharedError::Lost { worker: self.worker, holder: holder.clone() });
        }
        let patience = self.timing.patience();
        // A second time, because an earlier write of ours may have been made without our hearing of it.
        for _ in 0..2 {
            let swapped = self.register.swap(self.worker, self.version, row.clone());
            if let Some(version) = register::within(patience, swapped).await? {
                self.version = version;
                return Ok(());
            }
            let found = register::within(patience, self.register.read()).await?;
            match found.into_iter().find(|(worker, _)| *worker == self.worker) {
                Some((_, entry)) if entry.row.holder == self.holder => self.version = entry.version,
                other => return Err(self.lose(other.map(|(_, entry)| entry.row.holder).unwrap_or_default())),
            }
        }
        Err(RegisterError("the row of this node's number changes all the time".to_owned()).into())
    }

    fn lose(&mut self, holder: String) -> SharedError {
        if let Some(term) = self.term() {
            term.set(0);
        }
        self.lost = Some(holder.clone());
        SharedError::Lost { worker: self.worker, holder }
    }
}

#[cfg(test)]
#[cfg(not(aqueduct_loom))]
mod tests;
