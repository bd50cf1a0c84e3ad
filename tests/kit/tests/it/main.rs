//! What the kit promises of the real servers that it starts. They run two at a time: see `.config/nextest.toml`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod servers;
