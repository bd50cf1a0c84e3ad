//! Runs of the simulation.

mod mutations;
mod seeds;
