//! Input that nobody should send: each is a clear 4xx with a `google.rpc.Status`, or a closed connection; memory stays
//! flat, and nothing panics.

mod framing;
mod json;
mod memory;
mod urls;
mod wire;

use aqueduct_kit::Response;

use crate::shop::Shop;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Posts bytes as an order.
fn post(shop: &mut Shop, body: &[u8]) -> Response {
    shop.client.request("POST", "/v1/orders", &[JSON], body).unwrap()
}

/// Arrays or objects within each other.
fn nested(open: &str, depth: usize, close: &str) -> Vec<u8> {
    [open.repeat(depth), close.repeat(depth)].concat().into_bytes()
}
