//! Turns HTTP+JSON into protobuf wire bytes and back, without I/O, as `google.api.http` describes.
//!
//! A [`Schema`] is compiled from a `FileDescriptorSet` into flat tables, a [`Router`] from the `google.api.http`
//! bindings of its services. Per request, [`Router::find`] picks a binding and the path variables, and a
//! [`Transcoder`] (one per worker: it keeps the scratch memory) writes the request's protobuf bytes straight from
//! the JSON body, and the response's JSON straight from the protobuf bytes. No message object is ever built.
//!
//! ```
//! use aqueduct_transcode::{Options, Schema, Target, Transcoder};
//!
//! // The well-known types and google.rpc's error details are built in, so that an empty set will do here.
//! let schema = Schema::decode(&[])?;
//! let message = schema.message("google.rpc.BadRequest.FieldViolation").ok_or("not there")?;
//! let target = Target { schema: &schema, message, options: &Options::default() };
//! let mut transcoder = Transcoder::new();
//!
//! let mut wire = Vec::new();
//! transcoder.json_to_wire(target, br#"{"field": "sku", "description": "is empty"}"#, &mut wire)?;
//! assert_eq!(wire, b"\x0a\x03sku\x12\x08is empty");
//!
//! let mut json = Vec::new();
//! transcoder.wire_to_json(target, &wire, &mut json)?;
//! assert_eq!(json, br#"{"field":"sku","description":"is empty"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![expect(
    clippy::cast_possible_truncation,
    reason = "protobuf itself cuts 64-bit varints to the width of the field; positions are bounded where they are made"
)]

mod error;
mod json;
mod json_to_wire;
mod mask;
mod openapi;
mod options;
mod percent;
mod query;
mod raw;
mod request;
mod router;
mod schema;
mod splitter;
mod status;
mod swar;
mod template;
mod text_value;
mod transcoder;
mod wire;
mod wire_to_json;
mod wkt;

pub use error::{ErrorKind, TranscodeError};
pub use openapi::ApiInfo;
pub use options::{Defaults, Options};
pub use router::{
    Binding, BodyRule, Detached, Lookup, Match, RouteError, Router, RouterBuilder, Shadow, Taker,
};
pub use schema::{Comments, MessageId, Method, Schema, SchemaError, Service};
pub use splitter::{Split, Splitter};
pub use status::{Code, Status, decode_grpc_message};
pub use transcoder::{Request, Target, Transcoder};
pub use wire_to_json::RawBody;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
