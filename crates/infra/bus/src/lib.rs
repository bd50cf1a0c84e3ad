//! Ordered records to many readers: the in-process [`Log`] of the embedded system and, with feature `jetstream`, a stream of
//! NATS (`jetstream`). [`Publish`] and [`Subscribe`] are what both have in common.
//!
//! Publishing is synchronous, never waits for a reader and keeps a bounded ring of the newest records. Every
//! [`Reader`] sees the whole stream from the moment it subscribed, in order; one that falls behind the ring is told
//! so with [`Delivery::Gap`] and goes on with the oldest record that is left. There is no silent loss, no
//! unbounded memory and no back-pressure: what a gap means (flush the cache, read the state again) only the reader
//! knows.
//!
//! ```
//! use aqueduct_bus::{Delivery, Draft, Log, Options};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), aqueduct_bus::Closed> {
//! let log = Log::new(Options { source: "orders".into(), epoch: 1, ..Options::default() });
//! let mut reader = log.subscribe();
//!
//! log.publish(Draft::new("order.changed", "42", r#"{"status":"PAID"}"#))?; // from any thread
//! log.close();
//!
//! while let Some(delivery) = reader.recv().await {
//!     match delivery {
//!         Delivery::Record(record) => assert_eq!((record.seq, &record.key[..]), (1, &b"42"[..])),
//!         Delivery::Gap { missed } => println!("flush everything: {missed} records were missed"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The types carry what a distributed log needs as well: `seq` counts within one `epoch` of one `source`, and a
//! reader that meets another epoch knows that the numbering, and what it derived from it, begins anew.

#[cfg(feature = "jetstream")]
pub mod jetstream;
mod log;
mod publish;
mod reader;
mod record;
mod ring;

pub use log::{Closed, Log, Options, Stats};
pub use publish::{DedupId, Publish, Subscribe};
pub use reader::Reader;
pub use record::{Delivery, Draft, Header, Record};
