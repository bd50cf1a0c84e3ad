//! The two directions behind one struct that keeps the scratch memory of a worker.

use crate::json::Reader;
use crate::json_to_wire::Encoder;
use crate::router::{Binding, Match};
use crate::status::Status;
use crate::wire_to_json::Printer;
use crate::{MessageId, Options, Schema, TranscodeError, json_to_wire, wire_to_json};

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
        let _ = (found, request, out);
        Ok(())
    }

    /// Appends the JSON of a response message (one message of a stream) to `out`. On an error `out` is as it was.
    pub fn decode_response(
        &mut self,
        binding: &Binding,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let _ = (binding, wire, out);
        Ok(())
    }

    /// Appends a `google.rpc.Status` as JSON to `out`: `{"code":5,"message":"…","details":[{"@type":…}]}`. A detail
    /// that cannot be decoded is kept as `@type` and base64 `value`; malformed details are left out. Never fails.
    pub fn render_status(&mut self, schema: &Schema, status: Status<'_>, out: &mut Vec<u8>) {
        let _ = (schema, status, out);
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
