//! Objects to map fields, refusing keys that are there twice.

use super::{Encoder, Result, scalar};
use crate::error::{ErrorKind, TranscodeError, shown_name};
use crate::json::{Text, number};
use crate::schema::{Field, Kind};
use crate::wire::{Cursor, close_len, open_len, put_varint};

/// Where the content of a key was written. Keys are compared by their wire bytes, so that `"1"` and `"1.0"` are one.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeySpan {
    /// The first eight bytes, which settle most comparisons.
    prefix: u64,
    start: usize,
    end: usize,
}

impl<'s> Encoder<'s, '_> {
    /// The value of a map field: an entry message for each member.
    pub(super) fn map(&mut self, field: &'s Field, depth: u32) -> Result<()> {
        let depth = self.open(b'{', "an object", depth)?;
        if self.reader.take(b'}') {
            return Ok(());
        }
        let entry = self.schema.message_of(field);
        let [key, value] = &*entry.fields else { return Ok(()) };
        let first = self.scratch.keys.len();
        loop {
            self.count_element()?;
            let text = self.string_value("a map key in quotes")?;
            self.entry(field, (key, value), text, depth).map_err(|error| in_key(error, text))?;
            if !self.reader.more(b'}')? {
                break;
            }
        }
        self.check_keys(first, key.kind)?;
        self.scratch.keys.truncate(first);
        Ok(())
    }

    fn entry(
        &mut self,
        field: &Field,
        (key, value): (&Field, &'s Field),
        text: Text<'_>,
        depth: u32,
    ) -> Result<()> {
        let rollback = self.out.len();
        put_varint(&mut self.out, u64::from(field.tag));
        let start = open_len(&mut self.out);
        put_varint(&mut self.out, u64::from(key.tag));
        let key_start = self.out.len();
        self.put_key(key, text)?;
        let key_end = self.out.len();
        self.reader.colon()?;
        if !self.tagged(value, false, depth)? {
            self.out.truncate(rollback);
            return Ok(());
        }
        let before = self.out.len();
        close_len(&mut self.out, start);
        // Closing may have moved the content to make room for its length.
        let moved = self.out.len() - before;
        let (start, end) = (key_start + moved, key_end + moved);
        self.scratch.keys.push(KeySpan { prefix: prefix(self.out.get(start..end)), start, end });
        Ok(())
    }

    fn put_key(&mut self, key: &Field, text: Text<'_>) -> Result<()> {
        if key.kind == Kind::String {
            return self.put_text(text);
        }
        let name = text.value(&mut self.scratch.text)?;
        let Some(bits) = key_bits(key.kind, name) else {
            let expected = format!("a key that is {}", scalar::article(key.kind));
            return Err(self.reader.mismatch(ErrorKind::Value, text.at - 1, &expected));
        };
        scalar::put_numeric(&mut self.out, key.kind, bits);
        Ok(())
    }

    /// Sorts the keys of the map that just ended, so that equal ones meet.
    fn check_keys(&mut self, first: usize, kind: Kind) -> Result<()> {
        let out = &self.out;
        let bytes = |key: &KeySpan| out.get(key.start..key.end).unwrap_or_default();
        let keys = self.scratch.keys.get_mut(first..).unwrap_or_default();
        if keys.len() < 2 {
            return Ok(());
        }
        keys.sort_unstable_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| bytes(a).cmp(bytes(b))));
        let equal = |a: &KeySpan, b: &KeySpan| a.prefix == b.prefix && bytes(a) == bytes(b);
        let Some([key, _]) = keys.windows(2).find(|pair| equal(&pair[0], &pair[1])) else { return Ok(()) };
        let error = TranscodeError::at(ErrorKind::Duplicate, self.reader.pos, "a key is there twice");
        // Only a string shows what it is; it stands behind its length.
        match Cursor::new(bytes(key)).len_bytes() {
            Ok(text) if kind == Kind::String => Err(error.in_index(format_args!("{:?}", shown_name(text)))),
            _ => Err(error),
        }
    }
}

/// The wire bits of a map key that is not a string.
pub(crate) fn key_bits(kind: Kind, text: &[u8]) -> Option<u64> {
    match (kind, text) {
        (Kind::Bool, b"true") => Some(1),
        (Kind::Bool, b"false") => Some(0),
        (Kind::Bool, _) => None,
        _ if number::scan(text) == Ok(text.len()) => scalar::integer_bits(kind, number::integer(text).ok()?),
        _ => None,
    }
}

/// The start of a key as a number; shorter keys are filled up with zeros.
fn prefix(bytes: Option<&[u8]>) -> u64 {
    let mut buffer = [0; 8];
    for (slot, byte) in buffer.iter_mut().zip(bytes.unwrap_or_default()) {
        *slot = *byte;
    }
    u64::from_be_bytes(buffer)
}

#[cold]
fn in_key(error: TranscodeError, key: Text<'_>) -> TranscodeError {
    error.in_index(format_args!("\"{}\"", shown_name(key.raw)))
}
