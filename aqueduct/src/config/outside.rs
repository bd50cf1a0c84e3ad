//! What is believed of the outside: `trusted_proxies`, `request_ids` and `paths`.

use aqueduct_gateway::{DotSegments, DoubleSlashes, EncodedSlashes, Network, Options, Paths};

use super::value::{Fields, Value};

/// Reads these keys.
pub(super) fn read(fields: &mut Fields<'_>, options: &mut Options) {
    fields.set("trusted_proxies", &mut options.trusted_proxies, |value| {
        Some(
            value
                .items("[10.0.0.0/8]")
                .iter()
                .filter_map(|item| item.parsed(str::parse::<Network>))
                .collect(),
        )
    });
    fields.set("request_ids", &mut options.request_ids, Value::boolean);
    if let Some(mut section) = fields.get("paths").and_then(|value| value.fields("{ dot_segments: reject }"))
    {
        paths(&mut section, &mut options.paths);
        section.finish();
    }
}

fn paths(fields: &mut Fields<'_>, paths: &mut Paths) {
    fields.set("dot_segments", &mut paths.dot_segments, |value| {
        value.one_of(&[
            ("resolve", DotSegments::Resolve),
            ("reject", DotSegments::Reject),
            ("keep", DotSegments::Keep),
        ])
    });
    fields.set("double_slashes", &mut paths.double_slashes, |value| {
        value.one_of(&[
            ("keep", DoubleSlashes::Keep),
            ("merge", DoubleSlashes::Merge),
            ("reject", DoubleSlashes::Reject),
        ])
    });
    fields.set("encoded_slashes", &mut paths.encoded_slashes, |value| {
        value.one_of(&[
            ("keep", EncodedSlashes::Keep),
            ("reject", EncodedSlashes::Reject),
            ("decode", EncodedSlashes::Decode),
        ])
    });
}
