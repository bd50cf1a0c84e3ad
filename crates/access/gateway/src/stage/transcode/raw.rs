//! `google.api.HttpBody`: a message whose bytes are the HTTP body.

use aqueduct_transcode::Binding;
use bytes::Bytes;
use http::HeaderValue;

use crate::edge::Edge;
use crate::reject::Reject;

/// A raw body, without a copy of its bytes.
#[derive(Debug, Default)]
pub(crate) struct RawBody {
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) data: Bytes,
}

/// The body in a response message. A content type that is no header value counts as none.
pub(crate) fn data(edge: &Edge, binding: Option<&Binding>, message: &Bytes) -> Result<RawBody, Reject> {
    let Some(binding) = binding else { return Ok(RawBody::default()) };
    let found = edge.transcoder.borrow_mut().decode_raw_response(binding, message)?;
    let content_type = found.content_type.and_then(|text| HeaderValue::from_str(text).ok());
    Ok(RawBody { content_type, data: message.slice(found.data) })
}
