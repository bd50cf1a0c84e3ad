//! Query parameters to fields: dotted names, repetition for repeated fields, proto and JSON names alike.

use crate::error::{ErrorKind, TranscodeError};
use crate::percent::{self, Decode};
use crate::router::{Binding, Body, step_into, takes_text};
use crate::schema::{Field, Kind, Message, NO_ONEOF, Schema, Shape};
use crate::text_value;
use crate::wire::{close_len, open_len, put_varint};

type Result<T> = std::result::Result<T, TranscodeError>;

/// Names may be nested so deep.
const MAX_STEPS: usize = 32;

/// Memory that is kept from request to request.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
    /// The steps of all parameters, one after the other.
    steps: Vec<u16>,
    /// Singular fields and members of oneofs that were set.
    set: Vec<Set>,
}

/// Something that may be set only once.
#[derive(Debug, Clone, Copy)]
struct Set {
    /// Where its steps are in [`Scratch::steps`]: to a field; or to a message, and then the number of a oneof of it,
    /// counted behind its fields.
    start: usize,
    end: usize,
    /// The member that is set, when it is a oneof.
    member: Option<u16>,
    /// Where the parameter stands in the query.
    at: usize,
}

/// Appends the fields that the parameters of `query` set.
pub(crate) fn bind(binding: &Binding, query: &str, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<()> {
    scratch.steps.clear();
    scratch.set.clear();
    let mut at = 0;
    for pair in query.as_bytes().split(|&byte| byte == b'&') {
        if !pair.is_empty() {
            parameter(binding, (pair, at), scratch, out)?;
        }
        at += pair.len() + 1;
    }
    check_doubles(query.as_bytes(), scratch)
}

fn parameter(
    binding: &Binding,
    (pair, at): (&[u8], usize),
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    let (name, value) = split(pair);
    decode(name, name, &mut scratch.name)?;
    let first = scratch.steps.len();
    let field = resolve(binding, scratch).map_err(|error| named(error, name))?;
    let Some(field) = field else { return Ok(()) };
    decode(value, name, &mut scratch.value)?;
    let steps = scratch.steps.get(first..).unwrap_or_default();
    let message = binding.schema.message_at(binding.input().0);
    put(&binding.schema, message, steps, &scratch.value, out).map_err(|error| named(error, name))?;
    let end = scratch.steps.len();
    if !field.is_repeated() {
        scratch.set.push(Set { start: first, end, member: None, at });
    }
    note_oneofs(&binding.schema, message, (first, end, at), scratch);
    Ok(())
}

fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair).and_then(|equals| pair.split_at_checked(equals)) {
        Some((name, [_, value @ ..])) => (name, value),
        _ => (pair, &[]),
    }
}

fn decode(text: &[u8], name: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    percent::decode(text, Decode::Query, out).map_err(|_| {
        named(TranscodeError::new(ErrorKind::Url, "a \"%\" must be followed by two hexadecimal digits"), name)
    })
}

/// Finds the field of the decoded name and appends the steps to it. `None`: the parameter is to be ignored.
fn resolve<'b>(binding: &'b Binding, scratch: &mut Scratch) -> Result<Option<&'b Field>> {
    let fail = |what: String| Err(TranscodeError::new(ErrorKind::Unknown, what));
    let schema = &binding.schema;
    if binding.body == Body::All {
        return if binding.options().ignore_unknown {
            Ok(None)
        } else {
            fail("the body is the whole request, so that there are no query parameters".to_owned())
        };
    }
    let mut message = schema.message_at(binding.input().0);
    let first = scratch.steps.len();
    let mut parts = scratch.name.split(|&byte| byte == b'.').peekable();
    while let Some(part) = parts.next() {
        let found = message.by_name(part).filter(|_| scratch.steps.len() - first < MAX_STEPS);
        let Some((index, field)) = found else {
            return if binding.options().ignore_unknown {
                Ok(None)
            } else {
                fail(format!("{} has no such field", message.full_name))
            };
        };
        scratch.steps.push(index as u16);
        if parts.peek().is_none() {
            return bindable(binding, field, scratch.steps.get(first..).unwrap_or_default());
        }
        match step_into(schema, field) {
            Some(inner) => message = inner,
            None => return fail(format!("{} is not a message whose fields can be set", field.name)),
        }
    }
    Ok(None)
}

