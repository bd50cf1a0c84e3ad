//! YAML text as a tree that knows where everything stands.
//!
//! Built from the parser's events and not with serde, which stops at the first error and forgets positions. Anchors,
//! aliases and tags are refused: a configuration has no use for them, and without aliases a small file cannot grow.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::report::{Problem, Problems};

/// Deeper than any configuration; the tree is read and dropped recursively.
const MAX_DEPTH: usize = 64;

/// Where something stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Span {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// In characters, on this line; at least 1.
    pub(crate) width: usize,
}

/// A value and its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) data: Data,
}

/// What a value is before anybody asked for a type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Nothing, `~` or `null`.
    Null,
    /// Any other scalar. Only a plain one can be a number or a switch.
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in order, without duplicates.
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Span,
    pub(crate) value: Node,
}

/// Parses the one document in `text`. What is wrong goes into `problems`; `None` when there is no tree to go on with.
pub(crate) fn parse(text: &str, problems: &Problems) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { open: Vec::new(), root: None, problems };
    let mut parser = Parser::new_from_str(text);
    // Event by event: `Parser::load` is recursive, and its depth would be up to the file.
    while let Some(event) = parser.next_event() {
        match event {
            Ok((Event::DocumentStart(_), span)) if builder.root.is_some() => {
                builder.problem(span.into(), "a second document begins here; one file is one configuration");
                return None;
            }
            Ok((event, span)) => builder.take(event, span.into())?,
            Err(error) => {
                let at = Span::from(saphyr_parser::Span::empty(*error.marker()));
                match indenting_tab(text, at.line) {
                    Some(span) => builder.problem(span, "a tab indents this line; YAML wants spaces"),
                    None => builder.problem(at, format!("not YAML: {}", error.info())),
                }
                return None;
            }
        }
    }
    match builder.root {
        Some(Node { data: Data::Null, .. }) | None => {
            problems.add(Problem::at(Span { line: 1, column: 1, width: 1 }, "the file is empty"));
            None
        }
        root => root,
    }
}

struct Builder<'a> {
    /// The collections that have begun and not ended.
    open: Vec<Open>,
    root: Option<Node>,
    problems: &'a Problems,
}

struct Open {
    span: Span,
    collection: Collection,
}

enum Collection {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, key: Option<(String, Span)> },
}

impl Builder<'_> {
    fn problem(&self, span: Span, message: impl Into<String>) {
        self.problems.add(Problem::at(span, message));
    }

    /// `None` when there is no point in going on.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                self.insert(Node { span, data: scalar(text.into_owned(), style) });
            }
            Event::Alias(_) => {
                self.problem(span, "aliases are not supported; write the value out");
                self.insert(Node { span, data: Data::Null });
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                self.begin(span, Collection::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                self.begin(span, Collection::Mapping { entries: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn refuse_extras(&self, span: Span, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.problem(span, "anchors are not supported; write the value out where it is needed");
        }
        if tagged {
            self.problem(span, "tags are not supported");
        }
    }

    fn begin(&mut self, span: Span, collection: Collection) -> Option<()> {
        if self.open.len() == MAX_DEPTH {
            self.problem(span, format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        self.open.push(Open { span, collection });
        Some(())
    }

    fn end(&mut self) {
        let Some(Open { span, collection }) = self.open.pop() else { return };
        let data = match collection {
            Collection::Sequence(items) => Data::Sequence(items),
            Collection::Mapping { entries, .. } => Data::Mapping(entries),
        };
        // The span of a collection is that of its first character: its end may be lines away.
        self.insert(Node { span: Span { width: 1, ..span }, data });
    }

    /// Puts a finished node where it belongs: into a list, as a mapping's next key or value, or at the root.
    fn insert(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.root = Some(node),
            Some(Collection::Sequence(items)) => items.push(node),
            Some(Collection::Mapping { entries, key }) => {
                if let Err((span, message)) = insert_into(entries, key, node) {
                    self.problem(span, message);
                }
            }
        }
    }
}

/// Takes a mapping's next key, or the value of the one before.
fn insert_into(
    entries: &mut Vec<Entry>,
    key: &mut Option<(String, Span)>,
    node: Node,
) -> Result<(), (Span, String)> {
    let Some((name, at)) = key.take() else {
        let span = node.span;
        // Whatever it is, it is a key, so that the value that follows is not taken for one.
        let text = if let Data::Scalar { text, .. } = node.data { Some(text) } else { None };
        let outcome = text.is_some().then_some(()).ok_or_else(|| (span, "a key must be text".to_owned()));
        *key = Some((text.unwrap_or_default(), span));
        return outcome;
    };
    if let Some(first) = entries.iter().find(|entry| entry.key == name) {
        return Err((at, format!("`{name}` is already given in line {}", first.at.line)));
    }
    entries.push(Entry { key: name, at, value: node });
    Ok(())
}

/// The first tab that indents a line, from the line on where the parser noticed that something is wrong: it tells where
/// the text before the tab begins.
fn indenting_tab(text: &str, from: usize) -> Option<Span> {
    let indented =
        |line: &str| line.chars().take_while(|char| char.is_whitespace()).position(|char| char == '\t');
    text.lines().enumerate().skip(from - 1).take(2).find_map(|(index, line)| {
        indented(line).map(|tab| Span { line: index + 1, column: tab + 1, width: 1 })
    })
}

fn scalar(text: String, style: ScalarStyle) -> Data {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
        return Data::Null;
    }
    Data::Scalar { text, plain }
}

impl From<saphyr_parser::Span> for Span {
    fn from(span: saphyr_parser::Span) -> Self {
        let (start, end) = (span.start, span.end);
        let width = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
        Self { line: start.line().max(1), column: start.col() + 1, width: width.max(1) }
    }
}
