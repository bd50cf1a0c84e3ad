//! The two directions behind one struct that keeps the scratch memory of a worker.

use crate::error::ErrorKind;
use crate::json::Reader;
use crate::json_to_wire::Encoder;
use crate::percent::{self, Decode};
use crate::router::{Binding, Body, Match};
use crate::status::Status;
use crate::wire_to_json::Printer;
use crate::wkt::base64;
use crate::{MessageId, Options, Schema, TranscodeError, json_to_wire, query, wire_to_json};

/// The parts of an HTTP request that become the message.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The path that [`Router::find`](crate::Router::find) was given.
    pub path: &'a str,
    /// The query string without its `?`.
    pub query: Option<&'a str>,
    /// The whole body. Empty is `{}`. Where the binding has no `body`, it is ignored.
    pub body: &'a [u8],
}

/// Transcodes messages, one after the other. Keep one per worker: after the first messages it allocates nothing.
#[derive(Debug, Default)]
pub struct Transcoder {
    json: json_to_wire::Scratch,
    wire: wire_to_json::Scratch,
    query: query::Scratch,
    /// A decoded path variable.
    text: Vec<u8>,
}

impl Transcoder {
    /// A transcoder with empty scratch memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the protobuf message of a request to `out`. On an error `out` is as it was.
    pub fn encode_request(
        &mut self,
        found: &Match<'_>,
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        let done = self.request(found, request, out);
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// Appends the JSON of a response message (one message of a stream) to `out`. On an error `out` is as it was.
    pub fn decode_response(
        &mut self,
        binding: &Binding,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let target =
            Target { schema: &binding.schema, message: binding.output(), options: binding.options() };
        let message = binding.schema.message_at(binding.output().0);
        self.print(target, wire, out, |printer| match binding.response_body {
            None => printer.document(message),
            Some(field) => printer.field_document(message, field),
        })
    }

    /// Appends a `google.rpc.Status` as JSON to `out`: `{"code":5,"message":"…","details":[{"@type":…}]}`. A detail
    /// that cannot be decoded is kept as `@type` and base64 `value`; malformed details are left out. Never fails.
    pub fn render_status(&mut self, schema: &Schema, status: Status<'_>, out: &mut Vec<u8>) {
        let mut details = std::mem::take(&mut self.text);
        details.clear();
        let decoded = status.details_bin.is_some_and(|text| base64::decode(text, &mut details));
        let options = Options::default();
        let wire = if decoded { details.as_slice() } else { &[] };
        let buffer = std::mem::take(out);
        let mut printer = Printer::new((schema, &options), wire, &mut self.wire, buffer);
        printer.status(status.code, status.message);
        *out = printer.out;
        self.text = details;
    }

    /// Appends the protobuf bytes of one JSON text to `out`. On an error `out` is as it was.
    pub fn json_to_wire(
        &mut self,
        target: Target<'_>,
        json: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let message = target.schema.message_at(target.message.0);
        self.encode(target, json, out, |encoder| encoder.document(message))
    }

    /// Appends the JSON text of one protobuf message to `out`. On an error `out` is as it was.
    pub fn wire_to_json(
        &mut self,
        target: Target<'_>,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let message = target.schema.message_at(target.message.0);
        self.print(target, wire, out, |printer| printer.document(message))
    }

    /// The body first and the path last: on the wire the last value of a field counts, so that the path wins.
    fn request(
        &mut self,
        found: &Match<'_>,
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let binding = found.binding;
        let message = binding.schema.message_at(binding.input().0);
        let target = Target { schema: &binding.schema, message: binding.input(), options: binding.options() };
        if !request.body.is_empty() {
            match binding.body {
                Body::None => {}
                Body::All => self.encode(target, request.body, out, |encoder| encoder.document(message))?,
                Body::Field(field) => {
                    if let Some(field) = message.fields.get(field) {
                        self.encode(target, request.body, out, |encoder| {
                            encoder.field_document(message, field)
                        })?;
                    }
                }
            }
        }
        if let Some(query) = request.query {
            query::bind(binding, query, &mut self.query, out)?;
        }
        for (variable, &(start, end)) in binding.variables.iter().zip(&found.spans) {
            let raw = request.path.as_bytes().get(usize::from(start)..usize::from(end)).unwrap_or_default();
            let mode = if variable.multi { Decode::Segments } else { Decode::Segment };
            self.text.clear();
            percent::decode(raw, mode, &mut self.text)
                .map_err(|_| TranscodeError::new(ErrorKind::Url, "the path has a broken percent-escape"))
                .and_then(|()| query::put(&binding.schema, message, &variable.field.steps, &self.text, out))
                .map_err(|error| error.in_field(&variable.field.text))?;
        }
        Ok(())
    }

    /// Lends `out` to an encoder and undoes what it wrote when it fails.
    fn encode<'s>(
        &'s mut self,
        target: Target<'s>,
        json: &[u8],
        out: &mut Vec<u8>,
        run: impl FnOnce(&mut Encoder<'s, '_>) -> Result<(), TranscodeError>,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        let reader = Reader::new(json)?;
        let buffer = std::mem::take(out);
        let mut encoder = Encoder::new((target.schema, target.options), reader, &mut self.json, buffer);
        let done = run(&mut encoder);
        *out = encoder.out;
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// The same with a printer.
    fn print<'s>(
        &'s mut self,
        target: Target<'s>,
        wire: &[u8],
        out: &mut Vec<u8>,
        run: impl FnOnce(&mut Printer<'s, '_>) -> Result<(), TranscodeError>,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        let mut printer =
            Printer::new((target.schema, target.options), wire, &mut self.wire, std::mem::take(out));
        let done = run(&mut printer);
        *out = printer.out;
        if done.is_err() {
            out.truncate(start);
        }
        done
    }
}

/// A message type and how to treat it, for transcoding without a route.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Where the type is from.
    pub schema: &'a Schema,
    /// The type.
    pub message: MessageId,
    /// Conventions and limits.
    pub options: &'a Options,
}
