//! The payload of a record of the feed: bytes from a bus.

use aqueduct_cdc::feed::{MAX_PAYLOAD, decode, encode};

/// The bytes as a payload: what can be read has exactly these bytes.
pub fn feed(data: &[u8]) {
    let Ok(messages) = decode(data) else { return };
    assert!(data.len() <= MAX_PAYLOAD, "its length is bounded");
    assert!(messages.len() < data.len(), "no message is without bytes");
    assert_eq!(encode(&messages), data, "one message has one encoding");
}
