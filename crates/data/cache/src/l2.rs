//! The second level: entries, floors and leases in a Redis Cluster (feature `redis`), or on another back end that runs
//! the same scripts (feature `l2`, [`Backend`]).
//!
//! - **Versions of a key never go down.** One compare-and-set script does fills and invalidations. It compares versions
//!   as strings of 20 digits: Lua's numbers lose above 2^53.
//! - **An invalidation writes a floor**, never a bare DEL: a fill below it is refused while it lives, and it outlives
//!   every lease that was granted before it ([`Options::validate`]).
//! - **One loader per key**: a miss is answered with a lease to one caller, the others are told to wait (Nishtala et al.,
//!   *Scaling Memcache at Facebook*, NSDI'13, section 3.2.1). A fill without a live lease is refused.
//! - **A failover is a miss.** Redis replicates asynchronously: a promoted replica may lack a floor. So every entry and
//!   every lease carries the stamp of the master that wrote it, and counts only where the same one answers. The stamp is
//!   the master's replication id, which Redis draws anew whenever a replica is promoted: node id and configuration
//!   epoch in one. `CLUSTER MYID` alone would bring old entries back to life when a master that lost its slots gets them
//!   back; the epoch beside it is only in `CLUSTER INFO`, which walks over all slots: 64 µs a read instead of 10
//!   (`INFO commandstats` of Redis 7.0, 40,000 reads each; a read without stamp takes 3).
//! - **The comparison is made by the server**, in the script that reads: a client cannot know which master answered a
//!   plain GET. It also gives the master's clock, by which all ages and deadlines are reckoned; another
//!   master's clock never meets them, because its entries are misses.
//!
//! - **A master that was replaced may not know it yet**: one that was stopped answers the first commands after it goes on as if nothing had
//!   happened. So who writes the floors also tells which masters have them ([`Store::masters`]), and what another master says is
//!   not answered unmarked ([`Watermarks::l2`](crate::Watermarks::l2)).
//!
//! Keys are `table:pk` ([`Key`]). A lease lies at `{table:pk}:lease`, which hashes to the same slot.
//!
//! A [`Tier`] makes of it a loader for [`Cache::get_with`](crate::Cache::get_with), in the table's epoch ([`Epochs`]).
//!
//! What it asks: after a lease, **read the primary**, or a replica that has caught up to [`Leased::Load`]'s `least`. After
//! a failover the floor may be lost, and then only the database knows. A row that is created again begins above its
//! tombstone, that is at two above the version that was deleted.

mod backend;
#[cfg(feature = "redis")]
mod cluster;
mod codec;
mod entry;
mod epochs;
mod error;
mod key;
mod masters;
mod options;
mod reply;
mod script;
mod silence;
mod slow;
mod store;
mod tier;

pub use backend::{Backend, Call, Script, Value};
#[cfg(feature = "redis")]
pub use cluster::Cluster;
pub use codec::{Codec, Plain};
pub use entry::{HEADER, Poison, State, Stored, decode};
pub use epochs::Epochs;
pub use error::{Error, Failure};
pub use key::Key;
pub use options::{Options, Tls};
pub use reply::{Entry, Filled, Found, Leased, Refused, Token};
#[cfg(feature = "mutations")]
pub use script::Mutation;
pub use slow::{Slow, Stats};
pub use store::Store;
pub use tier::{Mode, Tier, TierError, TierOptions, TierStats};

/// Without the feature `redis` there is none.
#[cfg(not(feature = "redis"))]
#[derive(Debug, Clone, Copy)]
pub enum Cluster {}
