//! What a batch comes to, decided against rows that are locked: a function without I/O.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use super::database::{Found, GroupError, Known, Step, Writes};
use crate::event::EventId;
use crate::machine::{Code as _, Machine};
use crate::word::Word;

/// One change that is asked for.
#[derive(Debug)]
pub(super) struct Asked<B> {
    pub(super) key: u64,
    pub(super) what: What<B>,
    /// An earlier attempt at it may have been committed.
    pub(super) in_doubt: bool,
}

/// Which.
#[derive(Debug)]
pub(super) enum What<B> {
    Create(B),
    /// Each event has an id: one that the caller gave, or one that was minted for it.
    Event(u8, EventId),
}

/// What one change comes to, once the transaction is committed.
#[derive(Debug)]
pub(super) enum Verdict<S: Debug, X, E> {
    /// It led there, or, repeated, had been made before and this is there now.
    Made { word: Word, state: S, extra: Option<X>, repeated: bool },
    /// It may not be made.
    Refused(GroupError<S, E>),
    /// Others have the row.
    Locked,
}

/// What is known of an entity in the course of a batch.
struct Present<X> {
    word: Word,
    /// As it was found; `None` if this batch creates it.
    before: Option<Word>,
    extra: Option<X>,
}

/// The entities and events as the changes before have left them.
struct Draft<X> {
    entities: BTreeMap<u64, Present<X>>,
    damaged: HashMap<u64, (u8, u64)>,
    locked: Vec<u64>,
    events: HashMap<(u64, EventId), Known>,
    steps: Vec<Step>,
}

/// A verdict for each change, and what they write together.
type Decided<'a, S, X, E, B> = (Vec<Verdict<S, X, E>>, Writes<'a, B>);

/// Decides the changes in their order, each on the outcome of those before it.
pub(super) fn decide<'a, M: Machine, X: Clone, E, B: 'a>(
    asked: impl Iterator<Item = &'a Asked<B>>,
    found: Found<X>,
) -> Decided<'a, M::State, X, E, B> {
    let mut draft = Draft::new::<M>(found);
    let mut bodies = Vec::new();
    let mut verdicts = Vec::new();
    for Asked { key, what, in_doubt } in asked {
        verdicts.push(match (draft.unfit(*key), what) {
            (Some(unfit), _) => unfit,
            (None, What::Create(body)) => {
                let verdict = draft.create::<M, E>(*key, *in_doubt);
                if draft.entities.get(key).is_some_and(|entity| entity.before.is_none()) {
                    bodies.push((*key, body));
                }
                verdict
            }
            (None, What::Event(event, id)) => draft.apply::<M, E>((*key, *event, *id), *in_doubt),
        });
    }
    let moved = draft.entities.iter().filter_map(|(key, entity)| {
        let before = entity.before.filter(|before| *before != entity.word)?;
        Some((*key, before, entity.word))
    });
    let moved = moved.collect();
    bodies.sort_by_key(|(key, _)| *key);
    bodies.dedup_by_key(|(key, _)| *key);
    let created = bodies.into_iter().filter_map(|(key, body)| {
        let entity = draft.entities.get(&key)?;
        Some((key, entity.word, body))
    });
    let created = created.collect();
    (verdicts, Writes { created, moved, steps: draft.steps })
}

impl<X: Clone> Draft<X> {
    fn new<M: Machine>(found: Found<X>) -> Self {
        let Found { rows, locked, events } = found;
        let mut draft =
            Self { entities: BTreeMap::new(), damaged: HashMap::new(), locked, events, steps: Vec::new() };
        for (key, row) in rows {
            let known = Word::new(row.state, row.version);
            match known.filter(|word| M::State::from_code(word.state()).is_some()) {
                Some(word) => {
                    let entity = Present { word, before: Some(word), extra: Some(row.extra) };
                    draft.entities.insert(key, entity);
                }
                None => {
                    draft.damaged.insert(key, (row.state, row.version));
                }
            }
        }
        draft
    }

    /// Why nothing can be decided about the entity.
    fn unfit<S: Debug, E>(&self, key: u64) -> Option<Verdict<S, X, E>> {
        if self.locked.contains(&key) {
            return Some(Verdict::Locked);
        }
        let (state, version) = *self.damaged.get(&key)?;
        Some(Verdict::Refused(GroupError::Damaged { state, version }))
    }

    fn create<M: Machine, E>(&mut self, key: u64, in_doubt: bool) -> Verdict<M::State, X, E> {
        let made = |word| Verdict::Made { word, state: M::INITIAL, extra: None, repeated: false };
        let Some(word) = Word::new(M::INITIAL.code(), 1) else {
            return Verdict::Refused(GroupError::Damaged { state: M::INITIAL.code(), version: 1 });
        };
        match self.entities.get(&key) {
            // Keys are minted once: who finds the entity that he was creating finds his own.
            Some(_) if in_doubt => made(word),
            Some(_) => Verdict::Refused(GroupError::Exists),
            None => {
                self.entities.insert(key, Present { word, before: None, extra: None });
                self.steps.push(Step { key, after: word, event: None });
                made(word)
            }
        }
    }

    fn apply<M: Machine, E>(
        &mut self,
        (key, event, id): (u64, u8, EventId),
        in_doubt: bool,
    ) -> Verdict<M::State, X, E> {
        let Some(entity) = self.entities.get_mut(&key) else { return Verdict::Refused(GroupError::NotFound) };
        let (word, extra) = (entity.word, entity.extra.clone());
        let damaged = |Known { state, version, .. }| Verdict::Refused(GroupError::Damaged { state, version });
        let now = Known { event, state: word.state(), version: word.version() };
        let Some(state) = M::State::from_code(word.state()) else { return damaged(now) };
        match self.events.get(&(key, id)) {
            Some(known) if known.event != event => {
                return Verdict::Refused(GroupError::EventReused { version: known.version });
            }
            // Its own commit, whose reply was lost: what that led to, and not what came after it.
            Some(known) if in_doubt => {
                let then = Word::new(known.state, known.version);
                return match (then, M::State::from_code(known.state)) {
                    (Some(word), Some(state)) => Verdict::Made { word, state, extra, repeated: false },
                    _ => damaged(*known),
                };
            }
            Some(_) => return Verdict::Made { word, state, extra, repeated: true },
            None => {}
        }
        let next = M::Event::from_code(event).and_then(|event| M::next(state, event));
        let Some((state, after)) = next.and_then(|next| Some((next, word.step(next.code())?))) else {
            return Verdict::Refused(GroupError::Illegal { state, version: word.version() });
        };
        entity.word = after;
        let known = Known { event, state: after.state(), version: after.version() };
        self.events.insert((key, id), known);
        self.steps.push(Step { key, after, event: Some((event, id)) });
        Verdict::Made { word: after, state, extra, repeated: false }
    }
}
