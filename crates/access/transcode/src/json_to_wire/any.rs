//! `google.protobuf.Any`: the `@type` decides how the other keys are read, wherever among them it stands.

use super::{Encoder, Result};
use crate::error::{ErrorKind, TranscodeError, shown_name};
use crate::json::Text;
use crate::schema::Message;
use crate::wire::{close_len, open_len, put_tag, wire_type};

impl<'s, 'a> Encoder<'s, 'a> {
    /// An `Any`; `{}` is the empty one.
    pub(super) fn any(&mut self, depth: u32) -> Result<()> {
        let start = self.reader.pos;
        let inner_depth = self.open(b'{', "an object with \"@type\"", depth)?;
        if self.reader.take(b'}') {
            return Ok(());
        }
        let url = self.find_type(inner_depth)?;
        put_tag(&mut self.out, 1, wire_type::LEN);
        let url_start = open_len(&mut self.out);
        url.append_to(&mut self.out)?;
        let message = self.resolve(url, url_start)?;
        close_len(&mut self.out, url_start);
        put_tag(&mut self.out, 2, wire_type::LEN);
        let value_start = open_len(&mut self.out);
        if message.well_known.is_some() {
            self.wrapped(message, inner_depth)?;
        } else {
            self.reader.pos = start;
            self.object(message, depth, true)?;
        }
        close_len(&mut self.out, value_start);
        Ok(())
    }

    /// Looks ahead for `@type`, from the first key on, and leaves the reader there.
    fn find_type(&mut self, depth: u32) -> Result<Text<'a>> {
        let start = self.reader.pos;
        let mut ahead = self.reader;
        loop {
            let name = ahead.string()?;
            ahead.colon()?;
            if name.value(&mut self.scratch.text)? == b"@type" {
                if ahead.peek() != b'"' {
                    let at = ahead.pos;
                    return Err(ahead.mismatch(ErrorKind::Value, at, "a type URL").in_field("@type"));
                }
                let url = ahead.string()?;
                self.look_ahead = self.look_ahead.saturating_sub(name.at - start);
                return Ok(url);
            }
            ahead.skip_value(depth, &mut self.scratch.text)?;
            if ahead.pos - start > self.look_ahead {
                let what = "the \"@type\" of an Any comes too late: put it first";
                return Err(TranscodeError::at(ErrorKind::Limit, start, what));
            }
            if !ahead.more(b'}')? {
                let what = "an Any needs an \"@type\"";
                return Err(TranscodeError::at(ErrorKind::Value, start, what));
            }
        }
    }

    /// The message that the URL, which was just written at `start` of the output, names after its last slash.
    fn resolve(&self, url: Text<'_>, start: usize) -> Result<&'s Message> {
        let written = self.out.get(start..).unwrap_or_default();
        std::str::from_utf8(written)
            .ok()
            .and_then(|url| url.rsplit_once('/'))
            .and_then(|(_, name)| self.schema.message(name))
            .map(|id| self.schema.message_at(id.0))
            .ok_or_else(|| {
                let what = format!("no message type is known for {:?}", shown_name(written));
                TranscodeError::at(ErrorKind::Unknown, url.at, what).in_field("@type")
            })
    }

    /// A well-known type inside: `{"@type": …, "value": …}`, in either order and nothing else.
    fn wrapped(&mut self, message: &'s Message, depth: u32) -> Result<()> {
        let (mut seen_type, mut seen_value) = (false, false);
        loop {
            let name = self.reader.string()?;
            self.reader.colon()?;
            let (is_value, doubled) = match name.value(&mut self.scratch.text)? {
                b"@type" => (false, std::mem::replace(&mut seen_type, true)),
                b"value" => (true, std::mem::replace(&mut seen_value, true)),
                _ if self.options.ignore_unknown => (false, false),
                other => {
                    let what = "an Any of a well-known type has \"@type\" and \"value\" only";
                    let error = TranscodeError::at(ErrorKind::Unknown, name.at, what);
                    return Err(error.in_field(&shown_name(other)));
                }
            };
            if doubled {
                let name = if is_value { "value" } else { "@type" };
                return Err(self.duplicate("the field is there twice").in_field(name));
            }
            if is_value {
                self.message_value(message, depth).map_err(|error| error.in_field("value"))?;
            } else {
                self.reader.skip_value(depth, &mut self.scratch.text)?;
            }
            if !self.reader.more(b'}')? {
                break;
            }
        }
        if seen_value {
            return Ok(());
        }
        let what = "an Any of a well-known type needs a \"value\"";
        Err(TranscodeError::at(ErrorKind::Value, self.reader.pos, what))
    }
}
