//! A request message put together: the body first, then the parameters, the path last. On the wire the last value of a
//! field counts, so that the path wins.

use crate::error::{ErrorKind, TranscodeError};
use crate::percent::{self, Decode};
use crate::query::{self, Parameters};
use crate::router::{Binding, Body, Match};
use crate::wire_to_json::Printer;
use crate::{Options, Request, Target, Transcoder, mask, raw};

/// What the bytes of the HTTP body are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// JSON, as the rule's `body` says.
    Json,
    /// The data of a `google.api.HttpBody` with this media type.
    Raw(Option<&'a str>),
    /// A form: parameters of the whole message.
    Form,
}

impl Transcoder {
    pub(crate) fn request(
        &mut self,
        found: &Match<'_>,
        request: Request<'_>,
        content: Content<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        let done = self.assemble(found, request, content, out);
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    fn assemble(
        &mut self,
        found: &Match<'_>,
        request: Request<'_>,
        content: Content<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let binding = found.binding;
        let start = out.len();
        let (form, body): (&[u8], _) = match content {
            Content::Json => {
                self.json_body(binding, request.body, out)?;
                (&[], &binding.body)
            }
            Content::Raw(content_type) => {
                raw::put(binding, content_type, request.body, out);
                (&[], &binding.body)
            }
            Content::Form => (request.body, &Body::None),
        };
        let body_is_set = out.len() > start;
        let query = request.query.unwrap_or_default().as_bytes();
        let parameters = Parameters { binding, query, form, body, body_is_set };
        let any = !query.is_empty() || !form.is_empty();
        if any {
            parameters.bind(&mut self.query, out)?;
        }
        if let (Content::Json, true, Some(field)) = (content, body_is_set, binding.mask)
            && !(any && parameters.gave(field, &self.query))
        {
            mask::fill(binding, field, request.body, &mut self.mask, out)?;
        }
        self.path_variables(found, request.path, out)?;
        self.check_required(binding, out.get(start..).unwrap_or_default())
    }

    fn json_body(&mut self, binding: &Binding, json: &[u8], out: &mut Vec<u8>) -> Result<(), TranscodeError> {
        if json.is_empty() {
            return Ok(());
        }
        let message = binding.schema.message_at(binding.input().0);
        let target = Target { schema: &binding.schema, message: binding.input(), options: binding.options() };
        match &binding.body {
            Body::None => Ok(()),
            Body::All => self.encode(target, json, out, |encoder| encoder.document(message)),
            Body::Field(path) => {
                self.encode(target, json, out, |encoder| encoder.field_document(message, &path.steps))
            }
        }
    }

    fn path_variables(
        &mut self,
        found: &Match<'_>,
        path: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let binding = found.binding;
        let message = binding.schema.message_at(binding.input().0);
        for (variable, &(start, end)) in binding.variables.iter().zip(&found.spans) {
            let raw = path.as_bytes().get(usize::from(start)..usize::from(end)).unwrap_or_default();
            let mode = if variable.multi { Decode::Segments } else { Decode::Segment };
            self.text.clear();
            percent::decode(raw, mode, &mut self.text)
                .map_err(|_| TranscodeError::new(ErrorKind::Url, "the path has a broken percent-escape"))
                .and_then(|()| query::put(&binding.schema, message, &variable.field.steps, &self.text, out))
                .map_err(|error| error.in_field(&variable.field.text))?;
        }
        Ok(())
    }

    /// Only for messages that can hold required fields; the others pay nothing.
    fn check_required(&mut self, binding: &Binding, wire: &[u8]) -> Result<(), TranscodeError> {
        let message = binding.schema.message_at(binding.input().0);
        if !message.reaches_required {
            return Ok(());
        }
        let options: &Options = binding.options();
        Printer::new((&binding.schema, options), wire, &mut self.wire, Vec::new()).check_required(message)
    }
}
