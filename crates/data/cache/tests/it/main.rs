//! The cache's promises, through its public interface.

mod audit;
mod deadlines;
mod fences;
mod hit_rate;
mod many;
mod single_flight;
mod source;
mod stress;
mod watermarks;
