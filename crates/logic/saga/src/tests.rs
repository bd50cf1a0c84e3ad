//! The engine over a store in memory, with a paused clock.

pub(crate) mod bench;
mod life;
mod parked;
