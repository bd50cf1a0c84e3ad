//! Free TCP ports that stay free: each is held by a lock until its owner drops it, across processes.
//!
//! Binding port 0 and closing it again, the usual way, hands out ephemeral ports: the kernel may give the same one
//! to any outgoing connection before the server under test binds it. These ports lie below the ephemeral range, so
//! only another test can take one, and the lock files keep the tests apart (each test is a process of its own).

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// The highest port that is handed out; the ephemeral ports begin above it.
pub const HIGHEST: u16 = 22_767;

/// Above the ports that a developer's own servers tend to use.
const LOWEST: u16 = 12_000;

/// A TCP port of 127.0.0.1 that nobody listened on, held until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked for as long as the port is held. The kernel unlocks it however the process ends.
    _lock: File,
}

impl Port {
    /// Finds a free port and holds it.
    ///
    /// # Panics
    ///
    /// When none is free, or the lock files cannot be written.
    #[expect(clippy::panic, reason = "a test cannot go on without a port")]
    pub fn free() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let count = HIGHEST - LOWEST + 1;
        // Parallel tests start at different places, so that they seldom try the same port.
        let offset = u16::try_from(std::process::id() % 0xffff).unwrap_or_default().wrapping_mul(97);
        for _ in 0..count {
            let step = offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            if let Some(port) = Self::hold(LOWEST + step % count) {
                return port;
            }
        }
        panic!("every port from {LOWEST} to {HIGHEST} is in use")
    }

    /// Takes `number` if no other test holds it and nobody listens on it.
    ///
    /// # Panics
    ///
    /// When the lock files cannot be written.
    pub fn hold(number: u16) -> Option<Self> {
        let folder = std::env::temp_dir().join("aqueduct-ports");
        fs::create_dir_all(&folder).expect("make the folder of port locks");
        let lock = File::create(folder.join(number.to_string())).expect("open a port's lock");
        lock.try_lock().ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _lock: lock })
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 and the port.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

#[cfg(test)]
mod tests {
    use super::{HIGHEST, Port};
    use std::net::TcpListener;

    #[test]
    fn a_port_is_handed_out_once() {
        let ports: Vec<_> = (0..50).map(|_| Port::free()).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        assert!(numbers.iter().all(|n| *n <= HIGHEST));
    }

    #[test]
    fn neither_a_held_nor_a_used_port_is_taken() {
        let port = Port::free();
        assert!(Port::hold(port.number()).is_none(), "held");
        let number = port.number();
        let listener = TcpListener::bind(port.address()).unwrap();
        drop(port);
        assert!(Port::hold(number).is_none(), "used");
        drop(listener);
    }
}
