//! IDs: a fleet on real servers under kills, pauses and clocks that are stepped, and as many as there is time for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod many;
mod servers;
