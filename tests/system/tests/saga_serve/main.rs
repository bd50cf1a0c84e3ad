//! `aqueduct saga serve` from outside, against the text of its contract (`docs/saga.md`): real processes, participants that
//! this process controls, and ends by signal in the middle of a callback.
//!
//! `coordinator` is the process, `peer` the server of a participant, `ledger` its books behind a barrier, `faults` what goes wrong at a
//! callback, `world` all these together, and `check` the invariants. The other modules are the tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what helpers meet ends the test")]

mod calls;
mod check;
mod coordinator;
mod crashes;
mod faults;
mod ledger;
mod peer;
mod plans;
mod world;