/// A parameter never overrides what the path says, nor the body.
fn bindable<'b>(binding: &Binding, field: &'b Field, steps: &[u16]) -> Result<Option<&'b Field>> {
    if binding.variables.iter().any(|variable| *variable.field.steps == *steps) {
        return Ok(None);
    }
    let what = match binding.body {
        Body::Field(body) if steps.first().copied().map(usize::from) == Some(body) => "the field is the body",
        _ if takes_text(&binding.schema, field) => return Ok(Some(field)),
        _ if field.shape == Shape::Map => "a map cannot be a query parameter",
        _ => "a message cannot be a query parameter: name one of its fields",
    };
    Err(TranscodeError::new(ErrorKind::Unknown, what))
}

/// Appends the field at the end of `steps`, within pieces of the messages on the way. They are merged by the reader.
pub(crate) fn put(
    schema: &Schema,
    message: &Message,
    steps: &[u16],
    text: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    let Some((&step, rest)) = steps.split_first() else { return Ok(()) };
    let Some(field) = message.fields.get(usize::from(step)) else { return Ok(()) };
    if rest.is_empty() {
        return text_value::put(schema, field, text, out);
    }
    let inner = schema.message_of(field);
    put_varint(out, u64::from(field.tag));
    if field.kind == Kind::Group {
        put(schema, inner, rest, text, out)?;
        // The end tag differs from the start tag by one.
        put_varint(out, u64::from(field.tag) + 1);
        return Ok(());
    }
    let start = open_len(out);
    put(schema, inner, rest, text, out)?;
    close_len(out, start);
    Ok(())
}

/// Remembers the members of oneofs that a parameter sets on its way.
fn note_oneofs<'s>(
    schema: &'s Schema,
    mut message: &'s Message,
    (start, end, at): (usize, usize, usize),
    scratch: &mut Scratch,
) {
    for place in start..end {
        let step = scratch.steps.get(place).copied().unwrap_or_default();
        let Some(field) = message.fields.get(usize::from(step)) else { return };
        if field.oneof != NO_ONEOF {
            let key = scratch.steps.len();
            scratch.steps.extend_from_within(start..place);
            // The compiler of the schema keeps the sum within 16 bits.
            scratch.steps.push(message.fields.len() as u16 + field.oneof);
            let end = scratch.steps.len();
            scratch.set.push(Set { start: key, end, member: Some(step), at });
        }
        if field.is_message() {
            message = schema.message_of(field);
        }
    }
}

/// Sorts what was set, so that equals meet: a singular field twice, or two members of one oneof.
fn check_doubles(query: &[u8], scratch: &mut Scratch) -> Result<()> {
    let steps = &scratch.steps;
    let key = |set: &Set| steps.get(set.start..set.end).unwrap_or_default();
    scratch.set.sort_unstable_by(|a, b| key(a).cmp(key(b)).then((a.member, a.at).cmp(&(b.member, b.at))));
    let clash = scratch.set.windows(2).find(|pair| {
        key(&pair[0]) == key(&pair[1]) && (pair[0].member.is_none() || pair[0].member != pair[1].member)
    });
    let Some([first, second]) = clash else { return Ok(()) };
    let what = match second.member {
        Some(_) => "another field of the same oneof is there already",
        None => "the parameter is there twice",
    };
    let later = query.get(first.at.max(second.at)..).unwrap_or_default();
    let (name, _) = split(later.split(|&byte| byte == b'&').next().unwrap_or_default());
    Err(named(TranscodeError::new(ErrorKind::Duplicate, what), name))
}

/// The name as the client wrote it, cut to a readable length.
#[cold]
fn named(error: TranscodeError, name: &[u8]) -> TranscodeError {
    let shown: String = String::from_utf8_lossy(name).chars().take(100).collect();
    error.in_field(&shown)
}
