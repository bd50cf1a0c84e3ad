//! The engine over a store in memory, with a paused clock.

pub(crate) mod bench;
mod leases;
mod life;
mod parked;
mod stores;
