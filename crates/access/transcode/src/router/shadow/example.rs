//! An example of a path that two templates match: literals where either has one, and elsewhere texts that no third
//! template has as a literal.

use std::ops::RangeInclusive;

use crate::percent;
use crate::query;
use crate::router::Binding;
use crate::router::binding::PathVariable;
use crate::schema::Kind;
use crate::template::{Segment, Template};

/// A binding with its template.
#[derive(Debug)]
pub(super) struct Candidate<'r> {
    pub(super) binding: &'r Binding,
    template: Template,
}

/// A variable of one segment, with its binding.
type Alone<'r> = (&'r Binding, &'r PathVariable);

/// How the path ends: the verb of the binding that takes it, and what of that the other one reads as the end of its last
/// segment.
#[derive(Debug)]
pub(super) struct Tail<'r> {
    verb: Option<&'r [u8]>,
    /// With its colon.
    extra: Vec<u8>,
}

impl<'r> Tail<'r> {
    /// `None` when no path can end both ways, or when it would be `candidate`'s: the longest verb counts.
    pub(super) fn between(candidate: &Candidate<'_>, taker: &'r Candidate<'_>) -> Option<Tail<'r>> {
        let with_colon = |verb: Option<&[u8]>| verb.map(|verb| [b":", verb].concat()).unwrap_or_default();
        let verb = taker.template.verb.as_deref();
        let (own, others) = (with_colon(candidate.template.verb.as_deref()), with_colon(verb));
        Some(Tail { verb, extra: others.strip_suffix(own.as_slice())?.to_vec() })
    }
}

impl<'r> Candidate<'r> {
    pub(super) fn new(binding: &'r Binding) -> Option<Self> {
        Some(Candidate { binding, template: Template::parse(binding.template()).ok()? })
    }

    /// Whether it matches a single path.
    pub(super) fn is_fixed(&self) -> bool {
        self.template.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }

    /// How many segments a path for both may have. One more than any template has is as good as all above it.
    pub(super) fn lengths(&self, other: &Candidate<'_>, texts: &Texts) -> RangeInclusive<usize> {
        let (own, others) = (fewest(&self.template), fewest(&other.template));
        let most =
            |template: &Template, fewest| if ends_in_many(template) { texts.longest + 1 } else { fewest };
        own.max(others)..=most(&self.template, own).min(most(&other.template, others))
    }

