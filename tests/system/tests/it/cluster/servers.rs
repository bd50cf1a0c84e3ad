//! What holds with real servers.

mod audit;
mod bad_input;
mod crash;
mod instances;
mod locks;
mod lost;
mod nodes;
mod outage;
mod random;
mod same;
mod tls;
mod tokens;
mod transfers;
