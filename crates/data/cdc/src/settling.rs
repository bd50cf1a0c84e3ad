//! Which position the checkpoint may have: behind the last transaction that has settled, however many are under way.

use std::collections::VecDeque;

use crate::gtid::Position;

/// Positions that are remembered; beyond that the newest waits for what comes after it.
const LIMIT: usize = 4096;

/// The transactions that are under way, and the positions behind them.
#[derive(Debug, Default)]
pub struct Settling {
    /// Transactions that the sink took.
    taken: u64,
    /// The number of a transaction, and where one may begin once it has settled. The oldest first.
    waiting: VecDeque<(u64, Position)>,
}

impl Settling {
    /// The sink took another one.
    pub fn took(&mut self) {
        self.taken += 1;
    }

    /// What was read by now ends at `position`.
    pub fn passed(&mut self, position: Position) {
        let full = self.waiting.len() == LIMIT;
        match self.waiting.back_mut() {
            Some(back) if full || back.0 == self.taken => *back = (self.taken, position),
            _ => self.waiting.push_back((self.taken, position)),
        }
    }

    /// The last position behind which nothing is under way, when `settled` transactions have settled; `None` if it was told before.
    pub fn settled(&mut self, settled: u64) -> Option<Position> {
        let mut last = None;
        while let Some((number, _)) = self.waiting.front()
            && *number <= settled
        {
            last = self.waiting.pop_front();
        }
        last.map(|(_, position)| position)
    }

    /// Whether there is a position to be told yet.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Settling};
    use crate::gtid::{Gtid, Position};

    fn position(sequence: u64) -> Position {
        let mut position = Position::default();
        position.advance(Gtid { domain: 0, server: 1, sequence });
        position
    }

    #[test]
    fn a_position_is_told_when_all_before_it_has_settled() {
        let mut settling = Settling::default();
        settling.passed(position(1));
        assert_eq!(settling.settled(0), Some(position(1)), "nothing is under way");
        for sequence in 2..=4 {
            settling.took();
            settling.passed(position(sequence));
        }
        // Of no watched table.
        settling.passed(position(5));
        assert_eq!(settling.settled(0), None);
        assert_eq!(settling.settled(2), Some(position(3)));
        assert_eq!(settling.settled(2), None);
        assert!(settling.waits());
        assert_eq!(settling.settled(3), Some(position(5)));
        assert!(!settling.waits());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_never_too_early() {
        let mut settling = Settling::default();
        let all = LIMIT as u64 + 10;
        for sequence in 1..=all {
            settling.took();
            settling.passed(position(sequence));
        }
        assert_eq!(settling.waiting.len(), LIMIT);
        assert_eq!(settling.settled(all - 1), Some(position(LIMIT as u64 - 1)));
        assert_eq!(settling.settled(all), Some(position(all)));
    }
}
