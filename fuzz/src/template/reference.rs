//! What `google/api/http.proto` and the crate's documentation say of templates, in the simplest words: text is split,
//! every template is compared with the path, and of those that match the most specific one wins.

use std::collections::BTreeSet;

/// What one segment of a template takes. The order is that of precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(Vec<u8>),
    One,
    /// No segment: the template ends before `**` would take nothing.
    End,
    Many,
}

/// A rule that is accepted.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    /// Which of the lines it is.
    pub(super) index: usize,
    pub(super) method: &'a str,
    pub(super) template: &'a str,
    parts: Vec<Part>,
    verb: Option<Vec<u8>>,
    variables: Vec<Variable<'a>>,
}

#[derive(Debug)]
struct Variable<'a> {
    name: &'a str,
    first: usize,
    end: usize,
}

/// What a request should get.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// The rule, and the values of its variables.
    Found(&'a Rule<'a>, Vec<(&'a str, Vec<u8>)>),
    MethodNotAllowed(String),
    NotFound,
    BadPath,
}

impl<'a> Rule<'a> {
    /// The lines that are good rules, and do not repeat an earlier one.
    pub(super) fn accepted(lines: &[(&'a str, &'a str)]) -> Vec<Rule<'a>> {
        let mut rules: Vec<Rule<'a>> = Vec::new();
        for (index, &(method, template)) in lines.iter().enumerate() {
            let rule = Rule::parse(index, method, template).filter(|_| !method.is_empty());
            let Some(rule) = rule else { continue };
            let same = |other: &Rule<'_>| {
                (other.method, &other.parts, &other.verb) == (rule.method, &rule.parts, &rule.verb)
            };
            if !rules.iter().any(same) {
                rules.push(rule);
            }
        }
        rules
    }

    fn parse(index: usize, method: &'a str, template: &'a str) -> Option<Rule<'a>> {
        let text = template.strip_prefix('/')?;
        let (text, verb) = split_verb(text)?;
        let mut rule = Rule { index, method, template, parts: Vec::new(), verb, variables: Vec::new() };
        if !(text.is_empty() && rule.verb.is_none()) {
            for segment in split_outside_braces(text) {
                rule.segment(segment)?;
            }
        }
        let many = rule.parts.iter().position(|part| *part == Part::Many);
        if many.is_some_and(|at| at + 1 != rule.parts.len()) {
            return None;
        }
        let names: BTreeSet<&str> = rule.variables.iter().map(|variable| variable.name).collect();
        let colons = rule.verb.iter().flatten().filter(|byte| **byte == b':').count();
        let small = rule.parts.len() <= 32 && rule.variables.len() <= 16 && colons <= 7;
        (small && names.len() == rule.variables.len()).then_some(rule)
    }

    /// One segment, or a variable of several.
    fn segment(&mut self, text: &'a str) -> Option<()> {
        let Some(inner) = text.strip_prefix('{') else {
            self.parts.push(part(text)?);
            return Some(());
        };
        let inner = inner.strip_suffix('}')?;
        let (name, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
        if !is_bindable(name) {
            return None;
        }
        let first = self.parts.len();
        for text in pattern.split('/') {
            self.parts.push(part(text)?);
        }
        self.variables.push(Variable { name, first, end: self.parts.len() });
        Some(())
    }

    /// How specific it is, the most specific first.
    fn key(&self) -> Vec<Part> {
        let end = if self.parts.last() == Some(&Part::Many) { None } else { Some(Part::End) };
        self.parts.iter().cloned().chain(end).collect()
    }

    fn matches(&self, segments: &[&str]) -> bool {
        let (fixed, open) = match self.parts.split_last() {
            Some((Part::Many, fixed)) => (fixed, true),
            _ => (&*self.parts, false),
        };
        let enough = if open { segments.len() >= fixed.len() } else { segments.len() == fixed.len() };
        enough
            && fixed.iter().zip(segments).all(|(part, segment)| match part {
                Part::Literal(text) => decoded(segment, false).as_ref() == Some(text),
                _ => !segment.is_empty(),
            })
    }

    /// How well its method does: itself, GET for HEAD, any.
    fn rank(&self, method: &str) -> Option<u8> {
        match self.method {
            "*" => Some(2),
            own if own == method => Some(0),
            "GET" if method == "HEAD" => Some(1),
            _ => None,
        }
    }

    fn values(&'a self, segments: &[&str]) -> Vec<(&'a str, Vec<u8>)> {
        let value = |variable: &Variable<'a>| {
            let parts = &self.parts[variable.first..variable.end];
            let multi = parts.len() > 1 || parts.first() == Some(&Part::Many);
            let end = if parts.last() == Some(&Part::Many) { segments.len() } else { variable.end };
            let raw = segments[variable.first..end].join("/");
            (variable.name, decoded(&raw, multi).expect("the path was checked"))
        };
        self.variables.iter().map(value).collect()
    }
}

