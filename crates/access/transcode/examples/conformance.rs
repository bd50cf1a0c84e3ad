//! The testee of protobuf's official conformance suite, which `cargo xtask conformance` runs: the suite's runner starts
//! this program and sends it one test after the other.

use std::error::Error;
use std::io::{self, Read, Write};

use aqueduct_transcode::{MessageId, Options, Schema, Target, TranscodeError, Transcoder};
use prost::Message;

/// The suite's messages in all syntaxes (`tests/conformance/README.md`).
const TEST_MESSAGES: &[u8] = include_bytes!("../tests/conformance/test_messages.binpb");

/// What the first request asks for: tests that are expected to fail. There are none.
const FAILURE_SET: &str = "conformance.FailureSet";

/// `conformance.ConformanceRequest`.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(oneof = "Payload", tags = "1, 2, 7, 8")]
    payload: Option<Payload>,
    #[prost(int32, tag = "3")]
    output: i32,
    #[prost(string, tag = "4")]
    message_type: String,
    #[prost(int32, tag = "5")]
    category: i32,
}

/// JSON as bytes, so that it is the crate that sees what is not UTF-8.
#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(bytes, tag = "1")]
    Protobuf(Vec<u8>),
    #[prost(bytes, tag = "2")]
    Json(Vec<u8>),
    #[prost(bytes, tag = "7")]
    Jspb(Vec<u8>),
    #[prost(bytes, tag = "8")]
    Text(Vec<u8>),
}

/// `conformance.WireFormat`.
const PROTOBUF: i32 = 1;
const JSON: i32 = 2;

/// `conformance.TestCategory.JSON_IGNORE_UNKNOWN_PARSING_TEST`.
const IGNORE_UNKNOWN: i32 = 3;

/// `conformance.ConformanceResponse`.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(oneof = "Outcome", tags = "1, 2, 3, 4, 5, 6")]
    outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Outcome {
    #[prost(string, tag = "1")]
    ParseError(String),
    #[prost(string, tag = "2")]
    RuntimeError(String),
    #[prost(bytes, tag = "3")]
    Protobuf(Vec<u8>),
    #[prost(bytes, tag = "4")]
    Json(Vec<u8>),
    #[prost(string, tag = "5")]
    Skipped(String),
    #[prost(string, tag = "6")]
    SerializeError(String),
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut testee = Testee { schema: Schema::decode(TEST_MESSAGES)?, transcoder: Transcoder::new() };
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut length = [0; 4];
    // The runner closes the pipe when it has no more tests.
    while input.read_exact(&mut length).is_ok() {
        let mut request = vec![0; usize::try_from(u32::from_le_bytes(length))?];
        input.read_exact(&mut request)?;
        let outcome = testee.answer(&Request::decode(&*request)?);
        let response = Response { outcome: Some(outcome) }.encode_to_vec();
        output.write_all(&u32::try_from(response.len())?.to_le_bytes())?;
        output.write_all(&response)?;
        output.flush()?;
    }
    Ok(())
}

struct Testee {
    schema: Schema,
    transcoder: Transcoder,
}

impl Testee {
    fn answer(&mut self, request: &Request) -> Outcome {
        if request.message_type == FAILURE_SET {
            return Outcome::Protobuf(Vec::new());
        }
        let Some(message) = self.schema.message(&request.message_type) else {
            return Outcome::RuntimeError(format!("{} is not in the descriptors", request.message_type));
        };
        let options = Options { ignore_unknown: request.category == IGNORE_UNKNOWN, ..Options::default() };
        match (&request.payload, request.output) {
            (Some(Payload::Json(json)), PROTOBUF | JSON) => {
                self.answer_json(message, &options, json, request.output)
            }
            (Some(Payload::Protobuf(wire)), PROTOBUF | JSON) => {
                self.answer_wire(message, &options, wire, request.output)
            }
            _ => Outcome::Skipped("the crate knows protobuf and JSON only".to_owned()),
        }
    }

    fn answer_json(&mut self, message: MessageId, options: &Options, json: &[u8], output: i32) -> Outcome {
        let wire = match self.parse(message, options, json) {
            Ok(wire) => wire,
            Err(error) => return Outcome::ParseError(error.to_string()),
        };
        if output == PROTOBUF {
            return Outcome::Protobuf(wire);
        }
        match self.print(message, options, &wire) {
            Ok(json) => Outcome::Json(json),
            Err(error) => Outcome::SerializeError(error.to_string()),
        }
    }

    /// From protobuf to protobuf there is no way but through JSON. What JSON has no form for is lost on it: then the
    /// answer would say nothing of the crate.
    fn answer_wire(&mut self, message: MessageId, options: &Options, wire: &[u8], output: i32) -> Outcome {
        let json = match self.print(message, options, wire) {
            Ok(json) => json,
            // Malformed bytes have a place; a message that JSON cannot say has none.
            Err(error) if error.offset().is_some() => return Outcome::ParseError(error.to_string()),
            Err(error) => return Outcome::SerializeError(error.to_string()),
        };
        if output == JSON {
            return Outcome::Json(json);
        }
        if self.transcoder.unknown_fields() > 0 {
            return Outcome::Skipped("JSON has no form for unknown fields".to_owned());
        }
        match self.parse(message, options, &json) {
            Ok(wire) => Outcome::Protobuf(wire),
            Err(error) => Outcome::RuntimeError(error.to_string()),
        }
    }

    fn parse(
        &mut self,
        message: MessageId,
        options: &Options,
        json: &[u8],
    ) -> Result<Vec<u8>, TranscodeError> {
        let mut wire = Vec::new();
        let target = Target { schema: &self.schema, message, options };
        self.transcoder.json_to_wire(target, json, &mut wire).map(|()| wire)
    }

    fn print(
        &mut self,
        message: MessageId,
        options: &Options,
        wire: &[u8],
    ) -> Result<Vec<u8>, TranscodeError> {
        let mut json = Vec::new();
        let target = Target { schema: &self.schema, message, options };
        self.transcoder.wire_to_json(target, wire, &mut json).map(|()| json)
    }
}
