//! What comes along with a submission and goes into every call: the trace and the colour.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The headers that go along.
const CARRIED: [&str; 3] = ["traceparent", "tracestate", "x-aqueduct-color"];

/// What `headers` carry.
pub(crate) fn of(headers: &HeaderMap) -> Vec<(String, String)> {
    let carried = CARRIED.iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().ok().filter(|value| !value.is_empty())?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    carried.collect()
}

/// Puts them into a call.
pub(crate) fn put(context: &[(String, String)], headers: &mut HeaderMap) {
    for (name, value) in context {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}
