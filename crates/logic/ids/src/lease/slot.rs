//! One copy of the mark as it lies on disk: who may mint, up to when, and a checksum.

use std::path::Path;

use crate::error::LeaseError;
use crate::layout::{Layout, TIME_END};

/// Magic 8, format 4, sequence bits 4, worker 2, epoch 8, mark 8, checksum 8 bytes; little-endian.
pub(super) const SLOT_LEN: usize = 42;
const MAGIC: [u8; 8] = *b"aqueduct";
const FORMAT: u32 = 1;

/// What the IDs of a folder depend on, beside the mark. Minting under another one could repeat them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) layout: Layout,
    pub(super) worker: u16,
    pub(super) epoch_ms: u64,
}

/// What the bytes of a copy turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Intact {
        identity: Identity,
        mark: u64,
    },
    /// Ours, but of another format version.
    Foreign {
        format: u32,
    },
    Damaged,
}

impl Slot {
    /// Reads a copy; fewer bytes than [`SLOT_LEN`] are a damaged one.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or(Self::Damaged)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (format, rest) = rest.split_first_chunk::<4>()?;
        let format = u32::from_le_bytes(*format);
        if *magic != MAGIC {
            return None;
        }
        if format != FORMAT {
            return Some(Self::Foreign { format });
        }
        let (sequence_bits, rest) = rest.split_first_chunk::<4>()?;
        let (worker, rest) = rest.split_first_chunk::<2>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (mark, rest) = rest.split_first_chunk::<8>()?;
        let (sum, _) = rest.split_first_chunk::<8>()?;
        if checksum(bytes.get(..SLOT_LEN - 8)?) != u64::from_le_bytes(*sum) {
            return None;
        }
        let layout = Layout::from_sequence_bits(u32::from_le_bytes(*sequence_bits))?;
        let mark = u64::from_le_bytes(*mark);
        if mark > TIME_END {
            return None;
        }
        let worker = u16::from_le_bytes(*worker);
        let identity = Identity { layout, worker, epoch_ms: u64::from_le_bytes(*epoch) };
        Some(Self::Intact { identity, mark })
    }
}

impl Identity {
    /// The bytes of a copy that stores `mark`.
    pub(super) fn encode(self, mark: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SLOT_LEN);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(self.layout.sequence_bits().to_le_bytes());
        bytes.extend(self.worker.to_le_bytes());
        bytes.extend(self.epoch_ms.to_le_bytes());
        bytes.extend(mark.to_le_bytes());
        bytes.extend(checksum(&bytes).to_le_bytes());
        bytes
    }

    /// Refuses to mint under settings other than the `stored` ones.
    pub(super) fn must_equal(self, stored: Self, path: &Path) -> Result<(), LeaseError> {
        let settings = [
            ("the layout", stored.layout.to_string(), self.layout.to_string()),
            ("the worker", stored.worker.to_string(), self.worker.to_string()),
            ("the epoch", stored.epoch_ms.to_string(), self.epoch_ms.to_string()),
        ];
        for (setting, stored, configured) in settings {
            if stored != configured {
                return Err(LeaseError::Mismatch { path: path.to_owned(), setting, stored, configured });
            }
        }
        Ok(())
    }
}

/// The mark of a file: the higher of its intact copies, which must be of this identity. Any intact copy is at or
/// above the mark in force, because a mark is used only when both hold it.
pub(super) fn mark_of(copies: [Slot; 2], configured: Identity, path: &Path) -> Result<u64, LeaseError> {
    let mut mark = None;
    for copy in copies {
        if let Slot::Intact { identity, mark: stored } = copy {
            configured.must_equal(identity, path)?;
            mark = mark.max(Some(stored));
        }
    }
    match (mark, copies) {
        (Some(mark), _) => Ok(mark),
        (None, [Slot::Foreign { format: found }, _] | [_, Slot::Foreign { format: found }]) => {
            Err(LeaseError::Format { path: path.to_owned(), found, expected: FORMAT })
        }
        (None, _) => Err(LeaseError::Damaged { path: path.to_owned() }),
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): enough to tell a torn copy, and it never misses one changed byte.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
