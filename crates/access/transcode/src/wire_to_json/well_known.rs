//! Messages whose JSON form is not an object of their fields.

use super::{Place, Printer, Result, level};
use crate::error::{ErrorKind, TranscodeError};
use crate::schema::{Kind, Message, WellKnown};
use crate::wire::{Cursor, wire_type};
use crate::wkt::{duration, field_mask, timestamp};

impl<'s, 'a> Printer<'s, 'a> {
    pub(super) fn well_known(
        &mut self,
        kind: WellKnown,
        message: &'s Message,
        place: Place,
        depth: u32,
    ) -> Result<()> {
        match kind {
            WellKnown::Any => self.any(place, level(depth)?),
            WellKnown::Timestamp => {
                self.seconds(place, timestamp::put, "the timestamp is out of range", depth)
            }
            WellKnown::Duration => self.seconds(place, duration::put, "the duration is out of range", depth),
            WellKnown::FieldMask => self.field_mask(place, depth),
            WellKnown::Value => self.value_message(message, place, depth),
            WellKnown::Struct | WellKnown::ListValue => self.only_field(message, place, level(depth)?),
            WellKnown::Wrapper(_) => self.only_field(message, place, depth),
        }
    }

    /// Calls `visit` with the tag of each field of a message, and the cursor behind it; `visit` says whether it read
    /// the value.
    pub(super) fn each_field(
        &mut self,
        place: Place,
        depth: u32,
        mut visit: impl FnMut(u32, u8, &mut Cursor<'a>) -> crate::wire::Result<bool>,
    ) -> Result<()> {
        let mut unknown = 0;
        let mut piece = |mut cursor: Cursor<'a>| {
            while !cursor.at_end() {
                let (number, wire) = cursor.tag()?;
                if !visit(number, wire, &mut cursor)? {
                    unknown += 1;
                    cursor.skip(number, wire, depth)?;
                }
            }
            Ok(())
        };
        let done = match place {
            Place::Piece { start, end } => piece(self.cursor(start, end)),
            Place::Entries { from, to } => (from..to).filter_map(|at| self.entry(at)).try_for_each(|entry| {
                let (start, end) = entry.range();
                piece(self.cursor(start, end))
            }),
        };
        self.scratch.unknown += unknown;
        done
    }

    /// Timestamp and Duration: `seconds = 1`, `nanos = 2`.
    fn seconds(
        &mut self,
        place: Place,
        put: fn(i64, i32, &mut Vec<u8>) -> bool,
        out_of_range: &'static str,
        depth: u32,
    ) -> Result<()> {
        let (mut seconds, mut nanos) = (0, 0);
        self.each_field(place, depth, |number, wire, cursor| {
            match (number, wire) {
                (1, wire_type::VARINT) => seconds = cursor.varint()?.cast_signed(),
                (2, wire_type::VARINT) => nanos = cursor.varint()? as i32,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        self.out.push(b'"');
        if !put(seconds, nanos, &mut self.out) {
            return Err(TranscodeError::new(ErrorKind::Upstream, out_of_range));
        }
        self.out.push(b'"');
        Ok(())
    }

    /// `paths = 1`, joined by commas.
    fn field_mask(&mut self, place: Place, depth: u32) -> Result<()> {
        let mut out = std::mem::take(&mut self.out);
        out.push(b'"');
        let mut ok = true;
        let mut first = true;
        let done = self.each_field(place, depth, |number, wire, cursor| {
            if (number, wire) != (1, wire_type::LEN) {
                return Ok(false);
            }
            let path = cursor.len_bytes()?;
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            ok &= field_mask::to_camel(path, &mut out);
            Ok(true)
        });
        out.push(b'"');
        self.out = out;
        done?;
        if ok {
            Ok(())
        } else {
            Err(TranscodeError::new(ErrorKind::Upstream, "the field mask has no JSON form"))
        }
    }

    /// Types that stand for their one field: the wrappers, Struct and ListValue.
    fn only_field(&mut self, message: &'s Message, place: Place, depth: u32) -> Result<()> {
        let Some(field) = message.fields.first() else { return Ok(()) };
        let base = self.scan(message, place, depth)?;
        let end = self.scratch.entries.len();
        if base == end || !self.value(field, base, end, depth)? {
            self.default_value(field);
        }
        self.scratch.entries.truncate(base);
        Ok(())
    }

    /// `google.protobuf.Value`: whichever member of its oneof is set; JSON's `null` when none is.
    fn value_message(&mut self, message: &'s Message, place: Place, depth: u32) -> Result<()> {
        let base = self.scan(message, place, depth)?;
        let end = self.scratch.entries.len();
        let entry = self.entry(base).filter(|_| base < end);
        let field = entry.and_then(|entry| message.fields.get(usize::from(entry.field)));
        let Some((entry, field)) = entry.zip(field) else {
            self.out.extend_from_slice(b"null");
            return Ok(());
        };
        if field.kind == Kind::Double && !f64::from_bits(entry.bits()).is_finite() {
            let what = "a number in a google.protobuf.Value must be finite";
            return Err(TranscodeError::new(ErrorKind::Upstream, what));
        }
        self.value(field, base, end, depth)?;
        self.scratch.entries.truncate(base);
        Ok(())
    }
}
