//! Several members of one oneof on the wire: the last one counts, and setting another one clears it.

use super::Printer;
use super::scan::DEAD;
use crate::schema::{Message, NO_ONEOF};

impl Printer<'_, '_> {
    /// Removes the entries of members that a later one replaced. Pieces of one submessage member are merged, but only
    /// those behind the last other member: a parser would have dropped the earlier ones.
    #[cold]
    pub(super) fn resolve_oneofs(&mut self, message: &Message, base: usize) {
        const OPEN: u16 = u16::MAX;
        const CLOSED: u16 = u16::MAX - 1;
        let winners = &mut self.scratch.winners;
        winners.clear();
        winners.resize(message.oneofs.len(), OPEN);
        for entry in self.scratch.entries.get_mut(base..).unwrap_or_default().iter_mut().rev() {
            let oneof = message.fields.get(usize::from(entry.field)).map_or(NO_ONEOF, |field| field.oneof);
            let Some(winner) = winners.get_mut(usize::from(oneof)) else { continue };
            match *winner {
                OPEN => *winner = entry.field,
                same if same == entry.field => {}
                _ => {
                    *winner = CLOSED;
                    entry.field = DEAD;
                }
            }
        }
        // Not `retain`, which would look at the entries of all open messages, for each element of a list.
        let entries = &mut self.scratch.entries;
        let mut kept = base;
        for at in base..entries.len() {
            if entries.get(at).is_some_and(|entry| entry.field != DEAD) {
                entries.swap(kept, at);
                kept += 1;
            }
        }
        entries.truncate(kept);
    }
}
