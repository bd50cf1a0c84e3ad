//! The order machine that the unit tests run on.

use crate::machine::{Code, Machine};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Created,
    Paid,
    Shipped,
    Completed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Pay,
    Ship,
    Complete,
    /// Legal while an order is created, and changes nothing but the version.
    Touch,
}

impl Code for State {
    const ALL: &'static [Self] = &[Self::Created, Self::Paid, Self::Shipped, Self::Completed];
    fn code(self) -> u8 {
        self as u8
    }
}

impl Code for Event {
    const ALL: &'static [Self] = &[Self::Pay, Self::Ship, Self::Complete, Self::Touch];
    fn code(self) -> u8 {
        self as u8
    }
}

#[derive(Debug)]
pub(crate) struct Order;

impl Machine for Order {
    type State = State;
    type Event = Event;
    const INITIAL: State = State::Created;
    const TRANSITIONS: &'static [(State, Event, State)] = &[
        (State::Created, Event::Pay, State::Paid),
        (State::Created, Event::Touch, State::Created),
        (State::Paid, Event::Ship, State::Shipped),
        (State::Shipped, Event::Complete, State::Completed),
    ];
}
