//! Taking a worker number: a free one at once, or else one that nobody is seen to renew.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::register::within;
use super::{Entry, Register, Row, Settings, SharedError, SharedOptions, Timing};
use crate::layout::{Layout, TIME_END};

/// Of a node's name. What is stored of a holder then fits 192 bytes.
const MOST_NAME: usize = 128;

/// A claim on its way.
pub(super) struct Claim<'a, R> {
    pub(super) register: &'a R,
    pub(super) options: &'a SharedOptions,
    pub(super) timing: Timing,
    pub(super) holder: &'a str,
}

/// A number that was taken.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) worker: u16,
    pub(super) version: u64,
    /// The mark that was there: nothing below it may be minted.
    pub(super) floor: u64,
    /// The mark that is there now.
    pub(super) mark: u64,
    /// Before the register was asked, in ms of the steady clock.
    pub(super) began: u64,
}

impl<R: Register> Claim<'_, R> {
    pub(super) async fn seat(&self) -> Result<Seat, SharedError> {
        self.agree().await?;
        let before = self.rows().await?;
        if let Some(seat) = self.take(before.iter().filter(|(_, entry)| is_free(entry))).await? {
            return Ok(seat);
        }
        // From here on it counts: the rows were read already.
        tokio::time::sleep(self.timing.term).await;
        let after = self.rows().await?;
        let dead: Vec<_> =
            after.iter().filter(|row| is_free(&row.1) || before.contains(row)).cloned().collect();
        let Some(seat) = self.take(dead.iter()).await? else { return Err(self.none_free(&after)) };
        self.free(dead.iter().filter(|(worker, _)| *worker != seat.worker)).await;
        Ok(seat)
    }

    /// That the whole fleet mints in the same way.
    async fn agree(&self) -> Result<(), SharedError> {
        let SharedOptions { layout, epoch_ms, worker, .. } = *self.options;
        if let Some(worker) = worker.filter(|worker| *worker > layout.max_worker()) {
            return Err(SharedError::Worker { worker, max: layout.max_worker() });
        }
        let proposed = Settings::of(layout, epoch_ms);
        let stored = within(self.timing.patience(), self.register.settings(proposed)).await?;
        let of = |settings: Settings| {
            let layout = Layout::from_sequence_bits(settings.sequence_bits).map(|layout| layout.to_string());
            [layout.unwrap_or_else(|| format!("S{}", settings.sequence_bits)), settings.epoch_ms.to_string()]
        };
        for ((setting, stored), configured) in
            ["the layout", "the epoch"].into_iter().zip(of(stored)).zip(of(proposed))
        {
            if stored != configured {
                let place = self.register.place();
                return Err(SharedError::Mismatch { place, setting, stored, configured });
            }
        }
        Ok(())
    }

    /// The rows of all numbers that may be taken, those that were never written with version 0.
    async fn rows(&self) -> Result<Vec<(u16, Entry)>, SharedError> {
        let stored = within(self.timing.patience(), self.register.read()).await?;
        let wanted = match self.options.worker {
            Some(worker) => worker..=worker,
            None => 0..=self.options.layout.max_worker(),
        };
        let row = |worker: u16| {
            let found = stored.iter().find(|(of, _)| *of == worker);
            let never = || Entry { version: 0, row: Row { holder: String::new(), mark: 0 } };
            (worker, found.map_or_else(never, |(_, entry)| entry.clone()))
        };
        let rows: Vec<_> = wanted.map(row).collect();
        match rows.iter().find(|(_, entry)| entry.row.mark > TIME_END) {
            None => Ok(rows),
            Some((worker, entry)) => Err(SharedError::Damaged {
                place: self.register.place(),
                worker: *worker,
                mark: entry.row.mark,
            }),
        }
    }

    /// Takes one of these, unless others are faster each time. The lowest mark first: it is the one that this node's clock is
    /// least likely to be behind.
    async fn take(&self, rows: impl Iterator<Item = &(u16, Entry)>) -> Result<Option<Seat>, SharedError> {
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(worker, entry)| (entry.row.mark, *worker));
        for (worker, entry) in rows {
            let began = self.options.steady.ms();
            let floor = entry.row.mark;
            let mark = floor.max(self.timing.mark(self.options.clock.since(self.options.epoch_ms)));
            let row = Row { holder: self.holder.to_owned(), mark };
            let swapped = self.register.swap(*worker, entry.version, row);
            if let Some(version) = within(self.timing.patience(), swapped).await? {
                return Ok(Some(Seat { worker: *worker, version, floor, mark, began }));
            }
        }
        Ok(None)
    }

    /// The other numbers that nobody renews, for whoever claims next: that one need not wait for a term again.
    async fn free(&self, dead: impl Iterator<Item = &(u16, Entry)>) {
        for (worker, entry) in dead.filter(|(_, entry)| !is_free(entry)) {
            let row = Row { holder: String::new(), mark: entry.row.mark };
            let freed = within(self.timing.patience(), self.register.swap(*worker, entry.version, row)).await;
            if let Err(error) = freed {
                tracing::debug!(%error, worker, "a number that nobody renews was not freed");
                return;
            }
        }
    }

    fn none_free(&self, rows: &[(u16, Entry)]) -> SharedError {
        match (self.options.worker, rows) {
            (Some(worker), [(_, entry)]) => SharedError::Held { worker, holder: entry.row.holder.clone() },
            _ => SharedError::NoneFree { workers: u32::from(self.options.layout.max_worker()) + 1 },
        }
    }
}

fn is_free(entry: &Entry) -> bool {
    entry.row.holder.is_empty()
}

/// A name for people and 64 bits that no other claim has.
pub(super) fn holder(name: &str) -> String {
    let mut end = name.len().min(MOST_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    // Its keys are the system's randomness; a dependency for eight bytes would be one too many.
    let unique = [(); 2].map(|()| RandomState::new().build_hasher().finish());
    format!("{} {:016x}{:016x}", name.get(..end).unwrap_or_default(), unique[0], unique[1])
}
