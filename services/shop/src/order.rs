//! What an order is: the states it moves through, what moves it, and how both are shown in it.

use std::fmt;

use aqueduct_fsm::{Code, Machine};

use crate::proto::shop::Order;
use crate::proto::shop::order::Status;

/// The states of an order, in the only order they can follow each other.
///
/// The numbers are those of `shop.v1.Order.Status`, and they are on disk: a number is never given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Created = 1,
    Paid = 2,
    Shipped = 3,
    Completed = 4,
}

impl Code for State {
    const ALL: &'static [Self] = &[Self::Created, Self::Paid, Self::Shipped, Self::Completed];

    fn code(self) -> u8 {
        self as u8
    }
}

/// As the API spells it.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self {
            Self::Created => Status::Created,
            Self::Paid => Status::Paid,
            Self::Shipped => Status::Shipped,
            Self::Completed => Status::Completed,
        };
        f.write_str(status.as_str_name())
    }
}

/// What moves an order on. The numbers are on disk too, beside the event ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Event {
    Pay = 1,
    Ship = 2,
    Complete = 3,
}

impl Code for Event {
    const ALL: &'static [Self] = &[Self::Pay, Self::Ship, Self::Complete];

    fn code(self) -> u8 {
        self as u8
    }
}

/// As the routes spell it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pay => "pay",
            Self::Ship => "ship",
            Self::Complete => "complete",
        })
    }
}

/// The legal life of an order.
#[derive(Debug)]
pub(crate) struct Life;

impl Machine for Life {
    type State = State;
    type Event = Event;
    const INITIAL: State = State::Created;
    const TRANSITIONS: &'static [(State, Event, State)] = &[
        (State::Created, Event::Pay, State::Paid),
        (State::Paid, Event::Ship, State::Shipped),
        (State::Shipped, Event::Complete, State::Completed),
    ];
}

/// Puts a state and its version into `order`: what changes in it, where the rest never does.
pub(crate) fn show(order: &mut Order, state: u8, version: u64) {
    order.status = i32::from(state);
    order.version = version.cast_signed();
}

/// Whether nothing can follow.
pub(crate) fn is_final(order: &Order) -> bool {
    order.status() == Status::Completed
}

/// The memory of a decoded order behind its `Arc`, for the cache's accounts.
pub(crate) fn heap_bytes(order: &Order) -> usize {
    let skus: usize = order.items.iter().map(|item| item.sku.capacity()).sum();
    size_of::<Order>() + 2 * size_of::<usize>() + order.note.capacity() + size_of_val(&*order.items) + skus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_api() {
        for state in State::ALL {
            let status = Status::try_from(i32::from(state.code())).unwrap();
            assert_eq!(status.as_str_name(), state.to_string());
        }
        assert_eq!(State::ALL.len() + 1, [0, 1, 2, 3, 4, 5].map(Status::try_from).iter().flatten().count());
    }

    #[test]
    fn nothing_is_skipped_and_nothing_goes_back() {
        aqueduct_fsm::validate::<Life>().unwrap();
        for (at, from) in State::ALL.iter().enumerate() {
            for event in Event::ALL {
                let expect = (event.code() == from.code()).then(|| State::ALL[at + 1]);
                assert_eq!(Life::next(*from, *event), expect, "{event} in {from}");
            }
        }
    }
}
