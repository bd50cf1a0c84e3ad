//! Dotted field paths of rules: `order.id` in a template, a `body` or a `response_body`.

use crate::schema::{Field, Kind, Message, NO_ONEOF, Schema, Shape, WellKnown};
use crate::{MessageId, Options};

/// The names that an error shows of a message, at most.
const SHOWN: usize = 8;

/// The way from a message to a field within it: the position of a field in each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldPath {
    pub(crate) steps: Box<[u16]>,
    /// As it is written in the rule.
    pub(crate) text: Box<str>,
}

impl FieldPath {
    /// A path variable: singular messages on the way, and a field at the end that a text can set.
    pub(super) fn variable(schema: &Schema, message: MessageId, text: &str) -> Result<FieldPath, String> {
        let (path, field) = FieldPath::resolve(schema, message, text)?;
        if field.is_repeated() {
            return Err("a repeated field cannot be in a path".to_owned());
        }
        if !takes_text(schema, field) {
            let inner = step_into(schema, field).and_then(|inner| inner.fields.first());
            let example = inner.map(|inner| format!(", such as {text}.{}", inner.name)).unwrap_or_default();
            return Err(format!("a message cannot be in a path: name one of its fields{example}"));
        }
        Ok(path)
    }

    /// A `body` or `response_body`: singular messages on the way, and any field at the end.
    pub(super) fn content(schema: &Schema, message: MessageId, text: &str) -> Result<FieldPath, String> {
        FieldPath::resolve(schema, message, text).map(|(path, _)| path)
    }

    fn resolve<'s>(
        schema: &'s Schema,
        message: MessageId,
        text: &str,
    ) -> Result<(FieldPath, &'s Field), String> {
        let mut message = schema.message_at(message.0);
        let mut steps = Vec::new();
        let mut parts = text.split('.');
        let mut part = parts.next().unwrap_or_default();
        loop {
            let Some((index, field)) = message.by_name(part.as_bytes()) else {
                return Err(format!("{} has no field {part:?}; {}", message.full_name, fields_of(message)));
            };
            steps.push(index as u16);
            // Every step is a level of nesting, for the printer too.
            if steps.len() > Options::default().depth as usize {
                return Err("the field path is too long".to_owned());
            }
            match parts.next() {
                None => return Ok((FieldPath { steps: steps.into(), text: text.into() }, field)),
                Some(next) => part = next,
            }
            message = step_into(schema, field).ok_or_else(|| {
                format!("{:?} is not a singular message whose fields have names of their own", field.name)
            })?;
        }
    }

    /// Why two paths cannot both be set.
    pub(super) fn clash(
        &self,
        schema: &Schema,
        message: MessageId,
        other: &FieldPath,
    ) -> Option<&'static str> {
        let mut message = schema.message_at(message.0);
        for (&one, &two) in self.steps.iter().zip(&other.steps) {
            let (first, second) =
                (message.fields.get(usize::from(one))?, message.fields.get(usize::from(two))?);
            if one != two {
                let same = first.oneof != NO_ONEOF && first.oneof == second.oneof;
                return same.then_some("another variable sets a field of the same oneof");
            }
            if first.is_message() {
                message = schema.message_of(first);
            }
        }
        Some("another variable sets the same field")
    }

    /// The field at the end.
    pub(crate) fn last<'s>(&self, schema: &'s Schema, message: MessageId) -> Option<&'s Field> {
        let (last, way) = self.steps.split_last()?;
        let mut message = schema.message_at(message.0);
        for step in way {
            message = schema.message_of(message.fields.get(usize::from(*step))?);
        }
        message.fields.get(usize::from(*last))
    }
}

/// What could have been meant.
fn fields_of(message: &Message) -> String {
    let names: Vec<&str> = message.fields.iter().take(SHOWN).map(|field| &*field.name).collect();
    match names.len() {
        0 => "it has none".to_owned(),
        shown if shown < message.fields.len() => format!("it has {}, …", names.join(", ")),
        _ => format!("it has {}", names.join(", ")),
    }
}

/// The message that a dotted name goes on in.
pub(crate) fn step_into<'s>(schema: &'s Schema, field: &Field) -> Option<&'s Message> {
    let inner = field.is_message().then(|| schema.message_of(field))?;
    (field.shape == Shape::Explicit && inner.well_known.is_none()).then_some(inner)
}

/// Whether one piece of text can be a value of the field.
pub(crate) fn takes_text(schema: &Schema, field: &Field) -> bool {
    if field.shape == Shape::Map {
        return false;
    }
    if !field.is_message() {
        return true;
    }
    matches!(
        schema.message_of(field).well_known,
        Some(WellKnown::Timestamp | WellKnown::Duration | WellKnown::FieldMask | WellKnown::Wrapper(_))
    )
}

/// Whether a message is `google.api.HttpBody`, with the fields that raw bodies are written to and read from.
pub(super) fn is_http_body(message: &Message) -> bool {
    let is = |number, kind| {
        message.by_number(number).is_some_and(|(_, field)| field.kind == kind && !field.is_repeated())
    };
    &*message.full_name == "google.api.HttpBody" && is(1, Kind::String) && is(2, Kind::Bytes)
}
