//! `option message_set_wire_format`: each extension lies in a group of its number and its message, not in a field.

use crate::wire::{Cursor, Result, wire_type};

/// `repeated group Item = 1`.
pub(super) const ITEM: (u32, u8) = (1, wire_type::GROUP_START);

/// Reads an item whose tag was taken: `required int32 type_id = 2; required bytes message = 3`, in either order. Gives
/// the number of the extension, 0 where there is none, and the range of its message. Of several the first counts.
#[cold]
pub(super) fn item(cursor: &mut Cursor<'_>, depth: u32) -> Result<(u32, (usize, usize))> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(cursor.error("groups are nested too deep"));
    };
    let (mut number, mut message) = (None, None);
    loop {
        if cursor.at_end() {
            return Err(cursor.error("the group has no end"));
        }
        match cursor.tag()? {
            (1, wire_type::GROUP_END) => break,
            (2, wire_type::VARINT) => {
                let found = cursor.varint()?;
                number.get_or_insert(found);
            }
            (3, wire_type::LEN) => {
                let found = cursor.len_range()?;
                message.get_or_insert(found);
            }
            (other, wire) => cursor.skip(other, wire, depth)?,
        }
    }
    let number = number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    Ok((number, message.unwrap_or_default()))
}
