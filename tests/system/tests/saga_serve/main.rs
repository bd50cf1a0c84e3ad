//! `aqueduct saga serve` from outside, against the text of its contract (`docs/saga.md`): real processes, participants that
//! this process controls, and ends by signal in the middle of a callback.
//!
//! `coordinator` is the process, `peer` the server of a participant, `desk` one that answers as a test says, `ledger` its books behind a barrier, `faults` what goes wrong at a
//! callback, `world` all these together, and `check` the invariants. The other modules are the tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what helpers meet ends the test")]

mod answers;
mod callbacks;
mod calls;
mod check;
mod clocks;
mod connections;
mod contract;
mod coordinator;
mod crashes;
mod desk;
mod docs;
mod faults;
mod ledger;
mod outage;
mod peer;
mod plans;
mod python;
mod servers;
mod world;
