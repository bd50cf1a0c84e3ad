//! Reads typed values from the tree. A wrong value is noted with its place and reading goes on, so that one run tells
//! everything that is wrong.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::nearest::nearest;
use super::report::{Problem, Problems};
use super::tree::{Data, Entry, Node, Span};
use super::{scalar, show};

/// A value somebody asked for.
#[derive(Debug, Clone)]
pub(crate) struct Value<'a> {
    node: &'a Node,
    span: Span,
    path: String,
    problems: &'a Problems,
}

impl<'a> Value<'a> {
    /// The whole file.
    pub(crate) fn root(node: &'a Node, problems: &'a Problems) -> Self {
        Self::new(node, node.span, String::new(), problems)
    }

    fn new(node: &'a Node, span: Span, path: String, problems: &'a Problems) -> Self {
        problems.place(&path, span);
        Self { node, span, path, problems }
    }

    /// Notes what is wrong with this value.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        let problem = Problem { path: self.path.clone(), span: self.span, message: message.into() };
        self.problems.add(problem);
    }

    /// Notes what a check of the whole found in one of its fields.
    pub(crate) fn later(&self, field: &str, message: String) {
        self.problems.add_later(format!("{}.{field}", self.path), message);
    }

    fn wanted<T>(&self, what: &str) -> Option<T> {
        let found = match &self.node.data {
            Data::Null => "nothing",
            Data::Scalar { text, .. } => &format!("`{}`", shortened(&self.shown(text))),
            Data::Sequence(_) => "a list",
            Data::Mapping(_) => "a mapping",
        };
        self.problem(format!("{what} is wanted here, not {found}"));
        None
    }

    /// The text as it may be shown: what is wrong goes into the log, and to whoever asks the admin server.
    fn shown(&self, text: &str) -> String {
        if show::is_secret_path(&self.path) { show::REDACTED.to_owned() } else { show::without_secrets(text) }
    }

    /// Whether it is the plain word `off` (or `false`).
    pub(crate) fn is_off(&self) -> bool {
        matches!(&self.node.data, Data::Scalar { text, plain: true } if text == "off" || text == "false")
    }

    /// The fields of a mapping; `example` shows one. Nothing counts as a mapping without fields.
    pub(crate) fn fields(&self, example: &str) -> Option<Fields<'a>> {
        let entries: &[Entry] = match &self.node.data {
            Data::Mapping(entries) => entries,
            Data::Null => &[],
            _ => return self.wanted(&format!("a mapping, such as {example},")),
        };
        let (span, path) = (self.span, self.path.clone());
        Some(Fields { span, path, entries, asked: Vec::new(), problems: self.problems })
    }

    /// The values of a mapping whose keys are names that the user chose.
    pub(crate) fn named(&self, example: &str) -> Vec<(&'a str, Value<'a>)> {
        let Some(fields) = self.fields(example) else { return Vec::new() };
        fields.entries.iter().map(|entry| (entry.key.as_str(), fields.value(entry))).collect()
    }

    /// The items of a list; `example` shows one. Nothing counts as an empty list.
    pub(crate) fn items(&self, example: &str) -> Vec<Value<'a>> {
        match &self.node.data {
            Data::Sequence(items) => {
                let item = |(index, node): (usize, &'a Node)| {
                    Value::new(node, node.span, format!("{}[{index}]", self.path), self.problems)
                };
                items.iter().enumerate().map(item).collect()
            }
            Data::Null => Vec::new(),
            _ => self.wanted::<Vec<_>>(&format!("a list, such as {example},")).unwrap_or_default(),
        }
    }

    /// Text that is not empty.
    pub(crate) fn text(&self) -> Option<&'a str> {
        match &self.node.data {
            Data::Scalar { text, .. } if !text.is_empty() => Some(text),
            _ => self.wanted("text"),
        }
    }

    /// Text that `parse` understands; its error is a sentence.
    pub(crate) fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text()?;
        let (told, shown) = (format!("`{text}`"), format!("`{}`", self.shown(text)));
        parse(text).map_err(|message| self.problem(message.replace(&told, &shown))).ok()
    }

    /// One of these words.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let found = match &self.node.data {
            Data::Scalar { text, .. } => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        if let Some((_, value)) = found {
            return Some(*value);
        }
        let (last, others) = words.split_last()?;
        let others: Vec<_> = others.iter().map(|(word, _)| format!("`{word}`")).collect();
        self.wanted(&format!("{} or `{}`", others.join(", "), last.0))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match &self.node.data {
            Data::Scalar { text, plain: true } if text == "true" => Some(true),
            Data::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => self.wanted("`true` or `false`"),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&self, range: RangeInclusive<usize>) -> Option<usize> {
        let (low, high) = range.clone().into_inner();
        let number = match &self.node.data {
            Data::Scalar { text, plain: true } => scalar::integer(text),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.wanted(&format!("a whole number from {low} to {high}")),
        }
    }

    /// A number from 0 to 1.
    pub(crate) fn fraction(&self) -> Option<f64> {
        let number = match &self.node.data {
            Data::Scalar { text, plain: true } => text.parse::<f64>().ok(),
            _ => None,
        };
        match number {
            Some(number) if (0.0..=1.0).contains(&number) => Some(number),
            _ => self.wanted("a number from 0 to 1"),
        }
    }

    /// `250ms`, `15s`, `5m`, `1h`.
    pub(crate) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let time = self.parsed(scalar::duration)?;
        let (low, high) = range.clone().into_inner();
        if !range.contains(&time) {
            return self.wanted(&format!("a duration from {low:?} to {}h", high.as_secs() / 3600));
        }
        Some(time)
    }

    /// Bytes: `64KiB`, `4MiB`, `1GiB` or a number.
    pub(crate) fn bytes(&self, range: RangeInclusive<usize>) -> Option<usize> {
        let bytes = self.parsed(scalar::bytes)?;
        if !range.contains(&bytes) {
            let (low, high) = range.into_inner();
            let (low, high) = (scalar::show_bytes(low), scalar::show_bytes(high));
            return self.wanted(&format!("a size from {low} to {high}"));
        }
        Some(bytes)
    }
}

