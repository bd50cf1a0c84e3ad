//! How work runs: the request context, tracked tasks, a thread per core, listening sockets, watched files, the wall
//! clock, buffers, signals and drain. Everything here is a small mechanism; what runs on it, and when it stops, is its caller's decision.
//!
//! ```
//! use aqueduct_runtime::{context::Context, drain, task, worker::Workers};
//! use std::time::Duration;
//!
//! let (handle, drain) = drain::channel();
//! let workers = Workers::start("example", 2, move |index| {
//!     let drain = drain.per_worker();
//!     async move {
//!         let guard = drain.guard(); // held while new work may still come in
//!         let context = Context::new_root(false);
//!         let answer = task::spawn_local("request", async move { context.child().trace_id() });
//!         assert_eq!(answer.await.unwrap(), context.trace_id());
//!         drain.started().await;
//!         drop(guard);
//!         index
//!     }
//! })?;
//!
//! let main = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! let drained = main.block_on(handle.drain(Duration::from_secs(5)));
//! assert_eq!(drained.left, 0);
//! assert_eq!(workers.join(), [Ok(0), Ok(1)]);
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod clock;
pub mod context;
pub mod drain;
pub mod file;
pub mod handover;
mod hex;
pub mod listen;
pub mod pool;
pub mod rng;
pub mod signal;
pub mod task;
pub mod worker;
