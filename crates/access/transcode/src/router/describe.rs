//! A binding in words: for those who show routes to a person.

use std::ops::Range;

use super::binding::{Binding, Body, PathVariable};
impl Binding {
    /// The `body` of the rule, as it is written: empty, `*`, or the field of the request that the HTTP body is.
    pub fn body_name(&self) -> &str {
        match &self.body {
            Body::None => "",
            Body::All => "*",
            Body::Field(path) => &path.text,
        }
    }

    /// The `response_body` of the rule, as it is written: empty, or the field of the response that the HTTP body is.
    pub fn response_body_name(&self) -> &str {
        self.response_body.as_ref().map_or("", |path| &path.text)
    }
}

impl PathVariable {
    /// The positions of its segments in the template.
    pub(crate) fn segments(&self) -> Range<usize> {
        usize::from(self.first)..usize::from(self.end)
    }
}
