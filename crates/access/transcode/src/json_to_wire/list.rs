//! Arrays to repeated fields.

use super::{Encoder, Result, scalar};
use crate::schema::Field;
use crate::wire::{close_len, open_len, put_varint};

impl<'s> Encoder<'s, '_> {
    /// The value of a repeated field: packed where the field says so, one tag an element otherwise.
    pub(super) fn list(&mut self, field: &'s Field, depth: u32) -> Result<()> {
        let depth = self.open(b'[', "an array", depth)?;
        if self.reader.take(b']') {
            return Ok(());
        }
        let packed = field.packed.then(|| {
            put_varint(&mut self.out, u64::from(field.tag));
            open_len(&mut self.out)
        });
        let mut index = 0usize;
        loop {
            self.count_element()?;
            self.element(field, packed.is_some(), depth).map_err(|error| error.in_index(index))?;
            if !self.reader.more(b']')? {
                break;
            }
            index += 1;
        }
        if let Some(start) = packed {
            close_len(&mut self.out, start);
        }
        Ok(())
    }

    #[inline]
    fn element(&mut self, field: &'s Field, packed: bool, depth: u32) -> Result<()> {
        if !packed {
            return self.tagged(field, false, depth).map(drop);
        }
        if let Some(bits) = self.numeric(field)? {
            scalar::put_numeric(&mut self.out, field.kind, bits);
        }
        Ok(())
    }
}
