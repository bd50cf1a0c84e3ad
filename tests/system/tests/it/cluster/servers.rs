//! What holds with real servers.

mod audit;
mod bad_input;
mod crash;
mod outage;
mod same;
mod tokens;
