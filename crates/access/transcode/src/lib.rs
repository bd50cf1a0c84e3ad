//! Turns HTTP+JSON into protobuf wire bytes and back, without I/O, as `google.api.http` describes.
//!
//! A [`Schema`] is compiled from a `FileDescriptorSet` into flat tables, a [`Router`] from the `google.api.http`
//! bindings of its services. Per request, [`Router::find`] picks a binding and the path variables, and a
//! [`Transcoder`] (one per worker: it keeps the scratch memory) writes the request's protobuf bytes straight from
//! the JSON body, and the response's JSON straight from the protobuf bytes. No message object is ever built.

#![expect(
    clippy::cast_possible_truncation,
    reason = "protobuf itself cuts 64-bit varints to the width of the field; positions are bounded where they are made"
)]

mod error;
mod json;
mod json_to_wire;
mod options;
mod percent;
mod query;
mod router;
mod schema;
mod status;
mod swar;
mod template;
mod text_value;
mod transcoder;
mod wire;
mod wire_to_json;
mod wkt;

pub use error::{ErrorKind, TranscodeError};
pub use options::Options;
pub use router::{Binding, BodyRule, Lookup, Match, RouteError, Router, RouterBuilder};
pub use schema::{MessageId, Method, Schema, SchemaError, Service};
pub use status::{Code, Status, decode_grpc_message};
pub use transcoder::{Request, Target, Transcoder};
