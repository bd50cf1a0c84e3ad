//! Path templates of `google/api/http.proto`, such as `/v1/{name=shelves/*/books/*}:read`.

#[cfg(test)]
mod tests;

use crate::percent::{self, Decode};

/// Segments a template may have, and with them the depth of the router's tree.
pub(crate) const MAX_SEGMENTS: usize = 32;
/// Variables a template may have: a match holds their places in itself.
pub(crate) const MAX_VARIABLES: usize = 16;

/// What one segment of a path must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This text, once percent-decoded.
    Literal(Box<[u8]>),
    /// `*`: anything, but not nothing.
    One,
    /// `**`: all that is left, or nothing. Always the last.
    Many,
}

/// `{field.path=segments}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) field_path: String,
    /// Its segments.
    pub(crate) first: usize,
    pub(crate) end: usize,
    /// Whether it may hold slashes, so that `%2F` is not decoded in it.
    pub(crate) multi: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    pub(crate) variables: Vec<Variable>,
    /// What stands behind the last colon.
    pub(crate) verb: Option<Box<[u8]>>,
}

/// What is wrong with a template, for the configuration's author.
pub(crate) type Problem = &'static str;

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Template, Problem> {
        let rest = text.strip_prefix('/').ok_or("it must start with \"/\"")?;
        let mut parser =
            Parser { rest, template: Template { segments: Vec::new(), variables: Vec::new(), verb: None } };
        if !rest.is_empty() {
            parser.template()?;
        }
        let template = parser.template;
        if template.segments.len() > MAX_SEGMENTS {
            return Err("it has more than 32 segments");
        }
        if template.variables.len() > MAX_VARIABLES {
            return Err("it has more than 16 variables");
        }
        let many = template.segments.iter().position(|segment| *segment == Segment::Many);
        if many.is_some_and(|at| at + 1 < template.segments.len()) {
            return Err("\"**\" must be the last segment");
        }
        let mut names: Vec<&str> = template.variables.iter().map(|variable| &*variable.field_path).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a variable is there twice");
        }
        Ok(template)
    }
}

struct Parser<'a> {
    rest: &'a str,
    template: Template,
}

impl<'a> Parser<'a> {
    /// `Segments [ ":" verb ]`.
    fn template(&mut self) -> Result<(), Problem> {
        loop {
            if self.take("{") {
                self.variable()?;
                // Behind a variable all colons belong to the verb: `{uuid}:custom:custom`.
                if self.take(":") {
                    let verb = std::mem::take(&mut self.rest);
                    return self.verb(verb);
                }
            } else {
                let text = self.until(&['/']);
                // A colon before the last segment is a part of it.
                match text.rsplit_once(':') {
                    Some((segment, verb)) if self.rest.is_empty() => {
                        self.segment(segment)?;
                        return self.verb(verb);
                    }
                    _ => self.segment(text)?,
                }
            }
            if self.rest.is_empty() {
                return Ok(());
            }
            if !self.take("/") {
                return Err("only \"/\" or \":\" may follow a variable");
            }
        }
    }

    /// `field.path [ "=" segments ] "}"`, behind the brace.
    fn variable(&mut self) -> Result<(), Problem> {
        let name = self.until(&['=', '}']);
        let identifier = |part: &str| {
            !part.is_empty()
                && !part.starts_with(|c: char| c.is_ascii_digit())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if !name.split('.').all(identifier) {
            return Err("a variable must be named by a field path such as \"order.id\"");
        }
        let first = self.template.segments.len();
        if self.take("=") {
            for segment in self.until(&['}']).split('/') {
                self.segment(segment)?;
            }
        } else {
            self.template.segments.push(Segment::One);
        }
        if !self.take("}") {
            return Err("a \"{\" has no \"}\"");
        }
        let end = self.template.segments.len();
        let multi = end > first + 1 || self.template.segments.last() == Some(&Segment::Many);
        self.template.variables.push(Variable { field_path: name.to_owned(), first, end, multi });
        Ok(())
    }

    fn segment(&mut self, text: &str) -> Result<(), Problem> {
        self.template.segments.push(match text {
            "" => return Err("a segment is empty"),
            "*" => Segment::One,
            "**" => Segment::Many,
            _ => Segment::Literal(literal(text)?),
        });
        Ok(())
    }

    fn verb(&mut self, text: &str) -> Result<(), Problem> {
        if text.is_empty() || text.contains('/') {
            return Err("a verb must be the last part, and not empty");
        }
        self.template.verb = Some(literal(text)?);
        Ok(())
    }

    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn until(&mut self, ends: &[char]) -> &'a str {
        let (text, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        text
    }
}

fn literal(text: &str) -> Result<Box<[u8]>, Problem> {
    if text.contains(['*', '{', '}']) {
        return Err("\"*\", \"{\" and \"}\" may not be part of a segment");
    }
    let mut out = Vec::with_capacity(text.len());
    percent::decode(text.as_bytes(), Decode::Segment, &mut out).map_err(|_| "a percent-escape is broken")?;
    Ok(out.into())
}
