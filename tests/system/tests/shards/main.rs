//! The shards against real servers: a private MariaDB primary and its replica, started by each test. They lie here because no
//! crate below may use the kit.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bad_input;
mod deadlines;
mod failover;
mod migrations;
mod pools;
mod replicas;
mod site;
