//! The engine over a store in memory, with a paused clock.

mod bench;
mod life;
mod parked;
