//! The first pass over a message: an entry for each occurrence of a field it has, ordered by field.

use super::{Place, Printer, Result};
use crate::schema::{Field, Message, NO_ONEOF};
use crate::wire::{Cursor, wire_type};

/// One occurrence of a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The value's bytes: behind the tag, and behind the length where there is one.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Position of the field in its message; [`DEAD`] when another occurrence took its place.
    pub(super) field: u16,
    /// Whether it is a run of values.
    pub(super) packed: bool,
}

/// [`Entry::field`] of an entry that is not to be printed.
pub(super) const DEAD: u16 = u16::MAX;

impl Entry {
    pub(super) fn place(self) -> Place {
        Place::Piece { start: self.start as usize, end: self.end as usize }
    }
}

/// What the pass has seen of one message so far.
struct Progress {
    /// The highest field so far; lower ones behind it mean sorting.
    last: u16,
    sorted: bool,
    /// The oneofs seen, for the first 64 of them.
    oneofs: u64,
    /// Perhaps two members of one oneof.
    clash: bool,
}

impl<'s> Printer<'s, '_> {
    /// Appends the entries of a message and gives the position of the first. Bytes of fields that the message does not
    /// have, or that have another wire type there, are unknown fields: checked and skipped.
    pub(super) fn scan(&mut self, message: &'s Message, place: Place, depth: u32) -> Result<usize> {
        let base = self.scratch.entries.len();
        let mut progress = Progress { last: 0, sorted: true, oneofs: 0, clash: false };
        match place {
            Place::Piece { start, end } => self.scan_piece(message, (start, end), &mut progress, depth)?,
            Place::Entries { from, to } => {
                for at in from..to {
                    let Some(entry) = self.entry(at) else { break };
                    let piece = (entry.start as usize, entry.end as usize);
                    self.scan_piece(message, piece, &mut progress, depth)?;
                }
            }
        }
        if progress.clash {
            self.resolve_oneofs(message, base);
        }
        if !progress.sorted {
            let found = self.scratch.entries.get_mut(base..).unwrap_or_default();
            // Later occurrences lie further behind, also over several pieces.
            found.sort_unstable_by_key(|entry| (entry.field, entry.start));
        }
        Ok(base)
    }

    fn scan_piece(
        &mut self,
        message: &'s Message,
        (start, end): (usize, usize),
        progress: &mut Progress,
        depth: u32,
    ) -> Result<()> {
        let mut cursor = self.cursor(start, end);
        let entries = &mut self.scratch.entries;
        while !cursor.at_end() {
            let (number, wire) = cursor.tag()?;
            let Some((index, field)) = message.by_number(number).filter(|(_, field)| accepts(field, wire))
            else {
                cursor.skip(number, wire, depth)?;
                continue;
            };
            let (start, end) = value_range(&mut cursor, number, wire, depth)?;
            let packed = wire == wire_type::LEN && field.kind.packable();
            let index = index as u16;
            entries.push(Entry { start: start as u32, end: end as u32, field: index, packed });
            progress.sorted &= index >= progress.last;
            progress.last = index;
            if field.oneof != NO_ONEOF {
                // Oneofs beyond 64 share the last bit: a false alarm costs a look, no more.
                let bit = 1 << field.oneof.min(63);
                progress.clash |= progress.oneofs & bit != 0;
                progress.oneofs |= bit;
            }
        }
        Ok(())
    }
}

/// Whether a value of this wire type is one of the field: its own, or a packed run.
#[inline]
fn accepts(field: &Field, wire: u8) -> bool {
    wire == field.kind.wire_type() || (wire == wire_type::LEN && field.is_repeated() && field.kind.packable())
}

#[inline]
fn value_range(cursor: &mut Cursor<'_>, number: u32, wire: u8, depth: u32) -> Result<(usize, usize)> {
    if wire == wire_type::LEN {
        return Ok(cursor.len_range()?);
    }
    let start = cursor.pos;
    if wire == wire_type::GROUP_START {
        let end = cursor.skip_group(number, depth)?;
        return Ok((start, end));
    }
    cursor.skip(number, wire, depth)?;
    Ok((start, cursor.pos))
}
