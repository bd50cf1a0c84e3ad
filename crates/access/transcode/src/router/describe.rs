//! A binding in words: for those who show routes to a person.

use std::ops::Range;

use super::binding::{Binding, Body, PathVariable};
use crate::MessageId;

impl Binding {
    /// The `body` of the rule, by proto name: empty, `*`, or the field of the request that the HTTP body is.
    pub fn body_name(&self) -> &str {
        match self.body {
            Body::None => "",
            Body::All => "*",
            Body::Field(at) => self.field_name(self.input, at),
        }
    }

    /// The `response_body` of the rule, by proto name: empty, or the field of the response that the HTTP body is.
    pub fn response_body_name(&self) -> &str {
        self.response_body.map_or("", |at| self.field_name(self.output, at))
    }

    fn field_name(&self, message: MessageId, at: usize) -> &str {
        self.schema.message_at(message.0).fields.get(at).map_or("", |field| &field.name)
    }
}

impl PathVariable {
    /// The positions of its segments in the template.
    pub(crate) fn segments(&self) -> Range<usize> {
        usize::from(self.first)..usize::from(self.end)
    }
}
