//! JSON values, as far as a document needs them, and how they are written.

use crate::wire_to_json::string::put_string;

/// A value. Objects keep the order in which they were filled.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// An empty object.
    pub(super) fn object() -> Value {
        Value::Object(Vec::new())
    }

    /// The object with one member more.
    pub(super) fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Value {
        if let Value::Object(members) = &mut self {
            members.push((name.into(), value.into()));
        }
        self
    }

    /// The same, if there is a value.
    pub(super) fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Value {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The same, unless the value is empty.
    pub(super) fn with_any(self, name: &str, value: impl Into<Value>) -> Value {
        let value = value.into();
        if value.is_empty() { self } else { self.with(name, value) }
    }

    fn is_empty(&self) -> bool {
        match self {
            Value::Bool(_) | Value::Integer(_) => false,
            Value::Text(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
        }
    }

    /// The text, indented by two blanks a level, with a line end at the end.
    pub(super) fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.put(&mut out, 0);
        out.push(b'\n');
        String::from_utf8(out).unwrap_or_default()
    }

    fn put(&self, out: &mut Vec<u8>, level: usize) {
        match self {
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Integer(value) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
            Value::Text(text) => put_string(out, text),
            Value::List(items) => put_all(out, level, *b"[]", items, |out, item| item.put(out, level + 1)),
            Value::Object(members) => put_all(out, level, *b"{}", members, |out, (name, value)| {
                put_string(out, name);
                out.extend_from_slice(b": ");
                value.put(out, level + 1);
            }),
        }
    }
}

/// Each on a line of its own, between `brackets`.
fn put_all<T>(
    out: &mut Vec<u8>,
    level: usize,
    [open, close]: [u8; 2],
    all: &[T],
    mut put: impl FnMut(&mut Vec<u8>, &T),
) {
    let new_line = |out: &mut Vec<u8>, level: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * level, b' ');
    };
    out.push(open);
    for (at, item) in all.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        new_line(out, level + 1);
        put(out, item);
    }
    if !all.is_empty() {
        new_line(out, level);
    }
    out.push(close);
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Integer(value.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::List(items)
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(items: [&str; N]) -> Value {
        Value::List(items.map(Value::from).into())
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn values_are_written_as_serde_json_would() {
        let inner = Value::object().with("list", ["a", "\"b\"\n"]).with("n", -5).with("yes", true);
        let value = Value::object()
            .with("né", inner.clone())
            .with("none", Value::object())
            .with("all", vec![inner, Value::List(Vec::new())])
            .with_some("absent", None::<bool>)
            .with_any("empty", "");
        let text = value.to_text();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["né"]["list"][1], "\"b\"\n");
        assert_eq!(read.as_object().unwrap().len(), 3);
        let mut sorted =
            serde_json::to_string_pretty(&read).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
        // serde_json sorts members, so that commas stand elsewhere.
        for line in sorted.iter_mut().chain(&mut lines) {
            *line = line.trim_end_matches(',').to_owned();
        }
        sorted.sort();
        lines.sort();
        assert_eq!(lines, sorted);
    }
}
