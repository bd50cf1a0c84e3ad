//! `aqueduct saga`: the contract with clients and participants, from outside.

mod answers;
mod contract;
mod coordinator;
mod crashes;
mod operators;
mod parked;
mod participant;
mod refused;
mod servers;
