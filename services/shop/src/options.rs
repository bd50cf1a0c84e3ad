//! How a shop is set up.

use std::path::PathBuf;
use std::time::Duration;

use aqueduct_ids::Clock;

/// How a shop is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder; created where there is none.
    pub data_dir: PathBuf,
    /// The number of this worker in the ids it mints, 0 to 127, where its lease is in the data folder. Fixed at the first start
    /// of a folder, and no two folders of a system may share one.
    pub worker: u16,
    /// The wall clock that ids are minted from.
    pub clock: Clock,
    /// Memory for orders held in the cache, in bytes; at least 64 KiB.
    pub cache_bytes: u64,
    /// The age from which a cached order is read anew in the background.
    pub cache_soft: Duration,
    /// The age from which a cached order is no longer answered.
    pub cache_hard: Duration,
    /// Memory for blocks of the store's files, in bytes.
    pub store_cache_bytes: u64,
    /// Changes that may wait for the store; more are refused as RESOURCE_EXHAUSTED.
    pub queue: usize,
    /// Whether a worker ships each order when it is paid; only with real servers, whose bus tells it. Otherwise only calls do.
    pub ship_when_paid: bool,
    /// Streams of `WatchOrder` that may be open; more are refused as RESOURCE_EXHAUSTED.
    pub max_watches: usize,
    /// Where the participants `a` and `b` of transfers are (`host:port`, gRPC); `None` is in this process, in the data folder.
    pub participants: [Option<String>; 2],
    /// For how long a transfer can be read after its end, and its id means that transfer.
    pub transfers_kept: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("aqueduct-data"),
            worker: 0,
            clock: Clock::system(),
            cache_bytes: 64 << 20,
            cache_soft: Duration::from_secs(10),
            cache_hard: Duration::from_mins(1),
            store_cache_bytes: 32 << 20,
            queue: 8_192,
            ship_when_paid: false,
            max_watches: 10_000,
            participants: [None, None],
            transfers_kept: Duration::from_hours(30 * 24),
        }
    }
}
