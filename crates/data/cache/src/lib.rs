//! A read-through cache: answers a read from memory, from the caller's loader, or stale while one asynchronous
//! refresh runs. It knows nothing of where values come from, nor of who tells it that they changed.
//!
//! - **Bounded by bytes**, the bookkeeping of each entry included ([`Builder::weigher`]).
//! - **Three ages.** Until its soft deadline an entry is fresh. Until its hard deadline it is answered at once,
//!   marked with its age, while one refresh runs. After that a load is required, and its error is the answer.
//! - **Single flight.** One load per key at a time, however many callers; they share its result or its error. The
//!   load runs in a task of its own (on the spawner the owner gave), so a caller that goes away harms nobody.
//! - **Fences.** After [`Cache::fence`] returned, no `get` that begins answers what a load read before it, marked
//!   stale or not: a writer calls it between making a write durable and acknowledging it.
//! - **Watermarks** ([`Watermarks`]), where changes come from elsewhere: an answer that is not marked stale was the newest Δ ago
//!   or later.
//! - **Versions never go down**: a load that returns less than the fence's version, or less than what is cached,
//!   is refused.
//!
//! ```
//! use aqueduct_cache::{Cache, Loaded};
//! use std::{convert::Infallible, sync::Arc};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spawner = Arc::new(|task| drop(tokio::spawn(task)));
//! let cache = Cache::<u64, Arc<str>, Infallible>::builder()
//!     .capacity_bytes(1 << 20)
//!     .weigher(|_key, value| value.map_or(0, |text| text.len()))
//!     .build(spawner)?;
//!
//! let read = |version, text: &'static str| move || async move {
//!     Ok(Loaded::new(version, Some(Arc::from(text))))
//! };
//! let answer = cache.get(&7, read(1, "created")).await?;
//! assert_eq!((answer.value.as_deref(), answer.age), (Some("created"), None));
//!
//! // A hit: the loader is not called.
//! assert_eq!(cache.get(&7, read(2, "paid")).await?.value.as_deref(), Some("created"));
//!
//! // The writer committed version 2, and fences before it acknowledges.
//! cache.fence(&7, 2);
//! assert_eq!(cache.get(&7, read(2, "paid")).await?.value.as_deref(), Some("paid"));
//! # Ok(()) }
//! ```

mod admission;
mod answer;
pub mod audit;
mod builder;
mod cache;
mod clock;
mod error;
mod fill;
mod flight;
#[cfg(feature = "l2")]
pub mod l2;
mod lifetime;
mod many;
mod mutation;
mod stamp;
mod stats;
mod stripe;
mod table;
mod watermarks;

pub use answer::{Answer, AsOf, Ask, Loaded};
pub use builder::{BuildError, Builder, Spawner, Task};
pub use cache::Cache;
pub use error::Error;
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use stamp::Stamp;
pub use stats::Stats;
pub use watermarks::Watermarks;

#[cfg(test)]
mod tests;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
