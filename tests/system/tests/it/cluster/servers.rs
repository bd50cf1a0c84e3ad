//! What holds with real servers.

mod audit;
mod bad_input;
mod crash;
mod instances;
mod outage;
mod same;
mod tokens;
