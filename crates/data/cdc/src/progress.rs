//! How far a reader is behind its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Read from anywhere; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    events: AtomicU64,
    reconnects: AtomicU64,
    /// When the server wrote the last event, in unix seconds.
    written: AtomicU64,
    /// Whether the server said that there is nothing more.
    idle: AtomicBool,
    connected: AtomicBool,
}

impl Progress {
    /// An event came. The server's own heartbeats have no time: it sends them when it has nothing else.
    pub(crate) fn heard(&self, timestamp: u32) {
        self.0.events.fetch_add(1, Relaxed);
        self.0.connected.store(true, Relaxed);
        self.0.idle.store(timestamp == 0, Relaxed);
        if timestamp > 0 {
            self.0.written.store(timestamp.into(), Relaxed);
        }
    }

    pub(crate) fn broke_off(&self) {
        self.0.reconnects.fetch_add(1, Relaxed);
        self.0.connected.store(false, Relaxed);
        self.0.idle.store(false, Relaxed);
    }

    /// Events read.
    pub fn events(&self) -> u64 {
        self.0.events.load(Relaxed)
    }

    /// How often the binlog broke off.
    pub fn reconnects(&self) -> u64 {
        self.0.reconnects.load(Relaxed)
    }

    /// Whether the server sends.
    pub fn connected(&self) -> bool {
        self.0.connected.load(Relaxed)
    }

    /// When the server wrote what was read last, in unix seconds: the present, for a reader that has caught up. `None` before the first event,
    /// and while there is nothing more to read.
    pub fn written(&self) -> Option<u64> {
        let idle = self.0.idle.load(Relaxed);
        Some(self.0.written.load(Relaxed)).filter(|written| *written > 0 && !idle)
    }
}
