//! The desk: where a caller's request is decided and its word held, without an await.

use std::fmt;

use crate::error::Error;
use crate::event::EventId;
use crate::machine::{Code, Machine};
use crate::store::Load;
use crate::table::{Reserve, Sighting, Slot, Table};
use crate::word::{Cell, Word};

/// The table, and the store behind it.
#[derive(Debug)]
pub(crate) struct Desk<L> {
    pub(crate) table: Table,
    pub(crate) reader: L,
}

/// A word that the caller holds and must send to the committer at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) slot: Slot,
    pub(crate) before: Option<Word>,
    pub(crate) after: Word,
}

/// What came of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attempt {
    /// Send it.
    Held(Held),
    /// The event was applied before; this is the present word.
    Repeated(Word),
    /// Somebody else holds the word: wait until it is let go, and try again.
    Wait,
}

impl<L: Load> Desk<L> {
    /// Decides a transition against the present word, and holds the word if it is legal.
    ///
    /// The event id is looked up *between* reading the word and swapping it: if the swap succeeds, the version has not moved,
    /// so nothing was committed in between that the look-up could have missed.
    pub(crate) fn transition<M: Machine>(
        &self,
        key: u64,
        event: M::Event,
        id: Option<&EventId>,
    ) -> Result<Attempt, Error<M::State>> {
        loop {
            let (slot, word) = match self.table.find(key) {
                Sighting::Idle(slot, word) => (slot, word),
                Sighting::Held => return Ok(Attempt::Wait),
                Sighting::Absent if self.fetch(key)? => continue,
                Sighting::Absent => return Ok(Attempt::Wait),
            };
            if let Some(row) = self.event(key, id)? {
                if row.version > word.version() {
                    // Applied since the word was read, and perhaps not fenced yet: look at the word again.
                    continue;
                }
                return if row.event == event.code() {
                    Ok(Attempt::Repeated(word))
                } else {
                    Err(Error::EventReused { version: row.version })
                };
            }
            let state = state_of::<M>(word)?;
            let illegal = Error::Illegal { state, version: word.version() };
            let Some(after) = M::next(state, event).and_then(|to| word.step(to.code())) else {
                return Err(illegal);
            };
            if self.table.pin(slot, key, word) {
                return Ok(Attempt::Held(Held { slot, before: Some(word), after }));
            }
        }
    }

    /// Holds the word of a new entity, if there is none of that key.
    pub(crate) fn create<M: Machine>(&self, key: u64) -> Result<Attempt, Error<M::State>> {
        let after = Word::new(M::INITIAL.code(), 1).ok_or(Error::Failed)?;
        loop {
            match self.table.find(key) {
                Sighting::Idle(..) => return Err(Error::Exists),
                Sighting::Held => return Ok(Attempt::Wait),
                Sighting::Absent => {}
            }
            let reservation = match self.table.reserve(key) {
                Reserve::Mine(reservation) => reservation,
                Reserve::Present => continue,
                Reserve::Awaited => return Ok(Attempt::Wait),
                Reserve::Full => return Err(Error::Busy),
            };
            if self.reader.word(key).map_err(Error::Read)?.is_some() {
                return Err(Error::Exists);
            }
            if let Some(slot) = reservation.publish(Cell::Pending(None)) {
                return Ok(Attempt::Held(Held { slot, before: None, after }));
            }
        }
    }

    /// Brings the word of `key` from the store into the table. True: look again; false: wait.
    fn fetch<S: fmt::Debug>(&self, key: u64) -> Result<bool, Error<S>> {
        match self.table.reserve(key) {
            Reserve::Mine(reservation) => {
                let word = self.reader.word(key).map_err(Error::Read)?.ok_or(Error::NotFound)?;
                // Struck out or not: somebody has published the key by the next look.
                reservation.publish(Cell::Idle(word));
                Ok(true)
            }
            Reserve::Present => Ok(true),
            Reserve::Awaited => Ok(false),
            Reserve::Full => Err(Error::Busy),
        }
    }

    fn event<S: fmt::Debug>(
        &self,
        key: u64,
        id: Option<&EventId>,
    ) -> Result<Option<crate::event::EventRow>, Error<S>> {
        id.map_or(Ok(None), |id| self.reader.event(key, id).map_err(Error::Read))
    }
}

/// The state of a word; an unknown code is an unreadable store (written by a newer version, perhaps).
pub(crate) fn state_of<M: Machine>(word: Word) -> Result<M::State, Error<M::State>> {
    M::State::from_code(word.state()).ok_or_else(|| Error::Read(format!("unknown state in {word:?}").into()))
}
