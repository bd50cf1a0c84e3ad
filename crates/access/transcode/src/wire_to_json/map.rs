//! Map fields to objects: of entries with one key, the last one counts.

use super::scan::{DEAD, Entry};
use super::{Place, Printer, Result, scalar};
use crate::error::{TranscodeError, shown_name};
use crate::schema::{Field, Kind, Message, Shape};

/// The key of an entry, comparable.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapKey {
    /// The value of an integer; the first eight bytes of a string.
    prefix: u64,
    /// A string's bytes; empty for integers.
    start: u32,
    end: u32,
    /// Position of the map entry among the entries.
    entry: usize,
}

impl<'s> Printer<'s, '_> {
    /// `{…}` from the entries `from..to`; false when none of them counts.
    pub(super) fn map(&mut self, field: &'s Field, from: usize, to: usize, depth: u32) -> Result<bool> {
        let message = self.schema.message_of(field);
        if to - from > 1 {
            self.drop_replaced(message, from, to)?;
        }
        let start = self.out.len();
        for at in from..to {
            let Some(entry) = self.entry(at).filter(|entry| entry.field != DEAD) else { continue };
            self.count_element()?;
            self.map_entry(message, entry, depth)?;
        }
        let any = self.out.len() > start;
        self.close(start, b'{', b'}');
        Ok(any)
    }

    /// `,"key":value`. An entry is a message of two fields, either of which may be absent, doubled or in pieces.
    fn map_entry(&mut self, message: &'s Message, entry: Entry, depth: u32) -> Result<()> {
        let [key_field, value_field] = &*message.fields else { return Ok(()) };
        let base = self.scan(message, entry.place(), depth)?;
        let end = self.scratch.entries.len();
        let keys = self.scratch.entries.get(base..).unwrap_or_default();
        let values = base + keys.partition_point(|entry| entry.field == 0);
        let rollback = self.out.len();
        self.out.push(b',');
        let key = self.entry(values.wrapping_sub(1)).filter(|_| values > base);
        self.put_map_key(key_field, key)?;
        self.out.push(b':');
        if values == end {
            self.absent_value(value_field, depth)?;
        } else {
            let value_at = self.out.len();
            match self.map_value(value_field, values, end, depth) {
                Ok(true) => {}
                // To a closed enum, an entry with a number it does not have is an unknown field.
                Ok(false) => self.out.truncate(rollback),
                Err(error) => {
                    let key = self.out.get(rollback + 1..value_at - 1).unwrap_or_default();
                    return Err(error.in_index(shown_name(key)));
                }
            }
        }
        self.scratch.entries.truncate(base);
        Ok(())
    }

    /// Unlike a field without presence, the value of an entry is printed even when it is the default.
    fn map_value(&mut self, field: &'s Field, from: usize, to: usize, depth: u32) -> Result<bool> {
        match self.entry(to - 1) {
            Some(entry) if field.shape == Shape::Implicit => self.single(field, entry),
            _ => self.value(field, from, to, depth),
        }
    }

    fn absent_value(&mut self, field: &'s Field, depth: u32) -> Result<()> {
        if field.is_message() {
            return self.message(self.schema.message_of(field), Place::Piece { start: 0, end: 0 }, depth);
        }
        self.default_value(field);
        Ok(())
    }

    pub(super) fn put_map_key(&mut self, field: &Field, entry: Option<Entry>) -> Result<()> {
        match (field.kind, entry) {
            (Kind::String, Some(entry)) => self.text(field, entry),
            (Kind::String, None) => {
                self.out.extend_from_slice(b"\"\"");
                Ok(())
            }
            (kind, entry) => {
                let bits = entry.map_or(0, Entry::bits);
                let quoted = matches!(
                    kind,
                    Kind::Int64 | Kind::SInt64 | Kind::SFixed64 | Kind::UInt64 | Kind::Fixed64
                );
                if quoted {
                    self.put_number(field, scalar::canonical(kind, bits));
                } else {
                    self.out.push(b'"');
                    self.put_number(field, scalar::canonical(kind, bits));
                    self.out.push(b'"');
                }
                Ok(())
            }
        }
    }

    /// Marks the map entries that a later one with the same key replaces.
    fn drop_replaced(&mut self, message: &'s Message, from: usize, to: usize) -> Result<()> {
        let first = self.scratch.keys.len();
        for at in from..to {
            let key = self.map_key(message, at)?;
            self.scratch.keys.push(key);
        }
        let wire = self.wire;
        let bytes = |key: &MapKey| wire.get(key.start as usize..key.end as usize).unwrap_or_default();
        let keys = self.scratch.keys.get_mut(first..).unwrap_or_default();
        keys.sort_unstable_by(|a, b| {
            a.prefix.cmp(&b.prefix).then_with(|| bytes(a).cmp(bytes(b))).then(a.entry.cmp(&b.entry))
        });
        for pair in keys.windows(2) {
            if pair[0].prefix == pair[1].prefix
                && bytes(&pair[0]) == bytes(&pair[1])
                && let Some(replaced) = self.scratch.entries.get_mut(pair[0].entry)
            {
                replaced.field = DEAD;
            }
        }
        self.scratch.keys.truncate(first);
        Ok(())
    }

    fn map_key(&self, message: &Message, at: usize) -> Result<MapKey> {
        let mut key = MapKey { prefix: 0, start: 0, end: 0, entry: at };
        let (Some(entry), Some(field)) = (self.entry(at), message.fields.first()) else { return Ok(key) };
        let (start, end) = entry.range();
        let mut cursor = self.cursor(start, end);
        while !cursor.at_end() {
            let (number, wire) = cursor.tag()?;
            if number != 1 || wire != field.kind.wire_type() {
                cursor.skip(number, wire, self.options.depth())?;
            } else if field.kind == Kind::String {
                let (start, end) = cursor.len_range()?;
                let mut prefix = [0; 8];
                let bytes = self.wire.get(start..end).unwrap_or_default();
                prefix.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
                (key.prefix, key.start, key.end) = (u64::from_be_bytes(prefix), start as u32, end as u32);
            } else {
                let bits = scalar::read_bits(&mut cursor, field.kind).map_err(TranscodeError::from)?;
                key.prefix = scalar::canonical(field.kind, bits);
            }
        }
        Ok(key)
    }
}
