//! The header conventions of grpc-gateway.

use super::{Fields, HeaderName, HeaderValue, Outbound, passes};

/// `Grpc-Metadata-X` becomes `x`; a header of HTTP itself becomes `grpcgateway-…`, and `Authorization` goes on as it is too.
/// Nothing else does, but for what Aqueduct itself defines.
pub(super) fn append(out: &mut Fields, name: &HeaderName, value: &HeaderValue) {
    let text = name.as_str();
    if let Some(rest) = text.strip_prefix("grpc-metadata-") {
        let inner = HeaderName::try_from(rest).ok();
        if let Some(inner) = inner.filter(|inner| passes(inner, Outbound::Compat)) {
            super::append(out, &inner, value);
        }
    } else if is_permanent(text) {
        if let Ok(prefixed) = HeaderName::try_from(format!("grpcgateway-{text}")) {
            out.append(prefixed, value.clone());
        }
        if text == "authorization" {
            out.append(name.clone(), value.clone());
        }
    } else if matches!(text, "tracestate" | "x-aqueduct-token") {
        out.append(name.clone(), value.clone());
    }
}

/// grpc-gateway's list of permanent header fields, without those that are of the hop.
fn is_permanent(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-charset"
            | "accept-language"
            | "accept-ranges"
            | "authorization"
            | "cache-control"
            | "content-type"
            | "cookie"
            | "date"
            | "from"
            | "if-match"
            | "if-modified-since"
            | "if-none-match"
            | "if-schedule-tag-match"
            | "if-unmodified-since"
            | "max-forwards"
            | "origin"
            | "pragma"
            | "referer"
            | "user-agent"
            | "via"
            | "warning"
    )
}
