//! The atomics of the crate: the standard ones, or loom's in a build with `--cfg aqueduct_loom`.

#[cfg(not(aqueduct_loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};

#[cfg(aqueduct_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, fence};

/// Hashes keys to sets. Seeded at random, so that nobody who chooses keys can fill one set on purpose. Of the quality that each of its
/// bits is good by itself: the low ones of the faster kind crowd keys that count up into some sets.
#[cfg(not(aqueduct_loom))]
pub(crate) type KeyHasher = foldhash::quality::RandomState;

/// Hashes keys to sets, the same way in each iteration of a model.
#[cfg(aqueduct_loom)]
pub(crate) type KeyHasher = foldhash::fast::FixedState;
