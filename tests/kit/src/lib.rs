//! What the end-to-end tests and the benchmarks share: the built `aqueduct` binary, scratch folders, free ports,
//! processes that are started, watched and ended by their pid, real servers (MariaDB, a Redis Cluster, NATS, etcd) that are
//! started the same way, and a small blocking HTTP/1.1 client.
//!
//! Everything here blocks: a test of a whole process has nothing else to do while it waits, and a client without a
//! runtime cannot hide a stalled one. Nothing here knows the shop.
//!
//! ```
//! use aqueduct_kit::{Port, Process, Scratch, process::within};
//! use std::process::Command;
//!
//! let scratch = Scratch::new("hello");
//! let port = Port::free();
//! assert!(port.number() <= aqueduct_kit::port::HIGHEST);
//!
//! let mut command = Command::new("sh");
//! command.current_dir(scratch.path()).args(["-c", "echo ready; exec sleep 60"]);
//! let mut child = Process::start("sleeper", &mut command).unwrap();
//! assert_eq!(child.wait_line("ready", within(10)).unwrap(), "ready");
//! child.terminate().unwrap();
//! assert!(!child.wait_exit(within(10)).unwrap().success());
//! ```

pub mod binary;
pub mod certificates;
pub mod etcd;
pub mod http;
pub mod mariadb;
pub mod nats;
pub mod port;
pub mod process;
pub mod procfs;
mod program;
pub mod redis;
mod scratch;
mod server;
mod wait;

pub use binary::{Profile, aqueduct};
pub use http::{Client, Response};
pub use port::Port;
pub use process::Process;
pub use scratch::Scratch;
pub use server::{Place, Server};
pub use wait::until;

/// How often a test of many rounds (a kill -9 loop, say) repeats: `AQUEDUCT_ROUNDS` if it is set, as
/// `cargo xtask soak` does, and `usual` otherwise.
///
/// # Panics
///
/// On a value that is not a positive number: a soak that silently ran the short variant would prove nothing.
pub fn rounds(usual: u32) -> u32 {
    positive("AQUEDUCT_ROUNDS", usual)
}

/// How often a fault comes to the real servers in a test of the data layer: `AQUEDUCT_FAULTS` if it is set, as `cargo xtask soak`
/// does, and once otherwise.
///
/// # Panics
///
/// As [`rounds`].
pub fn faults() -> u32 {
    positive("AQUEDUCT_FAULTS", 1)
}

/// How many seeds a test of sagas on real processes runs: `AQUEDUCT_SAGAS` if it is set, as `cargo xtask soak` does, and `usual`
/// otherwise.
///
/// # Panics
///
/// As [`rounds`].
pub fn sagas(usual: u32) -> u32 {
    positive("AQUEDUCT_SAGAS", usual)
}

fn positive(variable: &str, usual: u32) -> u32 {
    match std::env::var(variable) {
        Ok(text) => {
            let number = text.parse().ok().filter(|number| *number > 0);
            number.expect("AQUEDUCT_ROUNDS, AQUEDUCT_FAULTS and AQUEDUCT_SAGAS are positive numbers")
        }
        Err(_) => usual,
    }
}
