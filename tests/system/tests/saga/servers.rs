//! Coordinators that share a database, and participants behind a barrier in one.

mod bank;
mod barrier;
mod promises;
mod store;
