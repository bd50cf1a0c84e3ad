//! prost-reflect as the oracle: what it reads and writes, and when that is the same. Shared with `fuzz/`.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encoded_len_varint, skip_field};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, SerializeOptions};
use serde_json::Value as Json;

use crate::fixture::{descriptor, is_known};

pub(crate) fn decode(name: &str, wire: &[u8]) -> Result<DynamicMessage, prost::DecodeError> {
    DynamicMessage::decode(descriptor(name), wire)
}

pub(crate) fn oracle_json(message: &DynamicMessage) -> Option<Vec<u8>> {
    let mut serializer = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut serializer, &SerializeOptions::new()).ok()?;
    Some(serializer.into_inner())
}

/// Numbers by value: prost-reflect writes `1.0` where this crate writes `1`.
pub(crate) fn normal(json: Json) -> Json {
    match json {
        Json::Number(number) => Json::String(number.as_f64().unwrap().to_string()),
        Json::Array(list) => list.into_iter().map(normal).collect(),
        Json::Object(map) => Json::Object(map.into_iter().map(|(key, value)| (key, normal(value))).collect()),
        other => other,
    }
}

pub(crate) fn parsed(json: &[u8]) -> Json {
    normal(serde_json::from_slice(json).unwrap())
}

/// prost-reflect prints wrappers of numbers that are not finite as null.
pub(crate) fn without_infinities(json: Json) -> Json {
    match json {
        Json::String(text) if matches!(&*text, "NaN" | "Infinity" | "-Infinity") => Json::Null,
        Json::Array(list) => list.into_iter().map(without_infinities).collect(),
        Json::Object(map) => {
            Json::Object(map.into_iter().map(|(key, value)| (key, without_infinities(value))).collect())
        }
        other => other,
    }
}

/// Equal, or the same JSON: NaN is not equal to itself, and the bytes in an `Any` may have another order.
pub(crate) fn same(left: &DynamicMessage, right: &DynamicMessage) -> bool {
    let json = |message| oracle_json(message).map(|json| parsed(&json));
    left == right || json(left) == json(right)
}

/// prost-reflect reads a map entry whatever wire type its tag has; here another type makes it an unknown field.
pub(crate) fn has_mistyped_map(name: &str, wire: &[u8]) -> bool {
    any_message(name, wire, &|fields| {
        fields.iter().any(|(field, wire_type)| field.is_map() && *wire_type != WireType::LengthDelimited)
    })
}

/// Looks at the fields of one message, each with the wire type that it has there.
type Finding<'a> = &'a dyn Fn(&[(FieldDescriptor, WireType)]) -> bool;

/// Whether any message within, the outermost included, has fields that `is_so` finds. Extensions are not among them,
/// but looked into.
pub(crate) fn any_message(name: &str, wire: &[u8], is_so: Finding<'_>) -> bool {
    if name == "google.protobuf.Any"
        && let Ok(any) = decode(name, wire)
    {
        let [url, value] = [1, 2].map(|number| any.get_field_by_number(number).unwrap().into_owned());
        let inner = url.as_str().and_then(|url| url.rsplit('/').next()).filter(|name| is_known(name));
        if inner.is_some_and(|name| any_message(name, value.as_bytes().unwrap(), is_so)) {
            return true;
        }
    }
    let message = descriptor(name);
    let mut fields = Vec::new();
    let mut rest = wire;
    while let Ok((number, wire_type)) = decode_key(&mut rest) {
        let field = message.get_field(number);
        let kind = field.as_ref().map(FieldDescriptor::kind);
        let kind = kind.or_else(|| message.get_extension(number).map(|extension| extension.kind()));
        fields.extend(field.map(|field| (field, wire_type)));
        let before = rest;
        if skip_field(wire_type, number, &mut rest, DecodeContext::default()).is_err() {
            break;
        }
        let mut value = &before[..before.len() - rest.len()];
        match wire_type {
            WireType::LengthDelimited => drop(decode_varint(&mut value)),
            WireType::StartGroup => {
                value = &value[..value.len() - encoded_len_varint(u64::from(number) << 3)];
            }
            _ => continue,
        }
        if let Some(Kind::Message(inner)) = kind
            && any_message(inner.full_name(), value, is_so)
        {
            return true;
        }
    }
    is_so(&fields)
}