/// Splits off what stands behind the last colon of the last segment, or behind the variable there.
fn split_verb(text: &str) -> Option<(&str, Option<Vec<u8>>)> {
    let last = split_outside_braces(text).last()?;
    let colon = match last.strip_prefix('{') {
        Some(_) => last.find('}').filter(|at| last[at + 1..].starts_with(':')).map(|at| at + 1),
        None => last.rfind(':'),
    };
    let Some(colon) = colon else { return Some((text, None)) };
    let before = &text[..text.len() - last.len() + colon];
    let verb = &last[colon + 1..];
    let bad = verb.is_empty() || verb.contains(['/', '*', '{', '}']);
    if bad { None } else { Some((before, Some(decoded(verb, false)?))) }
}

fn split_outside_braces(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.split(move |c| {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            _ => {}
        }
        c == '/' && !inside
    })
}

fn part(text: &str) -> Option<Part> {
    match text {
        "" => None,
        "*" => Some(Part::One),
        "**" => Some(Part::Many),
        _ if text.contains(['*', '{', '}']) => None,
        _ => decoded(text, false).map(Part::Literal),
    }
}

/// The strings of `fuzz.v1.Path`, at any depth.
fn is_bindable(name: &str) -> bool {
    let mut steps = name.split('.').rev();
    matches!(steps.next(), Some("a" | "b" | "c" | "d")) && steps.all(|step| step == "m")
}

/// Percent-decoding; a slash stays encoded where it would look like one between segments.
fn decoded(text: &str, keep_slashes: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let escape = behind.get(..2)?;
        let digits = std::str::from_utf8(escape).ok().filter(|digits| !digits.contains('+'))?;
        match u8::from_str_radix(digits, 16).ok()? {
            b'/' if keep_slashes => {
                out.push(b'%');
                out.extend_from_slice(escape);
            }
            value => out.push(value),
        }
        rest = &behind[2..];
    }
    Some(out)
}

/// What a request gets.
pub(super) fn find<'a>(rules: &'a [Rule<'a>], method: &str, path: &str) -> Answer<'a> {
    if !path.starts_with('/') || path.len() >= 65_535 || decoded(path, false).is_none() {
        return Answer::BadPath;
    }
    // A verb that any template has ends the path for all of them; the longest such verb counts first.
    let last = path.rfind('/').unwrap_or(0);
    let colons = path[last..].match_indices(':').map(|(at, _)| last + at);
    let readings = colons.map(|at| (&path[..at], decoded(&path[at + 1..], false)));
    for (path, verb) in readings.chain([(path, None)]) {
        let segments: Vec<&str> = if path == "/" { Vec::new() } else { path[1..].split('/').collect() };
        let matching: Vec<&Rule<'_>> =
            rules.iter().filter(|rule| rule.verb == verb && rule.matches(&segments)).collect();
        let usable = matching.iter().filter_map(|rule| Some((rule.key(), rule.rank(method)?, *rule)));
        let best = usable.min_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        if let Some((_, _, rule)) = best {
            return Answer::Found(rule, rule.values(&segments));
        }
        if !matching.is_empty() {
            return Answer::MethodNotAllowed(allow(&matching));
        }
    }
    Answer::NotFound
}

fn allow(rules: &[&Rule<'_>]) -> String {
    let mut methods: BTreeSet<&str> = rules.iter().map(|rule| rule.method).collect();
    if methods.contains("GET") {
        methods.insert("HEAD");
    }
    methods.insert("OPTIONS");
    methods.into_iter().collect::<Vec<_>>().join(", ")
}
