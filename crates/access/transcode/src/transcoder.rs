//! The two directions behind one struct that keeps the scratch memory of a worker.

use crate::json::Reader;
use crate::json_to_wire::Encoder;
use crate::request::Content;
use crate::router::{Binding, Match};
use crate::status::Status;
use crate::wire_to_json::{Printer, RawBody};
use crate::wkt::base64;
use crate::{MessageId, Options, Schema, TranscodeError, json_to_wire, mask, query, raw, wire_to_json};

/// The parts of an HTTP request that become the message.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The path that [`Router::find`](crate::Router::find) was given.
    pub path: &'a str,
    /// The query string without its `?`.
    pub query: Option<&'a str>,
    /// The whole body, or one element of a client stream. Empty is `{}`. Where the binding has no `body`, it is ignored.
    pub body: &'a [u8],
}

/// Transcodes messages, one after the other. Keep one per worker: after the first messages it allocates nothing.
#[derive(Debug, Default)]
pub struct Transcoder {
    json: json_to_wire::Scratch,
    pub(crate) wire: wire_to_json::Scratch,
    pub(crate) query: query::Scratch,
    pub(crate) mask: mask::Scratch,
    /// A decoded path variable.
    pub(crate) text: Vec<u8>,
}

impl Transcoder {
    /// A transcoder with empty scratch memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the protobuf message of a request to `out`. On an error `out` is as it was.
    ///
    /// Of a client stream each element is a request of its own: path and query are bound in every message. Add the
    /// element's place in the stream to an error with [`TranscodeError::shifted`].
    pub fn encode_request(
        &mut self,
        found: &Match<'_>,
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        self.request(found, request, Content::Json, out)
    }

    /// The same where the binding's [`request_is_raw`](Binding::request_is_raw): the bytes of the body, whatever they
    /// are, become the `data` of a `google.api.HttpBody`, with their media type. Elsewhere the body is ignored.
    pub fn encode_raw_request(
        &mut self,
        found: &Match<'_>,
        request: Request<'_>,
        content_type: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        self.request(found, request, Content::Raw(content_type), out)
    }

    /// Appends a message that has the next piece of a raw body and nothing else. Of a client stream the first piece
    /// goes through [`encode_raw_request`](Self::encode_raw_request), which adds media type, path and query.
    pub fn encode_raw_piece(binding: &Binding, data: &[u8], out: &mut Vec<u8>) {
        raw::put(binding, None, data, out);
    }

    /// [`encode_request`](Self::encode_request) for a body of `application/x-www-form-urlencoded`: its parameters are
    /// bound like those of the query, and together with them, whatever the rule's `body` is.
    pub fn encode_form_request(
        &mut self,
        found: &Match<'_>,
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        self.request(found, request, Content::Form, out)
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
        self.print(target, wire, out, |printer| match &binding.response_body {
            None => printer.document(message),
            Some(path) => printer.field_document(message, &path.steps),
        })
    }

    /// Finds the `google.api.HttpBody` of a response message (one message of a stream), where the binding's
    /// [`response_is_raw`](Binding::response_is_raw); elsewhere there is none.
    pub fn decode_raw_response<'w>(
        &mut self,
        binding: &Binding,
        wire: &'w [u8],
    ) -> Result<RawBody<'w>, TranscodeError> {
        let message = binding.schema.message_at(binding.output().0);
        if !binding.response_is_raw() {
            return Ok(RawBody { content_type: None, data: 0..0 });
        }
        let steps: &[u16] = binding.response_body.as_ref().map_or(&[], |path| &path.steps);
        Printer::new((&binding.schema, binding.options()), wire, &mut self.wire, Vec::new())
            .raw_body(message, steps)
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

    /// How many fields of the last response (or values of closed enums) the schema did not know. They are left out of
    /// the JSON, which has no form for them: more than 0 says that the descriptors are older than the upstream.
    pub fn unknown_fields(&self) -> u64 {
        self.wire.unknown
    }

    /// Lends `out` to an encoder and undoes what it wrote when it fails.
    pub(crate) fn encode<'s>(
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
