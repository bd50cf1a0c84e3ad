//! Mints 64-bit, time-ordered IDs that carry their shard and table, and reads both back.
//!
//! ```text
//! 0 | time, 42 bits of ms | shard 2 | table 4 | worker W | sequence S        W + S = 15
//! ```
//!
//! Two workers never mint the same ID because their worker numbers differ; one worker never does because each
//! [`Route`] has one atomic that only grows, and because a [`Lease`] on disk reserves time ahead: after a restart
//! nothing below the stored mark is minted again, wherever the wall clock went meanwhile. An ID is Snowflake's
//! (Twitter, 2010) with the route put where a router can read it without a lookup.
//!
//! ```
//! use aqueduct_ids::{Layout, Lease, LeaseOptions, Route};
//!
//! let folder = tempfile::tempdir()?;
//! let mut lease = Lease::open(folder.path(), LeaseOptions { worker: 5, ..LeaseOptions::default() })?;
//! let ids = lease.generator(); // Clone + Send + Sync, lock-free
//!
//! let user = 42;
//! let id = ids.next_id(Route::of_hash(user))?;
//! assert_eq!(id.route(), Route::of_hash(user));
//! assert_eq!(Layout::DEFAULT.decode(id).worker, 5);
//!
//! lease.renew()?; // the owner does this every `lease.renew_every()`, on a thread that may block
//! lease.close()?; // stores the exact time used, so that the next start need not wait
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A fleet takes its worker numbers from a register that all nodes reach: the module `shared`, with the feature `mysql` or `etcd`.
//!
//! The crate spawns nothing, blocks only in [`Lease`], and reads time through the [`Clock`] it is given.

mod clock;
mod error;
mod generator;
mod layout;
mod lease;
mod sequence;
#[cfg(feature = "shared")]
pub mod shared;
mod sync;

pub use clock::Clock;
#[cfg(feature = "shared")]
pub use clock::Steady;
pub use error::{IdError, LeaseError};
pub use generator::Generator;
pub use layout::{Id, Layout, Parts, Route};
pub use lease::{DEFAULT_EPOCH_MS, Lease, LeaseOptions};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
