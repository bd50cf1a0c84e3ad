//! What is asked and answered: one order of about half a kilobyte, as JSON and as protobuf, from the same source.

use anyhow::{Context as _, Result};
use aqueduct_kit::binary::workspace;
use bytes::{BufMut as _, Bytes, BytesMut};
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};
use serde_json::{Value, json};

/// The path of the transcoded GET.
pub(crate) const GET_PATH: &str = "/v1/orders/1152921504606846976";
/// The path of the transcoded POST.
pub(crate) const POST_PATH: &str = "/v1/orders";
/// The path of the unary gRPC call.
pub(crate) const GRPC_PATH: &str = "/shop.v1.OrderService/GetOrder";
/// The path of the gRPC call that is answered with a stream.
pub(crate) const STREAM_PATH: &str = "/shop.v1.OrderService/WatchOrder";
/// Messages in such a stream.
pub(crate) const STREAM_MESSAGES: usize = 100;

/// The messages of a run.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// `proto/shop/v1/orders.proto` with all it imports, as a FileDescriptorSet.
    pub(crate) descriptors: Vec<u8>,
    /// The order as JSON.
    pub(crate) order: Value,
    /// The order as a gRPC frame (5 bytes of head, then protobuf).
    pub(crate) order_frame: Bytes,
    /// The body of the POST.
    pub(crate) create: Value,
    /// The body of the POST as a message: what a transcoder must make of it.
    create_message: DynamicMessage,
    /// The call of GetOrder, or of WatchOrder, as a gRPC frame.
    pub(crate) get_frame: Bytes,
}

impl Fixture {
    pub(crate) fn new() -> Result<Self> {
        let mut compiler = protox::Compiler::new([workspace().join("proto")]).context("find proto/")?;
        compiler.include_imports(true);
        compiler.open_file("shop/v1/orders.proto").context("compile shop/v1/orders.proto")?;
        let pool = compiler.descriptor_pool();
        let order = order();
        let create = json!({"userId": order["userId"], "items": items(16), "note": order["note"]});
        let get = json!({"id": order["id"]});
        Ok(Self {
            descriptors: compiler.encode_file_descriptor_set(),
            order_frame: frame(&message(&pool, "shop.v1.Order", &order)?),
            create_message: message(&pool, "shop.v1.CreateOrderRequest", &create)?,
            get_frame: frame(&message(&pool, "shop.v1.GetOrderRequest", &get)?),
            order,
            create,
        })
    }

    /// Whether `wire` is the body of the POST as protobuf, its fields in whatever order.
    pub(crate) fn is_create(&self, wire: Bytes) -> bool {
        DynamicMessage::decode(self.create_message.descriptor(), wire)
            .is_ok_and(|message| message == self.create_message)
    }
}

fn items(count: i64) -> Vec<Value> {
    (1..=count)
        .map(|n| json!({"sku": format!("stone-block-{n:04}"), "quantity": n, "priceCents": (n * 1999).to_string()}))
        .collect()
}

fn order() -> Value {
    let total: i64 = (1..=5).map(|n| n * n * 1999).sum();
    json!({
        "id": "1152921504606846976",
        "userId": "4711",
        "status": "PAID",
        "version": "2",
        "items": items(5),
        "totalCents": total.to_string(),
        "note": "Leave at the north arch, please; the keeper of the cistern has the key.",
    })
}

fn message(pool: &DescriptorPool, name: &str, value: &Value) -> Result<DynamicMessage> {
    let descriptor = pool.get_message_by_name(name).with_context(|| format!("find {name}"))?;
    DynamicMessage::deserialize(descriptor, value).with_context(|| format!("read {name}"))
}

/// A gRPC frame: not compressed, the length, the message.
fn frame(message: &DynamicMessage) -> Bytes {
    let wire = message.encode_to_vec();
    let mut frame = BytesMut::with_capacity(5 + wire.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(wire.len()).expect("a fixture is small"));
    frame.put_slice(&wire);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::Fixture;
    use bytes::Bytes;
    use prost_reflect::prost::Message as _;

    #[test]
    fn the_order_is_about_half_a_kilobyte_and_framed() {
        let fixture = Fixture::new().unwrap();
        let size = fixture.order.to_string().len();
        assert!((400..700).contains(&size), "{size} bytes of JSON");
        let length = u32::from_be_bytes(fixture.order_frame[1..5].try_into().unwrap());
        assert_eq!(length as usize + 5, fixture.order_frame.len());
    }

    #[test]
    fn the_post_is_about_a_kilobyte() {
        let size = Fixture::new().unwrap().create.to_string().len();
        assert!((1000..1100).contains(&size), "{size} bytes of JSON");
    }

    #[test]
    fn a_wrong_transcoding_is_noticed() {
        let fixture = Fixture::new().unwrap();
        let wire = fixture.create_message.encode_to_vec();
        assert!(fixture.is_create(wire.clone().into()));
        assert!(!fixture.is_create(wire[..wire.len() - 1].to_vec().into()));
        assert!(!fixture.is_create(Bytes::new()));
    }
}
