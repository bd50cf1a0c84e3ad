//! Bounded rate limits: how often each of many keys may do something, in memory whose size is fixed at the start.
//!
//! The algorithm is GCRA (ITU-T I.371, "Generic Cell Rate Algorithm"): of each key one word is kept, the *theoretical
//! arrival time* at which its bucket is full again. A request moves it by one emission interval and is admitted unless it
//! would then lie further ahead than the burst allows. There is no timer and nothing to refill.
//!
//! ```
//! use std::time::Duration;
//! use aqueduct_limit::{Limiter, Rate};
//!
//! // 10 a second, of which 3 may come at once; room for 1,000 keys.
//! let limiter = Limiter::new(Rate::new(10, Duration::from_secs(1), 3)?, 1_000);
//!
//! let now = 0; // ns of a monotonic clock of yours
//! for left in [2, 1, 0] {
//!     let decision = limiter.check(b"203.0.113.7", now);
//!     assert!(decision.allowed && decision.remaining == left);
//! }
//! let refused = limiter.check(b"203.0.113.7", now);
//! assert!(!refused.allowed);
//! assert_eq!(refused.retry_after, Duration::from_millis(100));
//! assert!(limiter.check(b"203.0.113.7", 100_000_000).allowed);
//! assert!(limiter.check(b"198.51.100.1", now).allowed, "each key has its own");
//! # Ok::<(), aqueduct_limit::RateError>(())
//! ```
//!
//! A [`Limiter`] is shared by reference between threads. Keys that have an entry are charged with one compare-and-swap and no
//! lock. It spawns nothing and reads no clock.

mod limiter;
mod rate;
mod sync;

pub use limiter::Limiter;
pub use rate::{Decision, Rate, RateError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
