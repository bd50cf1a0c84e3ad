//! The atomics and the lock of this crate: std's, or loom's when its model checker runs (`--cfg aqueduct_loom`).

#[cfg(aqueduct_loom)]
pub(crate) use loom::sync::Mutex;
#[cfg(aqueduct_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(aqueduct_loom))]
pub(crate) use std::sync::Mutex;
#[cfg(not(aqueduct_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
