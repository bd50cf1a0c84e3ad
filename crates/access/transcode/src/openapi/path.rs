//! Path templates as OpenAPI has them: each parameter is one segment, and paths that differ only in the names of their
//! parameters are one path.

use super::json::Value;
use super::types::{Style, Types};
use crate::percent;
use crate::router::{Binding, PathVariable};
use crate::schema::{Comments, Field, Message, Schema};
use crate::template::{Segment, Template};

/// A template on its way into a document.
#[derive(Debug)]
pub(super) struct Path<'b> {
    binding: &'b Binding,
    template: Template,
}

impl<'b> Path<'b> {
    pub(super) fn new(binding: &'b Binding) -> Option<Self> {
        Some(Path { binding, template: Template::parse(binding.template()).ok()? })
    }

    pub(super) fn binding(&self) -> &'b Binding {
        self.binding
    }

    /// Whether it ends with `**`, which OpenAPI cannot tell from `*`.
    pub(super) fn ends_in_many(&self) -> bool {
        self.template.segments.last() == Some(&Segment::Many)
    }

    /// The path with a `name` for each wildcard.
    pub(super) fn text<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> String {
        let mut names = names.into_iter();
        let mut out = Vec::new();
        for segment in &self.template.segments {
            out.push(b'/');
            match segment {
                Segment::Literal(text) => percent::encode(text, &mut out),
                Segment::One | Segment::Many => {
                    let name = names.next().unwrap_or_default();
                    out.extend_from_slice(format!("{{{name}}}").as_bytes());
                }
            }
        }
        if out.is_empty() {
            out.push(b'/');
        }
        for part in self.template.verb.iter().flat_map(|verb| verb.split(|&byte| byte == b':')) {
            out.push(b':');
            percent::encode(part, &mut out);
        }
        String::from_utf8(out).unwrap_or_default()
    }

    /// The path with the names taken out: equal for those that are one path to OpenAPI.
    pub(super) fn key(&self) -> String {
        self.text(std::iter::repeat(""))
    }

    /// A name for each wildcard. A variable of one segment is named by its field; the wildcards of a longer one by the
    /// collection before them, `shelves/*` as `{shelvesId}`, as in Google's discovery documents.
    pub(super) fn names(&self, style: Style) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for at in self.wildcards() {
            let wanted = match self.variable(at) {
                Some(variable) => self.collection(variable, at).unwrap_or_else(|| self.name(variable, style)),
                None => "segment".to_owned(),
            };
            names.push(super::unique(wanted, |name| names.iter().any(|known| known == name)));
        }
        names
    }

    /// The parameter objects, by these names.
    pub(super) fn parameters(
        &self,
        names: &[String],
        types: &mut Types<'_>,
        comments: &Comments,
        style: Style,
    ) -> Vec<Value> {
        let wildcards = self.wildcards().zip(names);
        let parameters = wildcards.map(|(at, name)| {
            let variable = self.variable(at);
            let mut says = Vec::new();
            let mut schema = Value::object().with("type", "string");
            if let Some((variable, way)) = variable.map(|it| (it, fields_on_way(self.binding, it))) {
                let field_name = self.name(variable, style);
                let alone = variable.segments() == (at..at + 1);
                if !alone {
                    says.push(format!("`{field_name}` is `{}`.", self.shown(variable, names)));
                } else if field_name != *name {
                    says.push(format!("Sets `{field_name}`."));
                }
                if let Some(&(message, field)) = way.last() {
                    says.extend(comment_of(comments, message, field));
                    if alone && !variable.multi {
                        schema = types.text(field, style);
                    }
                }
            } else {
                says.push("It is not a part of the request.".to_owned());
            }
            if self.template.segments.get(at) == Some(&Segment::Many) {
                says.push(
                    "Any number of segments, or none; the slashes between them are sent as they are."
                        .to_owned(),
                );
            }
            Value::object()
                .with("name", name.as_str())
                .with("in", "path")
                .with_any("description", says.join("\n\n"))
                .with("required", true)
                .with("schema", schema)
        });
        parameters.collect()
    }

    /// Positions of `*` and `**`.
    fn wildcards(&self) -> impl Iterator<Item = usize> {
        let segments = self.template.segments.iter().enumerate();
        segments.filter(|(_, segment)| !matches!(segment, Segment::Literal(_))).map(|(at, _)| at)
    }

    fn variable(&self, at: usize) -> Option<&'b PathVariable> {
        self.binding.variables.iter().find(|variable| variable.segments().contains(&at))
    }

    fn name(&self, variable: &PathVariable, style: Style) -> String {
        let way = fields_on_way(self.binding, variable);
        let name = way.iter().map(|(_, field)| style.name(field)).collect::<Vec<_>>().join(".");
        // A `json_name` can be anything, what stands in a template cannot.
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            return variable.field.text.to_string();
        }
        name
    }

    /// `shelvesId` for the `*` of `shelves/*` within a variable.
    fn collection(&self, variable: &PathVariable, at: usize) -> Option<String> {
        let before = at.checked_sub(1).filter(|before| variable.segments().contains(before))?;
        match (self.template.segments.get(before)?, self.template.segments.get(at)?) {
            (Segment::Literal(text), Segment::One) if text.iter().all(u8::is_ascii_alphanumeric) => {
                Some(format!("{}Id", String::from_utf8_lossy(text)))
            }
            _ => None,
        }
    }

    /// The segments of a variable, with the names of the parameters.
    fn shown(&self, variable: &PathVariable, names: &[String]) -> String {
        let mut names = self.wildcards().zip(names);
        let segments = variable.segments().filter_map(|at| match self.template.segments.get(at)? {
            Segment::Literal(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => names.find(|(wildcard, _)| *wildcard == at).map(|(_, name)| format!("{{{name}}}")),
        });
        segments.collect::<Vec<_>>().join("/")
    }
}

/// The fields from the request to the one a variable sets, each with the message it is in.
fn fields_on_way<'b>(binding: &'b Binding, variable: &PathVariable) -> Vec<(&'b Message, &'b Field)> {
    let schema: &Schema = &binding.schema;
    let mut message = schema.message_at(binding.input().0);
    let mut way = Vec::new();
    for &step in &variable.field.steps {
        let Some(field) = message.fields.get(usize::from(step)) else { break };
        way.push((message, field));
        if field.is_message() {
            message = schema.message_of(field);
        }
    }
    way
}

/// What its author says of a field.
pub(super) fn comment_of(comments: &Comments, message: &Message, field: &Field) -> Option<String> {
    let comment = comments.of(&format!("{}.{}", message.full_name, field.name))?;
    Some(comment.text.clone()).filter(|text| !text.is_empty())
}
