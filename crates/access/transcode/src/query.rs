//! Query parameters to fields: dotted names, repetition for repeated fields, proto and JSON names alike. Forms are
//! bound in the same way.

use crate::error::{ErrorKind, TranscodeError};
use crate::percent::{self, Decode};
use crate::router::{Binding, Body, step_into, takes_text};
use crate::schema::{Field, Message, NO_ONEOF, Schema, Shape};
use crate::text_value;

type Result<T> = std::result::Result<T, TranscodeError>;

/// Names may be nested so deep.
pub(crate) const MAX_STEPS: usize = 32;

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
    /// Where the parameter stands, see [`Parameters::pair`]. What the body sets stands before all of them.
    at: usize,
}

/// What is to be bound, and what the body leaves to parameters.
#[derive(Debug)]
pub(crate) struct Parameters<'a> {
    pub(crate) binding: &'a Binding,
    pub(crate) query: &'a [u8],
    /// A body of `application/x-www-form-urlencoded`.
    pub(crate) form: &'a [u8],
    /// What the body is; a form leaves everything to parameters.
    pub(crate) body: &'a Body,
    /// Whether the field that the body is was written.
    pub(crate) body_is_set: bool,
}

impl<'a> Parameters<'a> {
    /// Appends the fields that the parameters set.
    pub(crate) fn bind(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<()> {
        scratch.steps.clear();
        scratch.set.clear();
        if let Body::Field(path) = self.body
            && self.body_is_set
        {
            scratch.steps.extend_from_slice(&path.steps);
            note_oneofs(&self.binding.schema, self.message(), (0, path.steps.len(), 0), scratch);
        }
        let most = self.binding.options().elements;
        let (mut at, mut left) = (0, most);
        for text in [self.query, self.form] {
            for pair in text.split(|&byte| byte == b'&') {
                if !pair.is_empty() {
                    // Each is an element of something, and takes more memory than its bytes.
                    left = left.checked_sub(1).ok_or_else(|| too_many(most, pair))?;
                    self.parameter((pair, at), scratch, out)?;
                }
                at += pair.len() + 1;
            }
        }
        self.check_doubles(scratch)
    }

    /// Whether a parameter gave this field of the request a value that is not empty.
    pub(crate) fn gave(&self, field: u16, scratch: &Scratch) -> bool {
        scratch.set.iter().any(|set| {
            set.member.is_none()
                && scratch.steps.get(set.start..set.end) == Some(&[field])
                && !split(self.pair(set.at)).1.is_empty()
        })
    }

    fn message(&self) -> &'a Message {
        self.binding.schema.message_at(self.binding.input().0)
    }

