//! What the data layer promises, with real servers below it. They run two at a time: see `.config/nextest.toml`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod servers;
