//! The machine: two plain enums and one table of the moves that are legal.

use std::fmt::Debug;

/// A plain enum whose variants have stable one-byte codes. The codes are stored: never reuse or renumber one.
pub trait Code: Copy + Eq + Debug + Send + Sync + 'static {
    /// Every variant, once.
    const ALL: &'static [Self];

    /// The stored code, 0..=254, different for each variant.
    fn code(self) -> u8;

    /// The variant with this code.
    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|variant| variant.code() == code)
    }
}

/// The legal life of one kind of entity.
///
/// The table is scanned from the front: machines have a dozen rows, and a scan of those beats any map.
pub trait Machine: Send + Sync + 'static {
    /// Where an entity can be.
    type State: Code;
    /// What can happen to it.
    type Event: Code;
    /// The state of a new entity, at version 1.
    const INITIAL: Self::State;
    /// `(from, event, to)`: whatever is not listed is illegal.
    const TRANSITIONS: &'static [(Self::State, Self::Event, Self::State)];

    /// Where `event` leads from `from`; `None` when that is illegal.
    fn next(from: Self::State, event: Self::Event) -> Option<Self::State> {
        Self::TRANSITIONS.iter().find(|row| row.0 == from && row.1 == event).map(|row| row.2)
    }
}

/// Why a machine cannot be run. The messages name variants as `Debug` prints them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// Code 255 marks reserved cells.
    #[error("{0} has the code 255, which is reserved")]
    ReservedCode(String),
    /// Two variants share a code.
    #[error("{0} and {1} have the same code")]
    SameCode(String, String),
    /// Two rows for one state and event.
    #[error("{0} has two rows for {1}")]
    Ambiguous(String, String),
    /// No way leads there from the initial state.
    #[error("no event leads to {0}")]
    Unreachable(String),
}

/// Checks that the codes are distinct, the table is deterministic, and every state can be reached.
///
/// # Errors
///
/// The first fault found.
pub fn validate<M: Machine>() -> Result<(), MachineError> {
    distinct(M::State::ALL)?;
    distinct(M::Event::ALL)?;
    for (i, (from, event, _)) in M::TRANSITIONS.iter().enumerate() {
        if M::TRANSITIONS[..i].iter().any(|row| row.0 == *from && row.1 == *event) {
            return Err(MachineError::Ambiguous(format!("{from:?}"), format!("{event:?}")));
        }
    }
    let mut reached = vec![M::INITIAL];
    let mut next = 0;
    while let Some(&from) = reached.get(next) {
        for (_, _, to) in M::TRANSITIONS.iter().filter(|row| row.0 == from) {
            if !reached.contains(to) {
                reached.push(*to);
            }
        }
        next += 1;
    }
    match M::State::ALL.iter().find(|state| !reached.contains(state)) {
        Some(state) => Err(MachineError::Unreachable(format!("{state:?}"))),
        None => Ok(()),
    }
}

fn distinct<C: Code>(all: &[C]) -> Result<(), MachineError> {
    for (i, one) in all.iter().enumerate() {
        if one.code() == u8::MAX {
            return Err(MachineError::ReservedCode(format!("{one:?}")));
        }
        if let Some(other) = all[..i].iter().find(|other| other.code() == one.code()) {
            return Err(MachineError::SameCode(format!("{other:?}"), format!("{one:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Event, Order, State};

    #[test]
    fn every_pair_of_state_and_event_is_legal_or_not_as_listed() {
        use Event::{Complete, Pay, Ship, Touch};
        use State::{Completed, Created, Paid, Shipped};
        let legal = [
            (Created, Pay, Paid),
            (Created, Touch, Created),
            (Paid, Ship, Shipped),
            (Shipped, Complete, Completed),
        ];
        for &from in State::ALL {
            for &event in Event::ALL {
                let expect = legal.iter().find(|row| row.0 == from && row.1 == event).map(|row| row.2);
                assert_eq!(Order::next(from, event), expect, "{event:?} in {from:?}");
            }
        }
        assert_eq!(validate::<Order>(), Ok(()));
    }

    macro_rules! broken {
        ($name:ident, [$($state:expr),*], [$($row:expr),*]) => {{
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            struct S(u8);
            impl Code for S {
                const ALL: &'static [Self] = &[$(S($state)),*];
                fn code(self) -> u8 { self.0 }
            }
            struct $name;
            impl Machine for $name {
                type State = S;
                type Event = Event;
                const INITIAL: S = S(0);
                const TRANSITIONS: &'static [(S, Event, S)] = &[$((S($row.0), $row.1, S($row.2))),*];
            }
            validate::<$name>()
        }};
    }

    #[test]
    fn a_broken_machine_is_named() {
        let unreachable = broken!(A, [0, 1], [(0, Event::Pay, 0)]);
        assert_eq!(unreachable.unwrap_err().to_string(), "no event leads to S(1)");
        let ambiguous = broken!(B, [0, 1], [(0, Event::Pay, 0), (0, Event::Pay, 1)]);
        assert_eq!(ambiguous.unwrap_err().to_string(), "S(0) has two rows for Pay");
        let reserved = broken!(C, [0, 255], [(0, Event::Pay, 255)]);
        assert_eq!(reserved.unwrap_err().to_string(), "S(255) has the code 255, which is reserved");
        let same = broken!(D, [0, 0], [(0, Event::Pay, 0)]);
        assert_eq!(same.unwrap_err().to_string(), "S(0) and S(0) have the same code");
    }
}
