//! Change capture: MariaDB's binlog as changes in order, and an explicit [`EpochBump`] wherever single keys cannot be told.
//!
//! [`Reader`] follows one server and hands committed [`Transaction`]s to a [`Sink`], one at a time. When that has acknowledged,
//! the position goes to a [`Store`], and a reader that is started again goes on there: at least once, in order, never silent.
//!
//! The parts without I/O stand alone: [`Decoder`] turns the bytes of an event into [`Fact`]s, [`Assembler`] turns facts
//! into transactions.
//!
//! ```no_run
//! use std::convert::Infallible;
//! use aqueduct_cdc::{FileStore, Options, Reader, Sink, Transaction, Watched};
//!
//! struct Print;
//!
//! impl Sink for Print {
//!     type Error = Infallible;
//!
//!     async fn deliver(&mut self, transaction: &Transaction) -> Result<(), Infallible> {
//!         println!("{transaction:?}");
//!         Ok(()) // from here on it is never missed, and may come again only after a crash or a reconnect
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), aqueduct_cdc::Error> {
//! let tables = vec![Watched::exact("shop_0", "orders_00", "version"), Watched::bounded("shop_0", "notes")];
//! let options = Options::new("127.0.0.1", 3306, "cdc", "secret", tables);
//! let mut reader = Reader::connect(options, FileStore::new("shop_0.checkpoint")).await?;
//! match reader.run(&mut Print).await? {}
//! # }
//! ```
//!
//! It is tested with MariaDB 10.11 and refuses MySQL. Connections are encrypted when [`Options::tls`] says how to verify the
//! server.

mod assemble;
mod bytes;
mod change;
mod check;
mod checkpoint;
mod connect;
mod decode;
mod error;
pub mod feed;
pub mod follow;
mod gtid;
pub mod heartbeat;
mod options;
mod progress;
mod reader;
mod settling;
mod statement;
pub mod survey;

pub use assemble::Assembler;
pub use change::{Change, EpochBump, Key, KeyPart, Reason, Scope, Sink, TableName, Transaction, Version};
pub use checkpoint::{CheckpointError, FileStore, Store, parse as parse_checkpoint};
pub use decode::{Decoder, Fact, Unreadable, Xa, Xid};
pub use error::Error;
pub use gtid::{BadPosition, Gtid, Position};
pub use options::{Options, Watched};
pub use progress::Progress;
pub use reader::Reader;
pub use settling::Settling;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
