//! `google.protobuf.Any`: the type its URL names decides how the bytes are printed.

use super::string::put_string;
use super::{Place, Printer, Result};
use crate::error::{ErrorKind, TranscodeError, shown_name};
use crate::schema::Kind;
use crate::wire::wire_type;

impl Printer<'_, '_> {
    /// `{"@type": …, fields…}`; well-known types have `"value"` instead of fields. The empty `Any` is `{}`. The level of
    /// the object has been taken.
    pub(super) fn any(&mut self, place: Place, depth: u32) -> Result<()> {
        let (mut url, mut value): (&[u8], _) = (&[], (0, 0));
        self.each_field(place, depth, |number, wire, cursor| {
            match (number, wire) {
                (1, wire_type::LEN) => url = cursor.len_bytes()?,
                (2, wire_type::LEN) => value = cursor.len_range()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if url.is_empty() && value.0 == value.1 {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        let Ok(url) = std::str::from_utf8(url) else {
            return Err(TranscodeError::new(ErrorKind::Upstream, "the type URL of an Any is not UTF-8"));
        };
        let message = url.rsplit_once('/').and_then(|(_, name)| self.schema.message(name));
        let Some(message) = message.map(|id| self.schema.message_at(id.0)) else {
            let what = format!("no message type is known for {:?}", shown_name(url.as_bytes()));
            return Err(TranscodeError::new(ErrorKind::Upstream, what).in_field("@type"));
        };
        let place = Place::Piece { start: value.0, end: value.1 };
        let start = self.out.len();
        self.out.extend_from_slice(b",\"@type\":");
        self.check_room(url.as_bytes(), Kind::String)?;
        put_string(&mut self.out, url);
        if message.well_known.is_some() {
            self.out.extend_from_slice(b",\"value\":");
            self.message(message, place, depth).map_err(|error| error.in_field("value"))?;
        } else {
            self.fields(message, place, depth)?;
        }
        self.close(start, b'{', b'}');
        Ok(())
    }
}
