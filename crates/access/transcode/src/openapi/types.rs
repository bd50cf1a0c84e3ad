//! Protobuf types as JSON Schema 2020-12: what the protobuf JSON mapping prints for each.
//!
//! The mapping reads more than it prints (numbers for enums, numbers for 64-bit integers, `null` for every field); a
//! schema describes what is printed, which is the one form that clients should know.

use std::collections::{BTreeMap, HashMap};

use super::json::Value;
use crate::schema::{Comments, Enum, Field, Kind, Message, NO_ONEOF, Shape, WellKnown};
use crate::{Defaults, Options, Schema};

/// How the JSON of a route is printed, as far as a schema shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Style {
    proto_names: bool,
    enum_numbers: bool,
    /// What is not there is printed as `null`.
    nulls: bool,
}

impl Style {
    pub(super) fn of(options: &Options) -> Style {
        Style {
            proto_names: options.proto_names,
            enum_numbers: options.enum_numbers,
            nulls: options.defaults == Defaults::PrintNull,
        }
    }

    /// The name of a field in JSON.
    pub(super) fn name(self, field: &Field) -> &str {
        if self.proto_names { &field.name } else { &field.json_name }
    }

    /// What the names of types printed in this style have at their end.
    fn suffix(self) -> String {
        let parts =
            [(self.proto_names, "-protoNames"), (self.enum_numbers, "-enumNumbers"), (self.nulls, "-nulls")];
        parts.into_iter().filter(|(on, _)| *on).map(|(_, part)| part).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Type {
    Message(u32),
    Enum(u32),
}

/// The schemas under `components`: those that were referred to, and what they refer to themselves.
#[derive(Debug)]
pub(super) struct Types<'a> {
    schema: &'a Schema,
    comments: &'a Comments,
    names: HashMap<(Type, Style), String>,
    /// Referred to, but not described yet.
    open: Vec<(Type, Style)>,
    described: BTreeMap<String, Value>,
}

impl<'a> Types<'a> {
    pub(super) fn new(schema: &'a Schema, comments: &'a Comments) -> Self {
        Types { schema, comments, names: HashMap::new(), open: Vec::new(), described: BTreeMap::new() }
    }

    pub(super) fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// Describes all that was referred to.
    pub(super) fn finish(mut self) -> Value {
        while let Some((this, style)) = self.open.pop() {
            let description = match this {
                Type::Message(at) => self.message(self.schema.message_at(at), style),
                Type::Enum(at) => self.enumeration(self.schema.enum_at(at), style),
            };
            if let Some(name) = self.names.get(&(this, style)) {
                self.described.insert(name.clone(), description);
            }
        }
        Value::Object(self.described.into_iter().collect())
    }

    /// A reference to the message.
    pub(super) fn refer_to(&mut self, message: u32, style: Style) -> Value {
        self.reference(Type::Message(message), style)
    }

    fn reference(&mut self, this: Type, style: Style) -> Value {
        if !self.names.contains_key(&(this, style)) {
            let full_name = match this {
                Type::Message(at) => &self.schema.message_at(at).full_name,
                Type::Enum(at) => &self.schema.enum_at(at).full_name,
            };
            // Compilers give nothing else, but descriptors may be written by anyone.
            let clean = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
            let mut name: String = full_name.chars().map(clean).collect();
            name.push_str(&style.suffix());
            let name = super::unique(name, |name| self.names.values().any(|known| known == name));
            self.names.insert((this, style), name);
            self.open.push((this, style));
        }
        let name = self.names.get(&(this, style)).map_or("", String::as_str);
        Value::object().with("$ref", format!("#/components/schemas/{name}"))
    }

    /// The schema of a field's value.
    pub(super) fn field(&mut self, field: &Field, style: Style) -> Value {
        match field.shape {
            Shape::Map => {
                let value = self.schema.message_of(field).by_number(2).map(|(_, value)| value);
                let values = value.map_or_else(Value::object, |value| self.one(value, style));
                Value::object().with("type", "object").with("additionalProperties", values)
            }
            Shape::Repeated => list(self.one(field, style)),
            Shape::Implicit | Shape::Explicit => self.one(field, style),
        }
    }

    /// The schema of a field that is written as text, in a path or a query: there a wrapper cannot be `null`.
    pub(super) fn text(&mut self, field: &Field, style: Style) -> Value {
        let one = match field.kind {
            Kind::Message => match self.schema.message_of(field).well_known {
                Some(WellKnown::Wrapper(kind)) => scalar(kind),
                _ => self.one(field, style),
            },
            Kind::Enum => match self.schema.enum_of(field) {
                null if null.null_value => Value::object().with("type", "string").with("enum", names(null)),
                _ => self.one(field, style),
            },
            _ => self.one(field, style),
        };
        if field.shape == Shape::Repeated { list(one) } else { one }
    }

    fn one(&mut self, field: &Field, style: Style) -> Value {
        match field.kind {
            Kind::Enum => self.reference(Type::Enum(field.type_index), style),
            Kind::Message | Kind::Group => self.refer_to(field.type_index, style),
            kind => scalar(kind),
        }
    }

