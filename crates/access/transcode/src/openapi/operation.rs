//! One binding as an operation: its parameters, its body, its answers.

use super::json::Value;
use super::path::Path;
use super::query;
use super::types::{Style, Types, list};
use crate::router::{Binding, Body};
use crate::schema::Comments;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const SSE: &str = "text/event-stream";
const ANYTHING: &str = "*/*";

/// What makes the operations of a document.
pub(super) struct Operations<'a> {
    pub(super) types: Types<'a>,
    pub(super) comments: &'a Comments,
    pub(super) results: &'a [u32],
}

impl Operations<'_> {
    /// The operation object; `names` are those of the parameters in its path.
    pub(super) fn operation(&mut self, path: &Path<'_>, names: &[String], id: &str) -> Value {
        let binding = path.binding();
        let style = Style::of(binding.options());
        let (service, method) = service_and_method(binding);
        let comment = self.comments.of(&format!("{service}.{method}"));
        let text = comment.map_or("", |comment| comment.text.as_str());
        let summary = summary(text);
        let mut parameters = path.parameters(names, &mut self.types, self.comments, style);
        parameters.extend(query::parameters(binding, &mut self.types, self.comments, style));
        Value::object()
            .with("tags", [service])
            .with_any("summary", summary.as_str())
            .with_any("description", if summary == text.trim_end_matches('.') { "" } else { text })
            .with("operationId", id)
            .with_some("deprecated", comment.filter(|comment| comment.deprecated).map(|_| true))
            .with_any("parameters", parameters)
            .with_some("requestBody", self.request_body(binding, style))
            .with("responses", self.responses(binding, style))
    }

    fn request_body(&mut self, binding: &Binding, style: Style) -> Option<Value> {
        let schema = match &binding.body {
            Body::None => return None,
            Body::All => self.types.refer_to(binding.input().0, style),
            Body::Field(path) => self.types.field(path.last(&binding.schema, binding.input())?, style),
        };
        let content = match (binding.request_is_raw(), binding.client_streaming()) {
            (true, _) => Value::object().with(ANYTHING, Value::object()),
            (false, true) => stream(schema),
            (false, false) => Value::object().with(JSON, media(schema)),
        };
        let from_path: Vec<_> =
            binding.variables.iter().map(|variable| format!("`{}`", variable.field.text)).collect();
        let description = match &binding.body {
            Body::All if !from_path.is_empty() => {
                format!("What the path says goes before: {}.", from_path.join(", "))
            }
            _ => String::new(),
        };
        Some(Value::object().with_any("description", description).with("content", content))
    }

    fn responses(&mut self, binding: &Binding, style: Style) -> Value {
        let path = binding.response_body.as_ref();
        let schema = match path.and_then(|path| path.last(&binding.schema, binding.output())) {
            None => self.types.refer_to(binding.output().0, style),
            Some(field) => self.types.field(field, style),
        };
        let (description, content) = match (binding.response_is_raw(), binding.server_streaming()) {
            (true, _) => ("Whatever the service sends.", Value::object().with(ANYTHING, Value::object())),
            (false, false) => ("The answer.", Value::object().with(JSON, media(schema))),
            (false, true) if self.results.contains(&binding.tag()) => {
                let status = self.types.schema().message("google.rpc.Status");
                let error = status.map(|status| self.types.refer_to(status.0, Style::default()));
                let members = Value::object().with("result", schema).with_some("error", error);
                let line = Value::object().with("type", "object").with("properties", members);
                (RESULTS, Value::object().with(JSON, media(line)))
            }
            (false, true) => {
                let events = media(Value::object().with("type", "string"));
                (STREAM, stream(schema).with(SSE, events))
            }
        };
        let good = Value::object().with("description", description).with("content", content);
        let bad = Value::object().with("$ref", "#/components/responses/Error");
        Value::object().with("200", good).with("default", bad)
    }

    /// The answer to everything that fails.
    pub(super) fn error(&mut self) -> Option<Value> {
        let status = self.types.schema().message("google.rpc.Status")?;
        let schema = self.types.refer_to(status.0, Style::default());
        let content = Value::object().with(JSON, media(schema));
        let description = "The error, with the HTTP status that belongs to its `code`.";
        Some(Value::object().with("description", description).with("content", content))
    }
}

const RESULTS: &str = "A stream of messages, one a line: each as `result`. An error after the first message is the last line, as \
                       `error`.";
const STREAM: &str = "A stream of messages, in the form that `Accept` asks for: one a line (the schema is that of a \
                      line), an array, or server-sent events with a message each. An error after the first message \
                      ends it as `{\"error\": …}`, in server-sent events as the event `error`.";

/// Messages one a line, or in an array.
fn stream(schema: Value) -> Value {
    Value::object().with(NDJSON, media(schema.clone())).with(JSON, media(list(schema)))
}

fn media(schema: Value) -> Value {
    Value::object().with("schema", schema)
}

/// `shop.v1.OrderService` and `GetOrder`.
pub(super) fn service_and_method(binding: &Binding) -> (&str, &str) {
    let path = binding.grpc_path();
    path.strip_prefix('/').unwrap_or(path).rsplit_once('/').unwrap_or((path, ""))
}

/// The first sentence of a comment, without its full stop.
fn summary(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    paragraph.get(..end).unwrap_or_default().trim_end_matches('.').to_owned()
}
