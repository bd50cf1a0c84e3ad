//! The data layer in a simulation.

pub mod checker;
pub mod history;
mod random;
