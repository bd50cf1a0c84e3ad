//! PATCH without a mask: the keys of the body say which fields it is about.

use crate::error::{ErrorKind, TranscodeError};
use crate::json::Reader;
use crate::router::Binding;
use crate::schema::{Field, Message, Schema};
use crate::wire::{put_tag, put_varint, wire_type};

type Result<T> = std::result::Result<T, TranscodeError>;

/// Memory that is kept from request to request.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A key whose escapes were undone.
    key: Vec<u8>,
    /// The path to the open object, with a dot at its end.
    prefix: Vec<u8>,
    /// All paths, one after the other, and where each is.
    paths: Vec<u8>,
    spans: Vec<(usize, usize)>,
}

/// Appends the mask as field number `field` of the request: a path for each field that is in the body's JSON, sorted.
/// The JSON was encoded, so that it is known to be well-formed and without doubled keys.
pub(crate) fn fill(
    binding: &Binding,
    field: u16,
    json: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    let request = binding.schema.message_at(binding.input().0);
    let crate::router::Body::Field(body) = &binding.body else { return Ok(()) };
    let (Some(mask), Some(body)) =
        (request.fields.get(usize::from(field)), body.last(&binding.schema, binding.input()))
    else {
        return Ok(());
    };
    let Scratch { key, prefix, paths, spans } = scratch;
    prefix.clear();
    paths.clear();
    spans.clear();
    let limit = binding.options().output_bytes;
    let mut walk =
        Walk { schema: &binding.schema, reader: Reader::new(json)?, limit, key, prefix, paths, spans };
    if walk.reader.peek() == b'{' {
        walk.object(binding.schema.message_of(body), binding.options().depth())?;
    }
    if spans.is_empty() {
        return Ok(());
    }
    let path = |&(start, end): &(usize, usize)| paths.get(start..end).unwrap_or_default();
    spans.sort_unstable_by(|a, b| path(a).cmp(path(b)));
    let start = mask.open(out);
    for span in spans.iter() {
        put_tag(out, 1, wire_type::LEN);
        put_varint(out, path(span).len() as u64);
        out.extend_from_slice(path(span));
    }
    mask.close(out, start);
    Ok(())
}

struct Walk<'s, 'a> {
    schema: &'s Schema,
    reader: Reader<'a>,
    /// Bytes of all paths: long prefixes make more of them than the body has.
    limit: usize,
    key: &'s mut Vec<u8>,
    prefix: &'s mut Vec<u8>,
    paths: &'s mut Vec<u8>,
    spans: &'s mut Vec<(usize, usize)>,
}

impl Walk<'_, '_> {
    /// The fields of an object, which comes next.
    fn object(&mut self, message: &Message, depth: u32) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Err(self.reader.too_deep()) };
        self.reader.take(b'{');
        if self.reader.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.reader.string()?;
            let field = message.by_name(name.value(self.key)?);
            self.reader.colon()?;
            match field {
                Some((_, field)) if !field.name.starts_with('[') => self.field(field, depth)?,
                // Extensions, which a mask has no names for, and unknown fields that are ignored.
                _ => self.reader.skip_value(depth, self.key)?,
            }
            if !self.reader.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// The paths of a field, whose value comes next: those inside a message that has any, otherwise its own.
    fn field(&mut self, field: &Field, depth: u32) -> Result<()> {
        let outer = self.prefix.len();
        self.prefix.extend_from_slice(field.name.as_bytes());
        let inner = field.is_message().then(|| self.schema.message_of(field));
        let plain = inner.filter(|inner| !field.is_repeated() && inner.well_known.is_none());
        match plain {
            Some(inner) if self.reader.peek() == b'{' && !self.empty_object() => {
                self.prefix.push(b'.');
                self.object(inner, depth)?;
            }
            _ => {
                self.reader.skip_value(depth, self.key)?;
                self.leaf()?;
            }
        }
        self.prefix.truncate(outer);
        Ok(())
    }

    fn empty_object(&self) -> bool {
        let mut ahead = self.reader;
        ahead.take(b'{') && ahead.take(b'}')
    }

    fn leaf(&mut self) -> Result<()> {
        let start = self.paths.len();
        self.paths.extend_from_slice(self.prefix);
        self.spans.push((start, self.paths.len()));
        if self.paths.len() > self.limit {
            let what = format!("the field mask of the body would be longer than {} bytes", self.limit);
            return Err(TranscodeError::new(ErrorKind::Limit, what));
        }
        Ok(())
    }
}