    fn message(&mut self, message: &Message, style: Style) -> Value {
        if let Some(known) = message.well_known {
            return well_known(known);
        }
        let mut properties = Value::object();
        // Extensions are not what the author of the message promised; whoever sends them knows them.
        for field in message.fields.iter().filter(|field| !is_extension(field)) {
            let comment = self.comments.of(&format!("{}.{}", message.full_name, field.name));
            let mut value = self.field(field, style);
            if style.nulls && field.shape == Shape::Explicit && field.nullable {
                let null = Value::object().with("type", "null");
                value = Value::object().with("anyOf", vec![value, null]);
            }
            if let Some(comment) = comment {
                value = value.with_any("description", comment.text.as_str());
                value = value.with_some("deprecated", comment.deprecated.then_some(true));
            }
            properties = properties.with(style.name(field), value);
        }
        let comment = self.comments.of(&message.full_name);
        let said = comment.map(|comment| comment.text.clone()).into_iter().filter(|text| !text.is_empty());
        let choices = (0..message.oneofs.len()).filter_map(|at| choice(message, at, style));
        let description = said.chain(choices).collect::<Vec<_>>().join("\n\n");
        Value::object()
            .with("type", "object")
            .with_any("description", description)
            .with_some("deprecated", comment.filter(|comment| comment.deprecated).map(|_| true))
            .with_any("properties", properties)
    }

    fn enumeration(&mut self, this: &Enum, style: Style) -> Value {
        if this.null_value {
            return Value::object().with("type", "null");
        }
        let comment = self.comments.of(&this.full_name);
        let said = comment.map(|comment| comment.text.clone()).into_iter().filter(|text| !text.is_empty());
        let values = this.values.iter().filter_map(|(number, quoted)| {
            let name = unquoted(quoted);
            let text = &self.comments.of(&format!("{}.{name}", this.full_name))?.text;
            let shown = if style.enum_numbers { number.to_string() } else { name };
            (!text.is_empty()).then(|| format!("- `{shown}`: {}", text.replace('\n', " ")))
        });
        let values = values.collect::<Vec<_>>().join("\n");
        let description = said.chain(Some(values).filter(|values| !values.is_empty()));
        let described = if style.enum_numbers {
            // An open enum has numbers without a name too.
            let numbers: Vec<Value> = this.values.iter().map(|value| value.0.into()).collect();
            let all = this.closed.then_some(numbers);
            Value::object().with("type", "integer").with("format", "int32").with_some("enum", all)
        } else {
            Value::object().with("type", "string").with("enum", names(this))
        };
        described
            .with_any("description", description.collect::<Vec<_>>().join("\n\n"))
            .with_some("deprecated", comment.filter(|comment| comment.deprecated).map(|_| true))
    }
}

/// Extensions are named `[full.name]`.
pub(super) fn is_extension(field: &Field) -> bool {
    field.json_name.starts_with('[') && field.json_name == field.name
}

/// What a oneof means, for a person: as a schema it would be a condition that generators of clients do not understand.
fn choice(message: &Message, oneof: usize, style: Style) -> Option<String> {
    let members =
        message.fields.iter().filter(|field| field.oneof != NO_ONEOF && usize::from(field.oneof) == oneof);
    let members: Vec<_> = members.map(|field| format!("`{}`", style.name(field))).collect();
    let name = message.oneofs.get(oneof)?;
    (members.len() > 1).then(|| format!("At most one of {} is set (`{name}`).", members.join(", ")))
}

fn names(this: &Enum) -> Vec<Value> {
    this.values.iter().map(|value| unquoted(&value.1).into()).collect()
}

fn unquoted(quoted: &[u8]) -> String {
    String::from_utf8_lossy(quoted).trim_matches('"').to_owned()
}

pub(super) fn list(items: Value) -> Value {
    Value::object().with("type", "array").with("items", items)
}

fn scalar(kind: Kind) -> Value {
    let (this, format) = match kind {
        Kind::Double => ("number", "double"),
        Kind::Float => ("number", "float"),
        Kind::Int32 | Kind::SInt32 | Kind::SFixed32 => ("integer", "int32"),
        Kind::UInt32 | Kind::Fixed32 => ("integer", "uint32"),
        // A JavaScript number would lose their low bits.
        Kind::Int64 | Kind::SInt64 | Kind::SFixed64 => ("string", "int64"),
        Kind::UInt64 | Kind::Fixed64 => ("string", "uint64"),
        Kind::Bool => ("boolean", ""),
        Kind::Bytes => return Value::object().with("type", "string").with("contentEncoding", "base64"),
        Kind::String | Kind::Enum | Kind::Message | Kind::Group => ("string", ""),
    };
    Value::object().with("type", this).with_any("format", format)
}

fn well_known(known: WellKnown) -> Value {
    let text = |description: &str| Value::object().with("type", "string").with("description", description);
    match known {
        WellKnown::Any => {
            let url =
                text("The type of the message, such as `type.googleapis.com/google.protobuf.Duration`.");
            Value::object()
                .with("type", "object")
                .with(
                    "description",
                    "A message of any type: its fields beside `@type`, or its JSON as `value`.",
                )
                .with("properties", Value::object().with("@type", url))
                .with("additionalProperties", true)
        }
        WellKnown::Timestamp => text("A point in time (RFC 3339).").with("format", "date-time"),
        WellKnown::Duration => {
            text("Seconds, such as `1.5s`.").with("pattern", r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$")
        }
        WellKnown::FieldMask => text("Paths of fields, such as `displayName,address.city`."),
        WellKnown::Struct => Value::object()
            .with("type", "object")
            .with("description", "Any JSON object.")
            .with("additionalProperties", true),
        WellKnown::Value => Value::object().with("description", "Any JSON value."),
        WellKnown::ListValue => list(Value::object()).with("description", "Any JSON array."),
        WellKnown::Wrapper(kind) => {
            let Value::Object(mut members) = scalar(kind) else { return Value::object() };
            if let Some((_, this)) = members.first_mut() {
                *this = vec![this.clone(), "null".into()].into();
            }
            Value::Object(members)
        }
    }
}
