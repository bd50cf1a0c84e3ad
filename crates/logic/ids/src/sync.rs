//! The atomics of this crate: std's, or loom's when its model checker runs (`--cfg aqueduct_loom`).

#[cfg(aqueduct_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(aqueduct_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
