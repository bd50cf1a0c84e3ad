//! Where the bits of an ID are: the one place that shifts them in and out.

use std::fmt;

/// Bits below the route: worker and sequence share them, in a proportion that the profile sets.
const TAIL_BITS: u32 = 15;
const TABLE_BITS: u32 = 4;
const TIME_SHIFT: u32 = TAIL_BITS + TABLE_BITS + 2;
/// The first time, in ms since the epoch, that no longer fits: 42 bits reach 139 years.
pub(crate) const TIME_END: u64 = 1 << 42;
/// 4 shards of 16 tables.
pub(crate) const ROUTES: usize = 64;

/// A minted ID: 63 bits, so it is a non-negative `i64` in protobuf and SQL, and IDs sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

impl Id {
    /// Reads an ID that came from outside; `None` when the sign bit is set, which no minted ID has.
    pub const fn new(raw: u64) -> Option<Self> {
        if raw >> 63 == 0 { Some(Self(raw)) } else { None }
    }

    /// As [`Id::new`], for the signed integers of protobuf and SQL.
    pub const fn from_i64(raw: i64) -> Option<Self> {
        Self::new(raw.cast_unsigned())
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a signed integer, never negative.
    pub const fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// Where the entity lives. The same in every profile: `(id >> 19) & 3` and `(id >> 15) & 15`.
    pub const fn route(self) -> Route {
        Route(((self.0 >> TAIL_BITS) & 63) as u8)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A shard (0..4) and a table in it (0..16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route(u8);

impl Route {
    /// The route to `table` of `shard`; `None` when either is out of range.
    pub const fn new(shard: u8, table: u8) -> Option<Self> {
        if shard < 4 && table < 16 { Some(Self(shard << TABLE_BITS | table)) } else { None }
    }

    /// The route of everything that belongs together under `key` (a user's number, or the hash of a name).
    ///
    /// Where data lives depends on this function, so it never changes: the finalizer of `SplitMix64`
    /// (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014), its top 6 bits.
    pub const fn of_hash(key: u64) -> Self {
        let mixed = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(((mixed ^ (mixed >> 31)) >> 58) as u8)
    }

    /// Every route, shard by shard.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..4).flat_map(|shard| (0..16).map(move |table| Self(shard << TABLE_BITS | table)))
    }

    /// The shard, 0..4.
    pub const fn shard(self) -> u8 {
        self.0 >> TABLE_BITS
    }

    /// The table in its shard, 0..16.
    pub const fn table(self) -> u8 {
        self.0 & 15
    }

    /// A dense number, below [`ROUTES`].
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How the 15 bits below the route are shared between worker number and sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    sequence_bits: u8,
}

/// An ID taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Milliseconds since the lease's epoch.
    pub time_ms: u64,
    /// Shard and table.
    pub route: Route,
    /// The worker that minted it.
    pub worker: u16,
    /// Its place among the IDs of that worker, route and millisecond.
    pub sequence: u16,
}

impl Layout {
    /// 128 workers, each minting 256 IDs a millisecond and route.
    pub const DEFAULT: Self = Self { sequence_bits: 8 };
    /// 8 workers, each minting 4,096 IDs a millisecond and route.
    pub const SEED: Self = Self { sequence_bits: 12 };

    /// A layout read back from disk, which another version may have known.
    pub(crate) fn from_sequence_bits(bits: u32) -> Option<Self> {
        let sequence_bits = u8::try_from(bits).ok()?;
        (bits <= TAIL_BITS).then_some(Self { sequence_bits })
    }

    /// S: the bits of the sequence.
    pub const fn sequence_bits(self) -> u32 {
        self.sequence_bits as u32
    }

    /// W: the bits of the worker number.
    pub const fn worker_bits(self) -> u32 {
        TAIL_BITS - self.sequence_bits()
    }

    /// The highest worker number.
    pub const fn max_worker(self) -> u16 {
        (1 << self.worker_bits()) - 1
    }

    /// Takes an ID apart. The layout must be the one it was minted with, except for time and route.
    #[expect(clippy::cast_possible_truncation, reason = "both casts keep more bits than their masks")]
    pub const fn decode(self, id: Id) -> Parts {
        Parts {
            time_ms: id.0 >> TIME_SHIFT,
            route: id.route(),
            worker: (id.0 >> self.sequence_bits()) as u16 & self.max_worker(),
            sequence: id.0 as u16 & ((1 << self.sequence_bits()) - 1),
        }
    }

    /// Puts an ID together from a stamp (`time << S | sequence`, its time below [`TIME_END`]).
    pub(crate) const fn encode(self, stamp: u64, route: Route, worker: u16) -> Id {
        let sequence_bits = self.sequence_bits();
        let time = stamp >> sequence_bits;
        let sequence = stamp & ((1 << sequence_bits) - 1);
        Id(time << TIME_SHIFT | (route.0 as u64) << TAIL_BITS | (worker as u64) << sequence_bits | sequence)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W{}/S{}", self.worker_bits(), self.sequence_bits)
    }
}

#[cfg(test)]
#[cfg(not(aqueduct_loom))]
mod tests;
