//! Required fields (proto2 `required`, editions `LEGACY_REQUIRED`): whether a request that was put together has them all.
//! Only then is it known, since path, query and body may each bring a piece of one message.

use super::scan::Entry;
use super::{Place, Printer, Result};
use crate::error::{ErrorKind, TranscodeError};
use crate::options::MAX_DEPTH;
use crate::schema::{Field, Message, Shape};

/// Deeper than any request that was made: the JSON, and the steps to the field that it is.
const DEPTH: u32 = 2 * MAX_DEPTH;

impl<'s> Printer<'s, '_> {
    /// Names the first required field that the message lacks. What an `Any` holds is not looked at.
    pub(crate) fn check_required(&mut self, message: &'s Message) -> Result<()> {
        let place = self.whole()?;
        self.required(message, place, DEPTH)
    }

    fn required(&mut self, message: &'s Message, place: Place, depth: u32) -> Result<()> {
        if !message.reaches_required {
            return Ok(());
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Err(TranscodeError::new(ErrorKind::Limit, "the message is nested too deep"));
        };
        let base = self.scan(message, place, depth)?;
        let end = self.scratch.entries.len();
        let mut from = base;
        for (field, index) in message.fields.iter().zip(0u16..) {
            let mut to = from;
            while to < end && self.entry(to).is_some_and(|entry| entry.field == index) {
                to += 1;
            }
            if field.required && from == to {
                let error = TranscodeError::new(ErrorKind::Value, "the field is required");
                return Err(error.in_field(&field.json_name));
            }
            if from < to && field.is_message() {
                self.required_in(field, from, to, depth).map_err(|error| error.in_field(&field.json_name))?;
            }
            from = to;
        }
        self.scratch.entries.truncate(base);
        Ok(())
    }

    /// The messages of a field, whose occurrences are the entries `from..to`.
    fn required_in(&mut self, field: &'s Field, from: usize, to: usize, depth: u32) -> Result<()> {
        let message = self.schema.message_of(field);
        if !field.is_repeated() {
            return self.required(message, Place::Entries { from, to }, depth);
        }
        for at in from..to {
            let Some(entry) = self.entry(at) else { break };
            if field.shape == Shape::Map {
                self.required_in_entry(message, entry, depth)?;
            } else {
                let checked = self.required(message, entry.place(), depth);
                checked.map_err(|error| error.in_index(at - from))?;
            }
        }
        Ok(())
    }

    /// The value of a map entry, which is named by its key.
    fn required_in_entry(&mut self, message: &'s Message, entry: Entry, depth: u32) -> Result<()> {
        let [key_field, value_field] = &*message.fields else { return Ok(()) };
        if !value_field.is_message() {
            return Ok(());
        }
        let base = self.scan(message, entry.place(), depth)?;
        let end = self.scratch.entries.len();
        let entries = self.scratch.entries.get(base..).unwrap_or_default();
        let from = base + entries.partition_point(|entry| entry.field == 0);
        let key = self.entry(from.wrapping_sub(1)).filter(|_| from > base);
        let value = self.schema.message_of(value_field);
        if let Err(error) = self.required(value, Place::Entries { from, to: end }, depth) {
            let start = self.out.len();
            self.put_map_key(key_field, key)?;
            return Err(error.in_index(String::from_utf8_lossy(self.out.get(start..).unwrap_or_default())));
        }
        self.scratch.entries.truncate(base);
        Ok(())
    }
}
