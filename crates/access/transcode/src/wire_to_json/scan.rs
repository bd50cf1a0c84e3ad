//! The first pass over a message: an entry for each occurrence of a field it has, ordered by field.

use super::{Place, Printer, Result, Scratch, message_set, too_many};
use crate::schema::{Message, NO_ONEOF};
use crate::wire::{self, Cursor, wire_type};

/// One occurrence of a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The bits of a number, read once; where the bytes of anything else begin and end, in 32 bits each.
    value: u64,
    /// Where its tag stands.
    at: u32,
    /// Position of the field in its message; [`DEAD`] when another occurrence took its place.
    pub(super) field: u16,
    /// Whether it is a run of values.
    pub(super) packed: bool,
}

/// [`Entry::field`] of an entry that is not to be printed.
pub(super) const DEAD: u16 = u16::MAX;

impl Entry {
    /// The bits of a number.
    pub(super) fn bits(self) -> u64 {
        self.value
    }

    /// The bytes of a value that is no number.
    pub(super) fn range(self) -> (usize, usize) {
        ((self.value >> 32) as usize, self.value as u32 as usize)
    }

    pub(super) fn place(self) -> Place {
        let (start, end) = self.range();
        Place::Piece { start, end }
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
                    self.scan_piece(message, entry.range(), &mut progress, depth)?;
                }
            }
        }
        if progress.clash {
            self.resolve_oneofs(message, base);
        }
        if !progress.sorted {
            let found = self.scratch.entries.get_mut(base..).unwrap_or_default();
            // Later occurrences lie further behind, also over several pieces.
            found.sort_unstable_by_key(|entry| (entry.field, entry.at));
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
        let most_entries = self.most_entries;
        let Scratch { entries, unknown, .. } = &mut *self.scratch;
        while !cursor.at_end() {
            let at = cursor.pos as u32;
            let (number, wire) = cursor.tag()?;
            let found =
                message.by_number(number).filter(|(_, field)| wire == field.wire || field.accepts(wire));
            let (index, field, value) = match found {
                Some((index, field)) => (index, field, value(&mut cursor, number, wire, depth)?),
                None if message.is_message_set && (number, wire) == message_set::ITEM => {
                    let (number, range) = message_set::item(&mut cursor, depth)?;
                    let Some((index, field)) = message.by_number(number) else {
                        *unknown += 1;
                        continue;
                    };
                    (index, field, pack(range))
                }
                None => {
                    *unknown += 1;
                    cursor.skip(number, wire, depth)?;
                    continue;
                }
            };
            let index = index as u16;
            let packed = field.wire != wire && field.accepts(wire);
            if entries.len() == most_entries {
                return Err(too_many(self.options));
            }
            entries.push(Entry { value, at, field: index, packed });
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

/// The value of a field that the message has, as [`Entry::value`] keeps it.
#[inline]
fn value(cursor: &mut Cursor<'_>, number: u32, wire: u8, depth: u32) -> wire::Result<u64> {
    Ok(match wire {
        wire_type::VARINT => cursor.varint()?,
        wire_type::LEN => pack(cursor.len_range()?),
        wire_type::FIXED64 => cursor.fixed64()?,
        wire_type::FIXED32 => u64::from(cursor.fixed32()?),
        _ => {
            let start = cursor.pos;
            pack((start, cursor.skip_group(number, depth)?))
        }
    })
}

/// Two positions as one value; messages are below 4 GiB.
#[inline]
fn pack((start, end): (usize, usize)) -> u64 {
    (start as u64) << 32 | end as u64
}
