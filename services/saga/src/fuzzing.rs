//! What the reader of submissions promises, for the fuzz targets.

use crate::canonical::canonical;
use crate::submission::from_json;

/// Whatever the bytes: an answer. A submission that is taken is the same one in its canonical form, and has its payloads as they
/// stand in the text.
///
/// # Panics
/// When the promise is broken.
pub fn submission(input: &[u8]) {
    let (Ok(submit), Ok(text)) = (from_json(input, Vec::new()), std::str::from_utf8(input)) else { return };
    for step in &submit.plan.steps {
        let payload = std::str::from_utf8(&step.payload).unwrap_or("not UTF-8");
        assert!(text.contains(payload), "the payload {payload} of {} is not in the text", step.name);
    }
    let canonical = canonical(text);
    let same = canonical.and_then(|text| from_json(text.as_bytes(), Vec::new()));
    assert_eq!(same.map(|same| same.plan.fingerprint), Ok(submit.plan.fingerprint));
}
