//! What the owner decides.

use std::time::Duration;

use super::Error;

/// How the second level behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a command may take, its retries and redirections included. 250 ms.
    pub timeout: Duration,
    /// How long the first connection may take. 5 s.
    pub connect_timeout: Duration,
    /// How long a loader may hold a lease. 2 s.
    pub lease: Duration,
    /// How long a floor or a tombstone stays. 60 s. It must outlive a lease and the lag of the replicas that loaders read.
    /// Under `maxmemory`, whatever else Redis evicts is a miss; but a floor that is evicted while a lease lives lets a late fill pass:
    /// give Redis room, or `noeviction`.
    pub floor: Duration,
    /// The most bytes of a row, above which it is not cached. 1 MiB.
    pub max_value: usize,
    /// From when on a command is slow. 5 ms.
    pub slow: Duration,
    /// How the nodes' certificates are verified, of addresses that begin with `rediss://`. None.
    pub tls: Option<Tls>,
}

/// TLS towards the nodes. Each must have a certificate for the address by which the cluster knows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who may vouch for them, in PEM; `None`: whom the system trusts.
    pub ca: Option<Vec<u8>>,
    /// A certificate and its key, in PEM, for nodes that ask for one.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Without the key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("own_ca", &self.ca.is_some()).finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(5),
            lease: Duration::from_secs(2),
            floor: Duration::from_mins(1),
            max_value: 1 << 20,
            slow: Duration::from_millis(5),
            tls: None,
        }
    }
}

impl Options {
    /// Whether they can hold together.
    ///
    /// # Errors
    ///
    /// When a floor could end before a lease that was granted before it, or a time or size is out of bounds.
    pub fn validate(&self) -> Result<(), Error> {
        let milli = Duration::from_millis(1);
        if self.timeout < milli || self.connect_timeout < milli || self.lease < milli {
            return Err(Error::Options("timeout, connect_timeout and lease must be 1 ms at least"));
        }
        if self.floor < self.lease * 2 {
            return Err(Error::Options(
                "floor must be twice lease at least, or a late fill could pass it: raise floor",
            ));
        }
        if self.max_value > 64 << 20 {
            return Err(Error::Options(
                "max_value must be 64 MiB at most: a large value holds up all others",
            ));
        }
        Ok(())
    }
}
