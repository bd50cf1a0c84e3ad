//! The types that every schema knows: the well-known types, `google.rpc.Status` with the error details, and
//! `google.api.HttpBody`. Committed as descriptors, so that users compile no `.proto` for them; a test rebuilds them.

/// A `FileDescriptorSet`. To renew it: `UPDATE_BUILTIN=1 cargo test -p aqueduct-transcode builtin`.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!("builtin/descriptors.binpb");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prost::Message as _;

    const FILES: [&str; 10] = [
        "google/protobuf/any.proto",
        "google/protobuf/duration.proto",
        "google/protobuf/empty.proto",
        "google/protobuf/field_mask.proto",
        "google/protobuf/struct.proto",
        "google/protobuf/timestamp.proto",
        "google/protobuf/wrappers.proto",
        "google/rpc/status.proto",
        "google/rpc/error_details.proto",
        "google/api/httpbody.proto",
    ];

    #[test]
    fn the_committed_descriptors_are_those_of_the_committed_protos() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut set = protox::Compiler::new([here.join("proto")])
            .unwrap()
            .open_files(FILES)
            .unwrap()
            .include_imports(true)
            .file_descriptor_set();
        for file in &mut set.file {
            file.options = None;
        }
        let bytes = set.encode_to_vec();
        if std::env::var_os("UPDATE_BUILTIN").is_some() {
            std::fs::write(here.join("src/schema/builtin/descriptors.binpb"), &bytes).unwrap();
        }
        assert!(bytes == super::DESCRIPTORS, "run with UPDATE_BUILTIN=1");
    }
}
