//! The templates as a tree over segments. A search visits each node at most once, so that it is bounded by the routes,
//! never by what a client sends; without backtracking it is one look-up a segment.

use super::methods::{ANY, Asked, MethodId, MethodSet};
use super::{Span, VerbId};
use crate::percent;
use crate::template::{MAX_SEGMENTS, Segment, Template};

/// All templates; the root is node 0.
#[derive(Debug)]
pub(super) struct Tree(Vec<Node>);

#[derive(Debug, Default)]
struct Node {
    /// Sorted.
    literals: Vec<(Box<[u8]>, u32)>,
    /// `*`.
    one: Option<u32>,
    /// Templates that end here.
    here: Vec<Leaf>,
    /// Templates that end with `**` here.
    many: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    verb: VerbId,
    method: MethodId,
    binding: u32,
}

/// One search: what is asked, and where the segments on the current way begin.
#[derive(Debug)]
pub(super) struct Search<'p> {
    path: &'p [u8],
    verb: VerbId,
    asked: Asked,
    /// Methods of templates that match but for the method.
    pub(super) others: MethodSet,
    starts: [u16; MAX_SEGMENTS + 2],
}

impl<'p> Search<'p> {
    pub(super) fn new(path: &'p [u8], verb: VerbId, asked: Asked) -> Self {
        Search { path, verb, asked, others: 0, starts: [0; MAX_SEGMENTS + 2] }
    }

    /// The part of the path that segments `first..end` of the template matched.
    pub(super) fn span(&self, first: usize, end: usize) -> Span {
        let at = |index: usize| self.starts.get(index).copied().unwrap_or(0);
        // The slash before the next segment is not a part of it; nor is there one behind the last.
        let (start, end) = (at(first), at(end).saturating_sub(1));
        (start.min(end), end)
    }

    fn start_segment(&mut self, index: usize, at: usize) {
        if let Some(start) = self.starts.get_mut(index) {
            // Paths are shorter than 65,535 bytes.
            *start = at as u16;
        }
    }

    /// The binding of a template that ends where the search is.
    fn pick(&mut self, leaves: &[Leaf]) -> Option<u32> {
        let (mut instead, mut any) = (None, None);
        for leaf in leaves.iter().filter(|leaf| leaf.verb == self.verb) {
            self.others |= 1 << leaf.method;
            if Some(leaf.method) == self.asked.exact {
                return Some(leaf.binding);
            } else if Some(leaf.method) == self.asked.instead {
                instead = Some(leaf.binding);
            } else if leaf.method == ANY {
                any = Some(leaf.binding);
            }
        }
        instead.or(any)
    }
}

impl Tree {
    pub(super) fn new() -> Tree {
        Tree(vec![Node::default()])
    }

    /// Adds a template. `Err` is the binding that has its place already.
    pub(super) fn insert(
        &mut self,
        template: &Template,
        verb: VerbId,
        method: MethodId,
        binding: u32,
    ) -> Result<(), u32> {
        let mut at = 0;
        let mut many = false;
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => at = self.literal(at, text),
                Segment::One => at = self.one(at),
                Segment::Many => many = true,
            }
        }
        let node = &mut self.0[at];
        let leaves = if many { &mut node.many } else { &mut node.here };
        if let Some(taken) = leaves.iter().find(|leaf| leaf.verb == verb && leaf.method == method) {
            return Err(taken.binding);
        }
        leaves.push(Leaf { verb, method, binding });
        Ok(())
    }

    fn literal(&mut self, at: usize, text: &[u8]) -> usize {
        let next = self.0.len();
        let literals = &mut self.0[at].literals;
        match literals.binary_search_by(|(known, _)| (**known).cmp(text)) {
            Ok(found) => literals[found].1 as usize,
            Err(place) => {
                literals.insert(place, (text.into(), next as u32));
                self.0.push(Node::default());
                next
            }
        }
    }

    fn one(&mut self, at: usize) -> usize {
        let next = self.0.len();
        if let Some(found) = self.0[at].one {
            return found as usize;
        }
        self.0[at].one = Some(next as u32);
        self.0.push(Node::default());
        next
    }

    pub(super) fn find(&self, search: &mut Search<'_>) -> Option<u32> {
        // The path `/` has no segment at all.
        let first = if search.path.len() == 1 { 2 } else { 1 };
        self.walk(0, 0, first, search)
    }

    /// Tries node `at` for the segment number `index`, which begins at `from`: behind the slash that is behind the end
    /// when there is none. Recursion is as deep as the longest template.
    fn walk(&self, at: usize, index: usize, from: usize, search: &mut Search<'_>) -> Option<u32> {
        let node = self.0.get(at)?;
        search.start_segment(index, from);
        let length = search.path.len();
        if from > length {
            if let Some(binding) = search.pick(&node.here) {
                return Some(binding);
            }
        } else {
            let rest = search.path.get(from..).unwrap_or_default();
            let segment_length = memchr::memchr(b'/', rest).unwrap_or(rest.len());
            let segment = rest.get(..segment_length).unwrap_or_default();
            let next = from + segment_length + 1;
            if let Some(child) = node.child(segment)
                && let Some(binding) = self.walk(child as usize, index + 1, next, search)
            {
                return Some(binding);
            }
            if let Some(child) = node.one.filter(|_| !segment.is_empty())
                && let Some(binding) = self.walk(child as usize, index + 1, next, search)
            {
                return Some(binding);
            }
        }
        let binding = search.pick(&node.many)?;
        search.start_segment(index, from);
        search.start_segment(index + 1, length + 1);
        Some(binding)
    }
}

impl Node {
    fn child(&self, segment: &[u8]) -> Option<u32> {
        // Literals are decoded: one that reads `%41` is not what the segment `%41` says.
        if memchr::memchr(b'%', segment).is_none() {
            let found = self.literals.binary_search_by(|(text, _)| (**text).cmp(segment)).ok()?;
            return self.literals.get(found).map(|literal| literal.1);
        }
        self.literals.iter().find(|(text, _)| percent::decodes_to(segment, text)).map(|literal| literal.1)
    }
}
