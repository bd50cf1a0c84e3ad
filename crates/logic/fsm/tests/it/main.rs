//! The promises of the crate, one file each.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

mod bounds;
mod cancel;
mod contention;
mod failure;
#[cfg(feature = "fjall")]
mod fjall;
mod life;
mod memory;
#[cfg(feature = "fjall")]
mod orders;
