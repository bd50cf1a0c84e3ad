//! `google.api.HttpBody` on the way in: bytes of any type that become the message, or a field of it.

use crate::router::{Binding, Body};
use crate::schema::{Kind, Message, Schema};
use crate::wire::{put_tag, put_varint, varint_len, wire_type};

/// `content_type = 1` and `data = 2`. The tags are of one byte.
#[derive(Debug, Clone, Copy)]
struct HttpBody<'a> {
    content_type: &'a [u8],
    data: &'a [u8],
}

/// Appends an HttpBody at the place that the binding's body has.
pub(crate) fn put(binding: &Binding, content_type: Option<&str>, data: &[u8], out: &mut Vec<u8>) {
    if !binding.request_is_raw() {
        return;
    }
    let body = HttpBody { content_type: content_type.unwrap_or_default().as_bytes(), data };
    let steps: &[u16] = match &binding.body {
        Body::None => return,
        Body::All => &[],
        Body::Field(path) => &path.steps,
    };
    body.put(&binding.schema, binding.schema.message_at(binding.input().0), steps, out);
}

impl HttpBody<'_> {
    fn parts(&self) -> impl Iterator<Item = (u32, &[u8])> {
        [(1, self.content_type), (2, self.data)].into_iter().filter(|(_, part)| !part.is_empty())
    }

    /// The length is written before the content: bodies are large, and are not to be moved to make room for it.
    fn put(&self, schema: &Schema, message: &Message, steps: &[u16], out: &mut Vec<u8>) {
        let Some((&step, rest)) = steps.split_first() else {
            for (number, part) in self.parts() {
                put_tag(out, number, wire_type::LEN);
                put_varint(out, part.len() as u64);
                out.extend_from_slice(part);
            }
            return;
        };
        let Some(field) = message.fields.get(usize::from(step)) else { return };
        let inner = schema.message_of(field);
        put_varint(out, u64::from(field.tag));
        if field.kind == Kind::Group {
            self.put(schema, inner, rest, out);
            // The end tag differs from the start tag by one.
            put_varint(out, u64::from(field.tag) + 1);
        } else {
            put_varint(out, self.len(schema, inner, rest) as u64);
            self.put(schema, inner, rest, out);
        }
    }

    /// The bytes that [`HttpBody::put`] writes.
    fn len(&self, schema: &Schema, message: &Message, steps: &[u16]) -> usize {
        let Some((&step, rest)) = steps.split_first() else {
            return self.parts().map(|(_, part)| 1 + varint_len(part.len() as u64) + part.len()).sum();
        };
        let Some(field) = message.fields.get(usize::from(step)) else { return 0 };
        let content = self.len(schema, schema.message_of(field), rest);
        let end = if field.kind == Kind::Group {
            varint_len(u64::from(field.tag) + 1)
        } else {
            varint_len(content as u64)
        };
        varint_len(u64::from(field.tag)) + content + end
    }
}