/// The fields of a mapping. Whatever has not been asked for when it is [finished](Self::finish) is unknown.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    span: Span,
    path: String,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    fn value(&self, entry: &'a Entry) -> Value<'a> {
        // Nothing has no place of its own.
        let span = if entry.value.data == Data::Null { entry.at } else { entry.value.span };
        Value::new(&entry.value, span, self.child(&entry.key), self.problems)
    }

    fn child(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether one of these keys is there.
    pub(crate) fn has_any(&self, names: &[&str]) -> bool {
        self.entries.iter().any(|entry| names.contains(&entry.key.as_str()))
    }

    /// The field, if it is there.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<Value<'a>> {
        self.asked.push(name);
        let entry = self.entries.iter().find(|entry| entry.key == name);
        #[cfg(test)]
        if entry.is_none() {
            self.problems.absent.borrow_mut().push(self.child(name));
        }
        entry.map(|entry| self.value(entry))
    }

    /// The field, which must be there.
    pub(crate) fn require(&mut self, name: &'static str) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() {
            let message = format!("`{name}` is missing");
            self.problems.add(Problem { path: self.child(name), span: self.span, message });
        }
        value
    }

    /// Reads a field into its place, which keeps its default when the field is not there or is wrong.
    pub(crate) fn set<T>(
        &mut self,
        name: &'static str,
        place: &mut T,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) {
        if let Some(value) = self.get(name).and_then(|value| read(&value)) {
            *place = value;
        }
    }

    /// Notes every field that nobody asked for.
    pub(crate) fn finish(self) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let key = shortened(&entry.key);
            let message = match nearest(&entry.key, &self.asked) {
                Some(known) => format!("unknown key `{key}`; did you mean `{known}`?"),
                None => format!("unknown key `{key}`; known here: {}", self.asked.join(", ")),
            };
            self.problems.add(Problem { path: self.child(&entry.key), span: entry.at, message });
        }
    }
}

/// A value as it may be repeated in a message.
fn shortened(text: &str) -> String {
    if text.chars().nth(40).is_none() {
        return text.to_owned();
    }
    text.chars().take(39).chain(['…']).collect()
}
