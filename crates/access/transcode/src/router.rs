//! Finds the binding of an HTTP method and path.

mod binding;
mod builder;
mod describe;
mod field_path;
mod methods;
mod shadow;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;

pub use binding::{Binding, BodyRule};
pub(crate) use binding::{Body, PathVariable};
pub use builder::{RouteError, RouterBuilder};
pub(crate) use field_path::{step_into, takes_text};
pub use shadow::{Shadow, Taker};

use crate::Schema;
use crate::percent;
use crate::template::MAX_VARIABLES;
use methods::Methods;
use tree::{Search, Tree};

/// A part of the path, as positions.
type Span = (u16, u16);

/// A binding that matched, with its path variables as ranges of the path. `Copy`, borrows only the router.
#[derive(Clone, Copy)]
pub struct Match<'r> {
    /// The binding.
    pub binding: &'r Binding,
    pub(crate) spans: [Span; MAX_VARIABLES],
}

/// A [`Match`] without its router, to be kept: see [`Match::detach`].
#[derive(Debug, Clone, Copy)]
pub struct Detached {
    binding: u32,
    spans: [Span; MAX_VARIABLES],
}

impl Match<'_> {
    /// What is left of a match when the router is not borrowed: for a request that takes longer than its borrower lives.
    pub fn detach(&self) -> Detached {
        Detached { binding: self.binding.index, spans: self.spans }
    }
}

impl fmt::Debug for Match<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Match").field("binding", &self.binding).finish_non_exhaustive()
    }
}

/// What [`Router::find`] found.
#[derive(Debug)]
pub enum Lookup<'r> {
    /// A binding for this method and path.
    Found(Match<'r>),
    /// The path exists with other methods: 405. `allow` is the value of the `Allow` header (HEAD is in it where GET
    /// is, and OPTIONS always); an OPTIONS request that no binding takes ends here too, and can be answered from it.
    MethodNotAllowed {
        /// Such as `GET, HEAD, OPTIONS, POST`.
        allow: String,
    },
    /// No template matches the path: 404.
    NotFound,
    /// The path is not one: it does not start with `/`, is longer than 65,534 bytes, or has a broken percent-escape.
    BadPath,
}

/// The bindings of all routed services, in a tree over path segments.
#[derive(Debug)]
pub struct Router {
    bindings: Box<[Binding]>,
    tree: Tree,
    methods: Methods,
    verbs: Verbs,
}

impl Router {
    /// Starts a router over the bindings of `schema`.
    pub fn builder(schema: &Schema) -> RouterBuilder {
        RouterBuilder::new(schema.clone())
    }

    /// All bindings.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The match again, by the router it was detached from; `None` when the router has no such binding.
    pub fn attach(&self, detached: &Detached) -> Option<Match<'_>> {
        let binding = self.bindings.get(detached.binding as usize)?;
        Some(Match { binding, spans: detached.spans })
    }

    /// Finds the most specific template that matches `path` (the raw path of the request line, without the query):
    /// a literal segment goes before `*`, `*` before `**`, and a template with a verb before one whose last segment
    /// would swallow it. Only where all of these have no binding for the method does a less specific one get it; but
    /// a path that belongs to a verb belongs to it for every method.
    ///
    /// HEAD is answered by GET bindings. The path is split before it is decoded, so that `%2F` never separates.
    pub fn find(&self, method: &str, path: &str) -> Lookup<'_> {
        let bytes = path.as_bytes();
        if bytes.first() != Some(&b'/') || bytes.len() >= usize::from(u16::MAX) || !percent::is_valid(bytes) {
            return Lookup::BadPath;
        }
        let asked = self.methods.ask(method);
        for (verb, end) in self.verbs.candidates(bytes) {
            let mut search = Search::new(bytes.get(..end).unwrap_or_default(), verb, asked);
            if let Some(binding) = self.tree.find(&mut search) {
                return self.found(binding, &search);
            }
            if search.others != 0 {
                return Lookup::MethodNotAllowed { allow: self.methods.allow(search.others) };
            }
        }
        Lookup::NotFound
    }

    fn found(&self, binding: u32, search: &Search<'_>) -> Lookup<'_> {
        let Some(binding) = self.bindings.get(binding as usize) else { return Lookup::NotFound };
        let mut spans = [(0, 0); MAX_VARIABLES];
        for (span, variable) in spans.iter_mut().zip(&binding.variables) {
            *span = search.span(usize::from(variable.first), usize::from(variable.end));
        }
        Lookup::Found(Match { binding, spans })
    }
}

/// The number of a verb; templates without one have [`NO_VERB`].
type VerbId = u16;
const NO_VERB: VerbId = 0;

/// The verbs of all templates.
#[derive(Debug, Default)]
struct Verbs {
    /// Verb `n` is at `n - 1`.
    names: Vec<Box<[u8]>>,
    /// The most colons within one verb.
    colons: usize,
}

impl Verbs {
    fn intern(&mut self, name: Option<&[u8]>) -> VerbId {
        let Some(name) = name else { return NO_VERB };
        self.colons = self.colons.max(memchr::memchr_iter(b':', name).count());
        let at = self.names.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        VerbId::try_from(at + 1).unwrap_or(NO_VERB)
    }

    /// The ways to read the end of the path: with its longest known verb first, and without one last. Each with the
    /// end of what is left for the segments.
    fn candidates(&self, path: &[u8]) -> impl Iterator<Item = (VerbId, usize)> {
        let last_slash = memchr::memrchr(b'/', path).unwrap_or(0);
        let segment = path.get(last_slash..).unwrap_or_default();
        let looked_at = if self.names.is_empty() { 0 } else { self.colons + 1 };
        let mut colons = memchr::memrchr_iter(b':', segment).take(looked_at);
        let mut found = [None; 8];
        for slot in &mut found {
            let Some(colon) = colons.next() else { break };
            let verb = segment.get(colon + 1..).unwrap_or_default();
            let id = self.names.iter().position(|name| percent::decodes_to(verb, name));
            *slot = id.map(|at| (at as VerbId + 1, last_slash + colon));
        }
        found.into_iter().rev().flatten().chain([(NO_VERB, path.len())])
    }
}
