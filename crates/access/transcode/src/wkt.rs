//! The text forms of the well-known types, both ways: base64, Timestamp, Duration, FieldMask.

pub(crate) mod base64;
pub(crate) mod duration;
pub(crate) mod field_mask;
pub(crate) mod timestamp;
