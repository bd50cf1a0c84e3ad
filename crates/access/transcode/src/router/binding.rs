//! One `google.api.http` rule, compiled: names resolved to fields.

use super::field_path::FieldPath;
use crate::{MessageId, Options, Schema};

/// How the HTTP body becomes part of the request message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// No `body` in the rule: everything comes from path and query, a body is ignored.
    None,
    /// `body: "*"`: the body is the message.
    All,
    /// `body: "field"`: the body is this field of the message, or of a message in it (`body: "order.note"`).
    Field,
}

/// The same, with the way to the field.
#[derive(Debug)]
pub(crate) enum Body {
    None,
    All,
    Field(FieldPath),
}

/// One `google.api.http` rule of a method, ready for use.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the rule")]
pub struct Binding {
    /// Its place among the router's.
    pub(super) index: u32,
    pub(super) tag: u32,
    pub(super) http_method: Box<str>,
    pub(super) template: Box<str>,
    pub(super) grpc_path: Box<str>,
    pub(super) input: MessageId,
    pub(super) output: MessageId,
    pub(super) client_streaming: bool,
    pub(super) server_streaming: bool,
    pub(crate) body: Body,
    /// The field of the response that is the HTTP body.
    pub(crate) response_body: Option<FieldPath>,
    pub(super) request_is_raw: bool,
    pub(super) response_is_raw: bool,
    /// PATCH: the position of the `google.protobuf.FieldMask` of the request that the keys of the body can fill.
    pub(crate) mask: Option<u16>,
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
    /// Its place in [`Router::bindings`](super::Router::bindings).
    pub fn index(&self) -> usize {
        self.index as usize
    }

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
        match &self.body {
            Body::None => BodyRule::None,
            Body::All => BodyRule::All,
            Body::Field(_) => BodyRule::Field,
        }
    }

    /// Whether the HTTP body is a `google.api.HttpBody`: bytes of any type, not JSON. Then
    /// [`Transcoder::encode_raw_request`](crate::Transcoder::encode_raw_request) is the one to call.
    pub fn request_is_raw(&self) -> bool {
        self.request_is_raw
    }

    /// Whether the HTTP answer is a `google.api.HttpBody`. Then
    /// [`Transcoder::decode_raw_response`](crate::Transcoder::decode_raw_response) is the one to call.
    pub fn response_is_raw(&self) -> bool {
        self.response_is_raw
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
            index: 0,
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
            request_is_raw: false,
            response_is_raw: false,
            mask: None,
            variables: variables.collect(),
            options: Options::default(),
            schema: schema.clone(),
        }
    }
}
