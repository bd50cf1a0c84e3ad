//! One `google.api.http` rule, compiled: names resolved to fields.

use crate::schema::{Field, Message, Shape, WellKnown};
use crate::{MessageId, Options, Schema};

/// How the HTTP body becomes part of the request message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// No `body` in the rule: everything comes from path and query, a body is ignored.
    None,
    /// `body: "*"`: the body is the message.
    All,
    /// `body: "field"`: the body is this field of the message.
    Field,
}

/// The same, with the position of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    All,
    Field(usize),
}

/// One `google.api.http` rule of a method, ready for use.
#[derive(Debug)]
pub struct Binding {
    pub(super) tag: u32,
    pub(super) http_method: Box<str>,
    pub(super) template: Box<str>,
    pub(super) grpc_path: Box<str>,
    pub(super) input: MessageId,
    pub(super) output: MessageId,
    pub(super) client_streaming: bool,
    pub(super) server_streaming: bool,
    pub(crate) body: Body,
    /// Position of the field of the response that is the HTTP body.
    pub(crate) response_body: Option<usize>,
    pub(crate) variables: Box<[PathVariable]>,
    pub(super) options: Options,
    pub(crate) schema: Schema,
}

/// A path variable: which field it sets, and which segments it is.
#[derive(Debug)]
pub(crate) struct PathVariable {
    pub(crate) field: FieldPath,
    pub(super) first: u8,
    pub(super) end: u8,
    pub(crate) multi: bool,
}

impl Binding {
    /// The caller's mark, given to [`RouterBuilder::service`](super::RouterBuilder::service).
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// `GET`, `POST`, a custom kind, or `*` for any method.
    pub fn http_method(&self) -> &str {
        &self.http_method
    }

    /// The path template as it is written in the rule: a metric label of bounded cardinality.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The `:path` of the upstream call, such as `/shop.v1.OrderService/GetOrder`.
    pub fn grpc_path(&self) -> &str {
        &self.grpc_path
    }

    /// The request type.
    pub fn input(&self) -> MessageId {
        self.input
    }

    /// The response type.
    pub fn output(&self) -> MessageId {
        self.output
    }

    /// Whether the client sends a stream.
    pub fn client_streaming(&self) -> bool {
        self.client_streaming
    }

    /// Whether the server answers with a stream.
    pub fn server_streaming(&self) -> bool {
        self.server_streaming
    }

    /// What the HTTP body is.
    pub fn body(&self) -> BodyRule {
        match self.body {
            Body::None => BodyRule::None,
            Body::All => BodyRule::All,
            Body::Field(_) => BodyRule::Field,
        }
    }

    /// The JSON conventions and limits of this route.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The schema its types are from.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// The way from a message to a field within it: the position of a field in each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldPath {
    pub(crate) steps: Box<[u16]>,
    /// As it is written in the template.
    pub(crate) text: Box<str>,
}

impl FieldPath {
    /// Resolves `order.id` in `message`: singular messages on the way, and a field at the end that a text can set.
    pub(super) fn resolve(
        schema: &Schema,
        message: MessageId,
        text: &str,
    ) -> Result<FieldPath, &'static str> {
        let mut message = schema.message_at(message.0);
        let mut steps = Vec::new();
        let mut parts = text.split('.').peekable();
        while let Some(part) = parts.next() {
            let (index, field) = message.by_name(part.as_bytes()).ok_or("the request has no such field")?;
            steps.push(index as u16);
            if field.is_repeated() {
                return Err("a repeated field cannot be in a path");
            }
            if parts.peek().is_some() {
                message = step_into(schema, field).ok_or("the request has no such field")?;
            } else if !takes_text(schema, field) {
                return Err("a message cannot be in a path: name one of its fields");
            }
        }
        Ok(FieldPath { steps: steps.into(), text: text.into() })
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

#[cfg(test)]
impl Binding {
    /// A binding whose variables set nothing, for tests of the matcher.
    pub(super) fn for_test(
        schema: &Schema,
        method: &str,
        text: &str,
        template: &crate::template::Template,
    ) -> Binding {
        let variables = template.variables.iter().map(|variable| PathVariable {
            field: FieldPath { steps: Box::default(), text: variable.field_path.as_str().into() },
            first: variable.first as u8,
            end: variable.end as u8,
            multi: variable.multi,
        });
        Binding {
            tag: 0,
            http_method: method.into(),
            template: text.into(),
            grpc_path: "/test.Service/Method".into(),
            input: MessageId(0),
            output: MessageId(0),
            client_streaming: false,
            server_streaming: false,
            body: Body::None,
            response_body: None,
            variables: variables.collect(),
            options: Options::default(),
            schema: schema.clone(),
        }
    }
}
