//! Sharded MariaDB: routing by ID, pools that are warm before the first request, and reads from replicas that have caught up.
//!
//! - **Routing.** An ID carries its database and table ([`Route`]); nothing is looked up.
//! - **Pools.** One for each server and database, opened ahead, with a cap and fair waiting ([`Options`]).
//! - **Read your writes.** A commit answers with a [`Token`]. A reader that brings it is answered by a replica only if that has
//!   applied the write, and by the primary otherwise ([`Freshness`]).
//! - **Failover.** The primary is the server with `read_only=0`. That is asked for, never configured, so whoever promotes a
//!   replica (and makes the old primary read-only first) need not tell anybody here.
//! - **Deadlines.** Each statement carries the time that is left as its limit on the server. If the server does not even answer
//!   at the deadline, the connection is dropped.
//! - **Migrations.** Embedded in the program, over all shards and their tables, each once ([`Shards::migrate`]).
//!
//! ```no_run
//! use aqueduct_shards::{Address, Freshness, Options, Route, Shard, Shards};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), aqueduct_shards::Error> {
//! let server = |host: &str| Address { host: host.to_owned(), port: 3306 };
//! let shard = |n| Shard { database: format!("shop_{n}"), servers: vec![server("db-a"), server("db-b")] };
//! let (shards, warm) = Shards::connect(Options::new((0..4).map(shard).collect(), "shop", "secret")).await?;
//! assert_eq!(warm.opened, warm.wanted);
//!
//! let id = 3 << 19 | 7 << 15 | 1;
//! let route = Route::of_id(id);
//! let table = route.name("orders");
//! let mut write = shards.write(route.shard(), None).await?;
//! write.exec(&format!("INSERT INTO {table} (id, status) VALUES (?, 'PAID')"), (id,)).await?;
//! let token = write.commit().await?;
//!
//! let mut read = shards.read(route.shard(), Freshness::After(&token), None).await?;
//! let status: Option<String> = read.first(&format!("SELECT status FROM {table} WHERE id = ?"), (id,)).await?;
//! assert_eq!(status.as_deref(), Some("PAID"));
//! # Ok(()) }
//! ```
//!
//! It is tested with MariaDB 10.11 and refuses MySQL, whose positions and time limits are spelt differently (`src/dialect.rs`).
//! Connections are encrypted when [`Options::tls`] says how to verify the servers.

mod dialect;
mod error;
mod migrate;
mod options;
mod pool;
mod roles;
mod route;
mod schema;
mod session;
mod shards;
mod stats;
mod token;

pub use error::Error;
pub use migrate::{MigrateError, Migrated, Migration, Progress};
pub use mysql_async::prelude::{FromRow, FromValue, ToValue};
pub use mysql_async::{Params, Row, Value, params};
pub use options::{Address, Options, OptionsError, Shard};
pub use route::{Route, SHARDS, TABLES};
pub use schema::Needed;
pub use session::{Read, Write};
pub use shards::{Freshness, Shards, Warm};
pub use stats::ServerStats;
pub use token::{Gtid, Token, TokenError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