    /// The parameter at a position; those of the form are counted on behind the query.
    fn pair(&self, at: usize) -> &'a [u8] {
        let text = self.query.get(at..).or_else(|| self.form.get(at - self.query.len() - 1..));
        text.and_then(|rest| rest.split(|&byte| byte == b'&').next()).unwrap_or_default()
    }

    fn parameter(&self, (pair, at): (&[u8], usize), scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<()> {
        let (name, value) = split(pair);
        decode(name, name, &mut scratch.name)?;
        if name.is_empty() {
            return Err(TranscodeError::new(ErrorKind::Unknown, "a parameter has no name"));
        }
        let options = self.binding.options();
        if options.ignored_query.iter().any(|ignored| ignored.as_bytes() == scratch.name) {
            return Ok(());
        }
        let first = scratch.steps.len();
        let field = match self.resolve(scratch) {
            Ok(Some(field)) => field,
            Ok(None) => return Ok(()),
            Err(_) if options.ignore_unknown_query => return Ok(()),
            Err(unbound) => return Err(named(unbound.error(), name)),
        };
        decode(value, name, &mut scratch.value)?;
        let steps = scratch.steps.get(first..).unwrap_or_default();
        put(&self.binding.schema, self.message(), steps, &scratch.value, out)
            .map_err(|error| named(error, name))?;
        let end = scratch.steps.len();
        if !field.is_repeated() {
            scratch.set.push(Set { start: first, end, member: None, at });
        }
        note_oneofs(&self.binding.schema, self.message(), (first, end, at), scratch);
        Ok(())
    }

    /// Finds the field of the decoded name and appends the steps to it. `None`: the path says what the field is.
    fn resolve(&self, scratch: &mut Scratch) -> std::result::Result<Option<&'a Field>, Unbound<'a>> {
        if matches!(self.body, Body::All) {
            return Err(Unbound::BodyIsAll);
        }
        let schema = &self.binding.schema;
        let mut message = self.message();
        let first = scratch.steps.len();
        let mut parts = scratch.name.split(|&byte| byte == b'.').peekable();
        while let Some(part) = parts.next() {
            let found = message.by_name(part).filter(|_| scratch.steps.len() - first < MAX_STEPS);
            let (index, field) = found.ok_or(Unbound::Unknown(message))?;
            scratch.steps.push(index as u16);
            if parts.peek().is_none() {
                return self.bindable(field, scratch.steps.get(first..).unwrap_or_default());
            }
            message = step_into(schema, field).ok_or(Unbound::NoMessage(field))?;
        }
        Ok(None)
    }

    /// A parameter never overrides what the path says, nor the body.
    fn bindable(
        &self,
        field: &'a Field,
        steps: &[u16],
    ) -> std::result::Result<Option<&'a Field>, Unbound<'a>> {
        if self.binding.variables.iter().any(|variable| *variable.field.steps == *steps) {
            return Ok(None);
        }
        match self.body {
            Body::Field(body) if steps.starts_with(&body.steps) => Err(Unbound::BodyIsField),
            _ if takes_text(&self.binding.schema, field) => Ok(Some(field)),
            _ if field.shape == Shape::Map => Err(Unbound::Map),
            _ => Err(Unbound::Message),
        }
    }

    /// Sorts what was set, so that equals meet: a singular field twice, or two members of one oneof.
    fn check_doubles(&self, scratch: &mut Scratch) -> Result<()> {
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
        let (name, _) = split(self.pair(first.at.max(second.at)));
        Err(named(TranscodeError::new(ErrorKind::Duplicate, what), name))
    }
}

/// Why a parameter sets nothing. Made into words only when it is not to be ignored.
#[derive(Debug, Clone, Copy)]
enum Unbound<'a> {
    BodyIsAll,
    BodyIsField,
    Unknown(&'a Message),
    NoMessage(&'a Field),
    Map,
    Message,
}

impl Unbound<'_> {
    #[cold]
    fn error(self) -> TranscodeError {
        let what = match self {
            Unbound::BodyIsAll => "the body is the whole request, so that there are no query parameters",
            Unbound::BodyIsField => "the field is the body",
            Unbound::Unknown(message) => &format!("{} has no such field", message.full_name),
            Unbound::NoMessage(field) => &format!("{} is not a message whose fields can be set", field.name),
            Unbound::Map => "a map cannot be a query parameter",
            Unbound::Message => "a message cannot be a query parameter: name one of its fields",
        };
        TranscodeError::new(ErrorKind::Unknown, what)
    }
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
    let start = field.open(out);
    put(schema, schema.message_of(field), rest, text, out)?;
    field.close(out, start);
    Ok(())
}

/// Remembers the members of oneofs that a parameter, or the body, sets on its way.
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

#[cold]
fn too_many(most: u32, pair: &[u8]) -> TranscodeError {
    let error = TranscodeError::new(ErrorKind::Limit, format!("there are more than {most} parameters"));
    named(error, split(pair).0)
}

/// The name as the client wrote it, cut to a readable length.
#[cold]
fn named(error: TranscodeError, name: &[u8]) -> TranscodeError {
    let shown: String = String::from_utf8_lossy(name).chars().take(100).collect();
    error.in_field(&shown)
}
