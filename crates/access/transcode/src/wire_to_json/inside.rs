//! A field somewhere inside the message, alone: `response_body`, and the raw bytes of a `google.api.HttpBody`.

use super::{Place, Printer, Result};
use crate::error::{ErrorKind, TranscodeError};
use crate::schema::{Field, Kind, Message, Shape, WellKnown};

/// The parts of a `google.api.HttpBody`, as ranges of the wire message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBody<'a> {
    /// The media type of `data`; `None` when the upstream did not give one.
    pub content_type: Option<&'a str>,
    /// Where the body is in the wire message; empty when there is none.
    pub data: std::ops::Range<usize>,
}

/// The occurrences of a field, as a range of the entries.
#[derive(Debug, Clone, Copy)]
struct Found<'s> {
    field: &'s Field,
    from: usize,
    to: usize,
}

impl<'s, 'a> Printer<'s, 'a> {
    /// The field at the end of `steps` as JSON; when it is absent, what its type has for nothing.
    pub(crate) fn field_document(&mut self, message: &'s Message, steps: &[u16]) -> Result<()> {
        let Some(Found { field, from, to }) = self.inside(message, steps)? else { return Ok(()) };
        let printed = from < to && self.value(field, from, to, self.options.depth())?;
        if !printed {
            self.absent(field);
        }
        self.check_output()
    }

    /// The parts of the HttpBody at the end of `steps`, or that the message itself is. In pieces or not, the last
    /// value of each part counts.
    pub(crate) fn raw_body(&mut self, message: &'s Message, steps: &[u16]) -> Result<RawBody<'a>> {
        let (message, place) = match self.inside(message, steps)? {
            None => (message, self.whole()?),
            Some(Found { field, from, to }) => (self.schema.message_of(field), Place::Entries { from, to }),
        };
        let base = self.scan(message, place, self.options.depth())?;
        let mut body = RawBody { content_type: None, data: 0..0 };
        for entry in self.scratch.entries.get(base..).unwrap_or_default() {
            let (start, end) = entry.range();
            match message.fields.get(usize::from(entry.field)).map_or(0, |field| field.number) {
                1 => {
                    let text = std::str::from_utf8(self.wire.get(start..end).unwrap_or_default());
                    let text = text.map_err(|error| {
                        let at = start + error.valid_up_to();
                        let error = TranscodeError::at(ErrorKind::Upstream, at, "the string is not UTF-8");
                        error.in_field("contentType")
                    })?;
                    body.content_type = Some(text).filter(|text| !text.is_empty());
                }
                2 => body.data = start..end,
                _ => {}
            }
        }
        Ok(body)
    }

    /// Goes down to the field at the end of `steps`; `None` when there are no steps. All steps but the last are
    /// singular messages, which may come in pieces.
    fn inside(&mut self, mut message: &'s Message, steps: &[u16]) -> Result<Option<Found<'s>>> {
        let mut place = self.whole()?;
        let mut found = None;
        for &step in steps {
            let base = self.scan(message, place, self.options.depth())?;
            let Some(field) = message.fields.get(usize::from(step)) else { break };
            let entries = self.scratch.entries.get(base..).unwrap_or_default();
            let from = base + entries.partition_point(|entry| entry.field < step);
            let to = base + entries.partition_point(|entry| entry.field <= step);
            found = Some(Found { field, from, to });
            if field.is_message() {
                message = self.schema.message_of(field);
                place = Place::Entries { from, to };
            }
        }
        Ok(found)
    }

    /// Nothing, so that a client can always read the answer as JSON of the field's type: an empty object or array for
    /// what is written as one, the default of a field without presence, otherwise `null`.
    fn absent(&mut self, field: &'s Field) {
        if field.shape != Shape::Explicit {
            return self.default_value(field);
        }
        let known = match field.kind {
            Kind::Message | Kind::Group => self.schema.message_of(field).well_known,
            _ => return self.out.extend_from_slice(b"null"),
        };
        let text: &[u8] = match known {
            None | Some(WellKnown::Struct | WellKnown::Any) => b"{}",
            Some(WellKnown::ListValue) => b"[]",
            Some(_) => b"null",
        };
        self.out.extend_from_slice(text);
    }
}
