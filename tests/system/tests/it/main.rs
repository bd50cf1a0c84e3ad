//! The built binary from outside: real processes, real sockets, real ends by signal.
//!
//! `site` is where a system under test lives, `shop` talks to it as its users do, and `load` keeps a ledger of what
//! was acknowledged. The other modules are the tests, one idea each.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what helpers meet ends the test")]

#[path = "support/http2.rs"]
mod http2;
#[path = "support/load.rs"]
mod load;
#[path = "support/shop.rs"]
mod shop;
#[path = "support/site.rs"]
mod site;
#[path = "support/steady.rs"]
mod steady;

mod bad_input;
mod cluster;
mod crash;
mod durable;
mod gateway_alone;
mod hostile;
mod lifecycle;
mod orders;
mod probes;
mod promise;
mod transfers;
