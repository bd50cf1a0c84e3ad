//! Moves an entity between legal states with one versioned compare-and-swap, made durable by group commit.
//!
//! An entity (an order, say) is a `u64` key with a [`Word`]: its state and its version. A caller that wants to apply an event
//! decides it against the word, swaps the word to *pending*, and hands the change to the committer, the one thread of a
//! store. That makes all changes that queued up durable in one [`Store::apply`], lets the owner fence its cache and publish
//! ([`Store::committed`]), settles the words, and only then answers. So
//!
//! - of two events on one entity, the second decides on the outcome of the first; versions are contiguous;
//! - nothing is acknowledged that is not durable, and nothing is acknowledged before the fence;
//! - an event id makes a transition idempotent, over restarts too;
//! - a caller may go away at any time: only the committer settles a word;
//! - queue, table and waiters are bounded, and past the bounds the answer is [`Error::Busy`];
//! - a store that fails once has failed for good ([`Fsm::failed`]): a restart reads what is true.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! use aqueduct_fsm::{Code, Commit, Error, EventId, EventRow, Fsm, Load, Machine, Options, Store, StoreError, Word};
//!
//! #[derive(Clone, Copy, PartialEq, Eq, Debug)]
//! enum Door { Open, Shut }
//! #[derive(Clone, Copy, PartialEq, Eq, Debug)]
//! enum Push { Close }
//!
//! impl Code for Door {
//!     const ALL: &'static [Self] = &[Door::Open, Door::Shut];
//!     fn code(self) -> u8 { self as u8 }
//! }
//! impl Code for Push {
//!     const ALL: &'static [Self] = &[Push::Close];
//!     fn code(self) -> u8 { self as u8 }
//! }
//!
//! struct Life;
//! impl Machine for Life {
//!     type State = Door;
//!     type Event = Push;
//!     const INITIAL: Door = Door::Open;
//!     const TRANSITIONS: &'static [(Door, Push, Door)] = &[(Door::Open, Push::Close, Door::Shut)];
//! }
//!
//! /// A store for the example only: it loses everything with the process.
//! #[derive(Clone, Default)]
//! struct Memory(Arc<Mutex<HashMap<u64, Word>>>);
//!
//! impl Load for Memory {
//!     fn word(&self, key: u64) -> Result<Option<Word>, StoreError> {
//!         Ok(self.0.lock().unwrap().get(&key).copied())
//!     }
//!     fn event(&self, _: u64, _: &EventId) -> Result<Option<EventRow>, StoreError> {
//!         Ok(None)
//!     }
//! }
//! impl Store for Memory {
//!     type Body = ();
//!     type Reader = Self;
//!     fn reader(&self) -> Self {
//!         self.clone()
//!     }
//!     fn apply(&mut self, batch: &[Commit<()>]) -> Result<(), StoreError> {
//!         self.0.lock().unwrap().extend(batch.iter().map(|commit| (commit.key, commit.after)));
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let doors = Fsm::<Life, Memory>::start(Memory::default(), &Options::default())?;
//! doors.create(1, ()).await?;
//! let shut = doors.transition(1, Push::Close, None).await?;
//! assert_eq!((shut.state, shut.version), (Door::Shut, 2));
//! let again = doors.transition(1, Push::Close, None).await;
//! assert!(matches!(again, Err(Error::Illegal { state: Door::Shut, version: 2 })));
//! doors.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Group`] is the same for a database that several processes share: its rows, locked, are the words (`src/group.rs`).
//!
//! The feature `fjall` adds the rows of words and events for that embedded store; the README has the example.

mod committer;
mod desk;
mod error;
mod event;
#[cfg(feature = "fjall")]
pub mod fjall;
mod fsm;
mod group;
mod health;
#[cfg(all(test, aqueduct_loom))]
mod loom_models;
mod machine;
#[cfg(all(feature = "measure", not(aqueduct_loom)))]
pub mod measure;
mod options;
mod stats;
mod store;
mod sync;
mod table;
#[cfg(test)]
mod testing;
mod waiters;
mod word;

pub use error::{Error, StartError};
pub use event::{EventId, EventRow};
pub use fsm::{Applied, Fsm};
pub use group::{
    Database, Done, Fault, Found, Group, GroupError, GroupOptions, GroupOutcome, GroupStats, Known, Locking,
    Row, Step, Transaction, Writes,
};
pub use health::Failure;
pub use machine::{Code, Machine, MachineError, validate};
pub use options::Options;
pub use stats::{BUCKETS, Histogram, Stats};
pub use store::{Commit, Load, Store, StoreError};
pub use word::Word;

#[cfg(all(doctest, feature = "fjall"))]
#[doc = include_str!("../README.md")]
struct Readme;
