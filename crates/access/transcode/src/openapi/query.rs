//! Query parameters: every field that a query can set and that neither the path nor the body does.

use std::collections::VecDeque;

use super::json::Value;
use super::path::comment_of;
use super::types::{Style, Types, is_extension};
use crate::router::{Binding, Body, step_into, takes_text};
use crate::schema::{Comments, Field, Message, Shape};

/// More parameters than this help nobody; the rest can be sent, but is not listed.
const MOST: usize = 500;
/// Messages that are looked at, in width before depth.
const MOST_MESSAGES: usize = 500;

/// A message on the way from the request, by the fields that lead to it.
struct Inner<'b> {
    message: &'b Message,
    steps: Vec<u16>,
    name: String,
    /// The types on the way: a type within itself is not gone into.
    types: Vec<&'b str>,
}

/// The parameter objects of a binding.
pub(super) fn parameters(
    binding: &Binding,
    types: &mut Types<'_>,
    comments: &Comments,
    style: Style,
) -> Vec<Value> {
    let mut out = Vec::new();
    if matches!(binding.body, Body::All) {
        return out;
    }
    let message = binding.schema.message_at(binding.input().0);
    let root = Inner { message, steps: Vec::new(), name: String::new(), types: vec![&message.full_name] };
    let mut open = VecDeque::from([root]);
    let mut seen = 1;
    while let Some(inner) = open.pop_front() {
        for (at, field) in inner.message.fields.iter().enumerate() {
            let steps = [inner.steps.as_slice(), &[at as u16]].concat();
            if is_extension(field) || is_bound(binding, &steps) {
                continue;
            }
            // A dot within a name would be read as one between names.
            let own = if style.name(field).contains('.') { &*field.name } else { style.name(field) };
            let name = if inner.name.is_empty() { own.to_owned() } else { format!("{}.{own}", inner.name) };
            if takes_text(&binding.schema, field) {
                if out.len() < MOST {
                    out.push(parameter(&name, types.text(field, style), field, (comments, inner.message)));
                }
            } else if let Some(message) = step_into(&binding.schema, field)
                && seen < MOST_MESSAGES
                && !inner.types.contains(&&*message.full_name)
            {
                seen += 1;
                let types = [inner.types.as_slice(), &[&*message.full_name]].concat();
                open.push_back(Inner { message, steps, name, types });
            }
        }
    }
    out
}

/// Whether the path or the body says what the field is.
fn is_bound(binding: &Binding, steps: &[u16]) -> bool {
    let body = match &binding.body {
        Body::Field(path) => steps.starts_with(&path.steps),
        Body::None | Body::All => false,
    };
    body || binding.variables.iter().any(|variable| *variable.field.steps == *steps)
}

fn parameter(name: &str, schema: Value, field: &Field, (comments, message): (&Comments, &Message)) -> Value {
    let deprecated = comments
        .of(&format!("{}.{}", message.full_name, field.name))
        .is_some_and(|comment| comment.deprecated);
    let parameter = Value::object()
        .with("name", name)
        .with("in", "query")
        .with_some("description", comment_of(comments, message, field))
        // Further in, a field is required only where another parameter makes its message be there.
        .with_some("required", (field.required && !name.contains('.')).then_some(true))
        .with_some("deprecated", deprecated.then_some(true))
        .with("schema", schema);
    if field.shape == Shape::Repeated {
        return parameter.with("style", "form").with("explode", true);
    }
    parameter
}
