//! The types that the targets work on, compiled once for the crate and once for prost-reflect.

use std::path::Path;
use std::sync::LazyLock;

use aqueduct_transcode::{Options, Schema, Target, TranscodeError, Transcoder};
use prost_reflect::{DescriptorPool, MessageDescriptor};

pub(crate) struct Fixture {
    pub(crate) schema: Schema,
    pool: DescriptorPool,
}

pub(crate) static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["proto", "../proto", "../crates/access/transcode/tests/proto"].map(|path| here.join(path));
    // prost's own types would lose the google.api.http options.
    let bytes = protox::Compiler::new(folders)
        .and_then(|mut compiler| {
            compiler.include_imports(true).open_files(["fuzz.proto", "legacy.proto"])?;
            Ok(compiler.encode_file_descriptor_set())
        })
        .expect("the protos compile");
    Fixture { schema: Schema::decode(&bytes).unwrap(), pool: DescriptorPool::decode(&*bytes).unwrap() }
});

pub(crate) const EVERYTHING: &str = "test.v1.Everything";

/// The types that an input's first byte chooses from. Letters, so that a corpus can be read.
const TYPES: [(u8, &str); 10] = [
    (b'E', EVERYTHING),
    (b'N', "test.v1.Nested"),
    (b'L', "test.v1.Legacy"),
    (b'A', "google.protobuf.Any"),
    (b'S', "google.protobuf.Struct"),
    (b'V', "google.protobuf.Value"),
    (b'T', "google.protobuf.Timestamp"),
    (b'D', "google.protobuf.Duration"),
    (b'M', "google.protobuf.FieldMask"),
    (b'W', "google.protobuf.DoubleValue"),
];

/// Splits an input into the name of a type and the bytes for it.
pub(crate) fn typed(data: &[u8]) -> Option<(&'static str, &[u8])> {
    let (first, rest) = data.split_first()?;
    let chosen = TYPES.iter().find(|(letter, _)| letter == first);
    Some((chosen.map_or(EVERYTHING, |(_, name)| name), rest))
}

pub(crate) fn descriptor(name: &str) -> MessageDescriptor {
    FIXTURE.pool.get_message_by_name(name).unwrap()
}

pub(crate) fn is_known(name: &str) -> bool {
    FIXTURE.pool.get_message_by_name(name).is_some()
}

fn target<'a>(name: &str, options: &'a Options) -> Target<'a> {
    Target { schema: &FIXTURE.schema, message: FIXTURE.schema.message(name).unwrap(), options }
}

/// The wire bytes of a JSON text; twice, because a transcoder must come out of an error as good as new.
pub(crate) fn to_wire(name: &str, json: &[u8], options: &Options) -> Result<Vec<u8>, TranscodeError> {
    twice(|transcoder, out| transcoder.json_to_wire(target(name, options), json, out))
}

/// The JSON text of wire bytes; twice, as above.
pub(crate) fn to_json(name: &str, wire: &[u8], options: &Options) -> Result<Vec<u8>, TranscodeError> {
    twice(|transcoder, out| transcoder.wire_to_json(target(name, options), wire, out))
}

/// What stands in a buffer before a call, and must still stand there after it.
const BEFORE: &[u8] = b"before";

pub(crate) fn twice(
    mut run: impl FnMut(&mut Transcoder, &mut Vec<u8>) -> Result<(), TranscodeError>,
) -> Result<Vec<u8>, TranscodeError> {
    let mut transcoder = Transcoder::new();
    let mut once = || {
        let mut out = BEFORE.to_vec();
        let done = run(&mut transcoder, &mut out);
        let written = out.strip_prefix(BEFORE).expect("what was in the buffer is still there").to_vec();
        assert!(done.is_ok() || written.is_empty(), "an error leaves nothing behind");
        done.map(|()| written)
    };
    let first = once();
    assert_eq!(first, once(), "a transcoder can be used again");
    if let Err(error) = &first {
        assert!(!error.message().is_empty());
    }
    first
}