    /// A path of so many segments that `taker` matches, and this template too if it were alone.
    pub(super) fn path_to(
        &self,
        taker: &Candidate<'_>,
        (tail, length): (&Tail<'_>, usize),
        texts: &Texts,
    ) -> Option<String> {
        let mut segments = Vec::with_capacity(length);
        for at in 0..length {
            let extra = if at + 1 == length { tail.extra.as_slice() } else { &[] };
            let literal = match (literal(&self.template, at), literal(&taker.template, at)) {
                (Some(own), other) => {
                    let own = own.strip_suffix(extra)?;
                    Some(own).filter(|own| other.is_none_or(|other| other == *own)).map(Some)?
                }
                (None, other) => other,
            };
            segments.push(match literal {
                Some(literal) => literal.to_vec(),
                None => texts.choose(self.variable_of(at), taker.variable_of(at), extra),
            });
        }
        // `/` has no segment that a verb could be read as a part of.
        let end = segments.last_mut();
        if end.is_none() && !tail.extra.is_empty() {
            return None;
        }
        let mut path = Vec::new();
        for segment in &segments {
            path.push(b'/');
            percent::encode(segment, &mut path);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        for part in tail.verb.into_iter().flat_map(|verb| verb.split(|&byte| byte == b':')) {
            path.push(b':');
            percent::encode(part, &mut path);
        }
        if let Some(last) = segments.last_mut() {
            last.extend_from_slice(&tail.extra);
        }
        let can_hold = self.binding.variables.iter().all(|variable| {
            let own = variable.segments();
            let end = if own.end > fewest(&self.template) { segments.len() } else { own.end };
            let text = segments.get(own.start..end).unwrap_or_default().join(&b'/');
            can_hold(self.binding, variable, &text)
        });
        if can_hold { String::from_utf8(path).ok() } else { None }
    }

    /// The variable that is this segment alone.
    fn variable_of(&self, at: usize) -> Option<Alone<'r>> {
        let alone = |variable: &&PathVariable| variable.segments() == (at..at + 1) && !variable.multi;
        Some((self.binding, self.binding.variables.iter().find(alone)?))
    }
}

/// Segments but for `**`, which may match none.
fn fewest(template: &Template) -> usize {
    template.segments.len() - usize::from(ends_in_many(template))
}

fn ends_in_many(template: &Template) -> bool {
    template.segments.last() == Some(&Segment::Many)
}

fn literal(template: &Template, at: usize) -> Option<&[u8]> {
    match template.segments.get(at) {
        Some(Segment::Literal(text)) => Some(text),
        _ => None,
    }
}

/// Whether the text can be the value of a path variable.
pub(super) fn can_hold(binding: &Binding, variable: &PathVariable, text: &[u8]) -> bool {
    let message = binding.schema.message_at(binding.input().0);
    query::put(&binding.schema, message, &variable.field.steps, text, &mut Vec::new()).is_ok()
}

/// Texts for wildcards.
#[derive(Debug)]
pub(super) struct Texts {
    /// Sorted.
    literals: Vec<Box<[u8]>>,
    /// The most segments of a template.
    longest: usize,
}

/// What the fields that can be in a path accept, one or the other; letters first, for they are the plainest.
const SAMPLES: [&str; 8] = ["x", "y", "1", "2", "true", "false", "1s", "2000-01-01T00:00:00Z"];

impl Texts {
    pub(super) fn avoiding(all: &[Candidate<'_>]) -> Texts {
        let segments = all.iter().flat_map(|candidate| &candidate.template.segments);
        let mut literals: Vec<_> = segments
            .filter_map(|segment| match segment {
                Segment::Literal(text) => Some(text.clone()),
                _ => None,
            })
            .collect();
        literals.sort_unstable();
        literals.dedup();
        let longest = all.iter().map(|candidate| candidate.template.segments.len()).max().unwrap_or(0);
        Texts { literals, longest }
    }

    /// A text that is no literal and, in front of `extra`, a value of the binding's own variable; if there is one, of
    /// the taker's too. Or as near to that as can be.
    fn choose(&self, own: Option<Alone<'_>>, takers: Option<Alone<'_>>, extra: &[u8]) -> Vec<u8> {
        let fits = |variable: Option<Alone<'_>>, text: &[u8]| {
            variable.is_none_or(|(binding, variable)| can_hold(binding, variable, text))
        };
        let is_free = |text: &[u8]| self.literals.binary_search_by(|known| (**known).cmp(text)).is_err();
        let names: Vec<String> =
            own.into_iter().chain(takers).flat_map(|it| enum_names(it.0, it.1)).collect();
        // As many numbers as there are literals, and one more: one of them is free.
        let numbered = || (3..self.literals.len() + 4).flat_map(|n| [format!("x{n}"), n.to_string()]);
        let good = || {
            let all = SAMPLES.iter().map(ToString::to_string).chain(names.iter().cloned()).chain(numbered());
            all.map(String::into_bytes).filter(|text| fits(own, &[text, extra].concat()))
        };
        let best = good().find(|text| is_free(text) && fits(takers, text));
        best.or_else(|| good().find(|text| is_free(text))).or_else(|| good().next()).unwrap_or(b"x".to_vec())
    }
}

/// The names of the values, when the variable is an enum.
fn enum_names(binding: &Binding, variable: &PathVariable) -> Vec<String> {
    let mut message = binding.schema.message_at(binding.input().0);
    let mut names = Vec::new();
    for &step in &variable.field.steps {
        let Some(field) = message.fields.get(usize::from(step)) else { break };
        match field.kind {
            Kind::Enum => {
                let quoted = binding.schema.enum_of(field).values.iter().map(|value| &*value.1);
                names =
                    quoted.map(|name| String::from_utf8_lossy(name).trim_matches('"').to_owned()).collect();
            }
            Kind::Message | Kind::Group => message = binding.schema.message_of(field),
            _ => {}
        }
    }
    names
}
