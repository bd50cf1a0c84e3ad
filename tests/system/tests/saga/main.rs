//! Sagas on a real MariaDB, started by each test. They lie here because no crate below may use the kit.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod servers;
