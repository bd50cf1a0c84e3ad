//! The end of a log: attempts of one call that go on for hours must not make it longer and longer.

use super::{Event, Spot};

/// So many rows about one call are kept from the beginning of its attempts; behind them only the last failure is.
const KEPT: usize = 20;

/// The rows at the end of a log that are about attempts of one call and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tail {
    spot: Option<Spot>,
    rows: Vec<u64>,
}

/// Where a new row comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The row it comes behind.
    pub(crate) prev: u64,
    /// Rows that it takes the place of.
    pub(crate) drops: Vec<u64>,
}

impl Tail {
    /// A row that was written.
    pub(crate) fn push(&mut self, seq: u64, events: &[Event], place: &Place) {
        let spot = about(events);
        if spot.is_none() || spot != self.spot {
            self.rows.clear();
        }
        self.spot = spot;
        self.rows.retain(|row| !place.drops.contains(row));
        if spot.is_some() {
            self.rows.push(seq);
        }
    }

    /// Where a row with these events comes. A failure tells everything that earlier attempts and failures of its call do.
    pub(crate) fn place(&self, seq: u64, events: &[Event]) -> Place {
        let failure = matches!(events, [Event::Unknown { spot, .. }] if Some(*spot) == self.spot);
        match self.rows.split_at_checked(KEPT) {
            Some((kept, drops)) if failure && !drops.is_empty() => {
                Place { prev: kept.last().copied().unwrap_or(seq), drops: drops.to_vec() }
            }
            _ => Place { prev: seq, drops: Vec::new() },
        }
    }
}

/// The one call that all events are attempts of.
fn about(events: &[Event]) -> Option<Spot> {
    let mut spots = events.iter().map(|event| match event {
        Event::Sent { spot, .. } | Event::Unknown { spot, .. } => Some(*spot),
        _ => None,
    });
    let first = spots.next()??;
    spots.all(|spot| spot == Some(first)).then_some(first)
}
