//! The test protos, compiled once for the crate and once for prost-reflect.

use std::path::Path;
use std::sync::LazyLock;

use aqueduct_transcode::{MessageId, Options, Schema, Target, TranscodeError, Transcoder};
use prost::Message as _;
use prost_reflect::{DescriptorPool, MessageDescriptor};

pub(crate) struct Fixture {
    pub(crate) schema: Schema,
    pub(crate) pool: DescriptorPool,
}

pub(crate) static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set = protox::compile(["everything.proto", "legacy.proto"], [here.join("tests/proto")]).unwrap();
    let bytes = set.encode_to_vec();
    Fixture { schema: Schema::decode(&bytes).unwrap(), pool: DescriptorPool::decode(&*bytes).unwrap() }
});

pub(crate) const EVERYTHING: &str = "test.v1.Everything";

pub(crate) fn descriptor(name: &str) -> MessageDescriptor {
    FIXTURE.pool.get_message_by_name(name).unwrap()
}

pub(crate) fn is_known(name: &str) -> bool {
    FIXTURE.pool.get_message_by_name(name).is_some()
}

fn message(name: &str) -> MessageId {
    FIXTURE.schema.message(name).unwrap()
}

pub(crate) fn to_json(name: &str, wire: &[u8]) -> Result<String, TranscodeError> {
    to_json_with(&Options::default(), name, wire)
}

pub(crate) fn to_json_with(options: &Options, name: &str, wire: &[u8]) -> Result<String, TranscodeError> {
    let target = Target { schema: &FIXTURE.schema, message: message(name), options };
    let mut out = Vec::new();
    Transcoder::new().wire_to_json(target, wire, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

pub(crate) fn to_wire(name: &str, json: &[u8]) -> Result<Vec<u8>, TranscodeError> {
    to_wire_with(&Options::default(), name, json)
}

pub(crate) fn to_wire_with(options: &Options, name: &str, json: &[u8]) -> Result<Vec<u8>, TranscodeError> {
    let target = Target { schema: &FIXTURE.schema, message: message(name), options };
    let mut out = Vec::new();
    Transcoder::new().json_to_wire(target, json, &mut out)?;
    Ok(out)
}
