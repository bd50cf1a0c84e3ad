//! What is wrong with a configuration, all of it, and how it is shown: `file:line:column: message`, and on a terminal
//! the line with a caret.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::tree::Span;

/// The most characters of a source line that are shown.
const WINDOW: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Which value, such as `routes[0].upstream`; empty when it has no name.
    pub(crate) path: String,
    pub(crate) span: Span,
    pub(crate) message: String,
}

impl Problem {
    /// A problem of the text, which belongs to no value.
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Self {
        Self { path: String::new(), span, message: message.into() }
    }
}

/// Collects problems while the tree is read, and remembers where each value stood, for those who find fault later.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    all: RefCell<Vec<Problem>>,
    places: RefCell<BTreeMap<String, Span>>,
    /// Keys that were asked for and are not in the file.
    #[cfg(test)]
    pub(crate) absent: RefCell<Vec<String>>,
}

impl Problems {
    pub(crate) fn add(&self, problem: Problem) {
        self.all.borrow_mut().push(problem);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// The value at `path` stands here.
    pub(crate) fn place(&self, path: &str, span: Span) {
        self.places.borrow_mut().insert(path.to_owned(), span);
    }

    /// Where the value at `path` stands, or what it is part of.
    pub(crate) fn find(&self, path: &str) -> Span {
        let places = self.places.borrow();
        let mut rest = path;
        loop {
            if let Some(span) = places.get(rest) {
                return *span;
            }
            match rest.rfind(['.', '[']).and_then(|end| rest.get(..end)) {
                Some(parent) => rest = parent,
                None => return places.get("").copied().unwrap_or(Span { line: 1, column: 1, width: 1 }),
            }
        }
    }

    /// Adds what a later check found, unless the value, a part of it or the whole it belongs to is already known to
    /// be wrong: that would be the consequence and not the cause.
    pub(crate) fn add_later(&self, path: String, message: String) {
        let known = self.all.borrow().iter().any(|problem| {
            !problem.path.is_empty() && (is_part(&problem.path, &path) || is_part(&path, &problem.path))
        });
        if !known {
            let span = self.find(&path);
            let named = self.places.borrow().contains_key(&path);
            // What is not there cannot be pointed at, only named.
            let message = if named { message } else { format!("{path}: {message}") };
            self.add(Problem { path, span, message });
        }
    }

    /// Whether something at `path` or in it is wrong.
    pub(crate) fn any_in(&self, path: &str) -> bool {
        self.all.borrow().iter().any(|problem| is_part(&problem.path, path))
    }

    /// The problems in the order of the file.
    pub(crate) fn into_sorted(self) -> Vec<Problem> {
        let mut all = self.all.into_inner();
        all.sort_by_key(|problem| (problem.span.line, problem.span.column));
        all
    }
}

/// Whether `path` is `whole` or something in it.
fn is_part(path: &str, whole: &str) -> bool {
    path.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A configuration that cannot be used.
#[derive(Debug)]
pub(crate) enum Rejected {
    /// There is nothing to look at: one sentence.
    Unreadable(String),
    /// What it says is wrong.
    Wrong(Wrong),
}

/// What is wrong with a configuration.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// The file as it was named.
    pub(crate) file: String,
    /// Its text, as far as it is text.
    pub(crate) text: String,
    /// At least one.
    pub(crate) problems: Vec<Problem>,
}

impl Wrong {
    /// The problems for people: styled (whoever prints it removes that where it is not wanted), and with `carets` the
    /// lines themselves.
    pub(crate) fn render(&self, carets: bool) -> String {
        let (bold, red) = (Style::new().bold(), AnsiColor::Red.on_default().bold());
        let mut out = String::new();
        for Problem { span, message, .. } in &self.problems {
            let (file, message) = (&self.file, printable(message));
            let Span { line, column, .. } = span;
            let written = writeln!(out, "{bold}{file}:{line}:{column}:{bold:#} {red}{message}{red:#}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
            if carets {
                self.point(&mut out, *span);
            }
        }
        out
    }

    /// The line and, below, a caret under the place.
    fn point(&self, out: &mut String, span: Span) {
        let Some(line) = self.text.lines().nth(span.line.saturating_sub(1)) else { return };
        let line: Vec<char> = printable(line).chars().collect();
        let column = span.column.saturating_sub(1).min(line.len());
        // A long line is cut so that the place is in the window.
        let from = if line.len() <= WINDOW { 0 } else { column.saturating_sub(WINDOW / 2) };
        let shown: String = line.iter().skip(from).take(WINDOW).collect();
        let width = span.width.min((line.len() - column).max(1)).min(WINDOW);
        let number = span.line.to_string();
        let (blue, red) = (AnsiColor::Blue.on_default().bold(), AnsiColor::Red.on_default().bold());
        let (gutter, indent, carets) =
            (" ".repeat(number.len()), " ".repeat(column - from), "^".repeat(width));
        let written = write!(
            out,
            "  {blue}{number} |{blue:#} {shown}\n  {blue}{gutter} |{blue:#} {indent}{red}{carets}{red:#}\n"
        );
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

/// The text without what a terminal would obey; the same number of characters.
fn printable(text: &str) -> String {
    let replace = |char: char| match char {
        '\t' => ' ',
        char if char.is_control() => '\u{fffd}',
        char => char,
    };
    text.chars().map(replace).collect()
}
