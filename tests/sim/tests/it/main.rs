//! Runs of the simulation.

#![expect(clippy::print_stdout, reason = "a seed and its history are what whoever runs this needs to see")]

mod coverage;
mod mutations;
mod seeds;
