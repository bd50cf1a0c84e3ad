//! Which requests a template matches and does not get, because a more specific one has them: computed from pairs of
//! templates, and shown by an example that [`Router::find`] confirms.

mod example;
#[cfg(test)]
mod tests;

use super::{Binding, Lookup, Router};
use crate::percent::{self, Decode};
use example::{Candidate, Tail, Texts};

/// Requests that a binding's template matches, but that go elsewhere.
#[derive(Debug, Clone)]
pub struct Shadow<'r> {
    /// The binding that does not get them.
    pub binding: &'r Binding,
    /// Where they go.
    pub taker: Taker<'r>,
    /// The method of one of them; `*` stands for a method that no binding names.
    pub method: &'r str,
    /// Its path.
    pub path: String,
    /// No request reaches the binding at all.
    pub entire: bool,
}

/// Who gets a request instead.
#[derive(Debug, Clone, Copy)]
pub enum Taker<'r> {
    /// A more specific binding.
    Binding(&'r Binding),
    /// Nobody: the path ends in the verb of this binding, and so is the verb's for every method, but the binding has
    /// another method. The answer is 405.
    Verb(&'r Binding),
    /// Whoever answers the reserved paths.
    Reserved,
}

impl Router {
    /// Finds every pair of bindings of which one takes requests from the other, in the order of the bindings, and every
    /// binding that would get one of the `reserved` paths, which are answered before any route.
    ///
    /// This is usual and often meant: `/v1/orders/new` is not for `/v1/orders/{id}`. A path counts only if the
    /// variables can hold what stands in it: from an `id` that is an `int64` neither `new` nor `:pay` takes anything.
    pub fn shadows(&self, reserved: &[&str]) -> Vec<Shadow<'_>> {
        let all: Vec<_> = self.bindings.iter().filter_map(Candidate::new).collect();
        let texts = Texts::avoiding(&all);
        let mut shadows: Vec<Shadow<'_>> = Vec::new();
        for candidate in &all {
            let first = shadows.len();
            for shadow in all.iter().filter_map(|other| self.between(candidate, other, &texts)) {
                // Several bindings with one verb would each be named for the same 405.
                let is_known = |known: &Shadow<'_>| {
                    matches!((known.taker, shadow.taker), (Taker::Verb(_), Taker::Verb(_)))
                        && known.path == shadow.path
                };
                if !shadows.iter().skip(first).any(is_known) {
                    shadows.push(shadow);
                }
            }
            shadows.extend(reserved.iter().filter_map(|path| self.reserved(candidate, path)));
        }
        shadows
    }

    /// A request that both match and `other` gets.
    fn between<'r>(
        &'r self,
        candidate: &Candidate<'r>,
        other: &Candidate<'r>,
        texts: &Texts,
    ) -> Option<Shadow<'r>> {
        if std::ptr::eq(candidate.binding, other.binding) {
            return None;
        }
        let tail = Tail::between(candidate, other)?;
        let method = match (candidate.binding.http_method(), other.binding.http_method()) {
            ("*", others) => others,
            (own, _) => own,
        };
        candidate.lengths(other, texts).find_map(|length| {
            let path = candidate.path_to(other, (&tail, length), texts)?;
            let taker = match self.find(method, &path) {
                Lookup::Found(found) if std::ptr::eq(found.binding, other.binding) => {
                    Taker::Binding(found.binding)
                }
                Lookup::MethodNotAllowed { .. } => Taker::Verb(other.binding),
                _ => return None,
            };
            Some(Shadow { binding: candidate.binding, taker, method, path, entire: false })
        })
    }

    fn reserved<'r>(&'r self, candidate: &Candidate<'r>, path: &str) -> Option<Shadow<'r>> {
        let binding = candidate.binding;
        let method = binding.http_method();
        let Lookup::Found(found) = self.find(method, path) else { return None };
        let can_hold = binding.variables.iter().zip(&found.spans).all(|(variable, &(start, end))| {
            let raw = path.as_bytes().get(usize::from(start)..usize::from(end)).unwrap_or_default();
            let mut text = Vec::new();
            let mode = if variable.multi { Decode::Segments } else { Decode::Segment };
            percent::decode(raw, mode, &mut text).is_ok() && example::can_hold(binding, variable, &text)
        });
        (std::ptr::eq(found.binding, binding) && can_hold).then(|| Shadow {
            binding,
            taker: Taker::Reserved,
            method,
            path: path.to_owned(),
            entire: candidate.is_fixed(),
        })
    }
}
