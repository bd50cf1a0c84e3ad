//! What an entry is called in Redis.

use std::fmt::Write as _;

use super::Error;

/// The longest table name and the longest primary key, in bytes.
const LIMIT: usize = 512;

/// `table:pk`, and the epoch of the table. Two keys are never in one slot but by chance: braces, which would be a hash tag,
/// are refused in a table's name and encoded in a primary key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    name: String,
    epoch: u64,
}

impl Key {
    /// The key of a row. In the primary key `{`, `}` and `%` become `%7B`, `%7D` and `%25`.
    ///
    /// # Errors
    ///
    /// When the table has no name, or one with a brace or a colon in it, or a name is too long.
    pub fn new(table: &str, pk: &str) -> Result<Self, Error> {
        let refuse = |why| Err(Error::Key { name: table.chars().take(64).collect(), why });
        if table.is_empty() {
            return refuse("a table has a name");
        }
        if table.contains(['{', '}']) {
            return refuse(
                "braces make a hash tag, which puts the whole table into one slot: name it without braces",
            );
        }
        if table.contains(':') {
            return refuse("a colon ends the table's name: name it without one");
        }
        if table.len() > LIMIT || pk.len() > LIMIT {
            return refuse("its name or the primary key is longer than 512 bytes: hash the long part");
        }
        let mut name = String::with_capacity(table.len() + 1 + pk.len());
        name.push_str(table);
        name.push(':');
        for char in pk.chars() {
            match char {
                '{' | '}' | '%' => write!(name, "%{:02X}", u32::from(char)).unwrap_or_default(),
                _ => name.push(char),
            }
        }
        Ok(Self { name, epoch: 0 })
    }

    /// In which epoch the caller believes the table to be. Entries of an earlier one are misses, and fills of an earlier
    /// one than an entry's are refused. 0 unless told.
    #[must_use]
    pub fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// The key in Redis.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its lease lies: in the same slot, since the hash tag is the whole name.
    pub fn lease(&self) -> String {
        format!("{{{}}}:lease", self.name)
    }

    /// Its slot in a cluster.
    pub fn slot(&self) -> u16 {
        slot(&self.name)
    }

    /// Its part of the cluster.
    pub(super) fn part(&self) -> usize {
        part(&self.name)
    }

    pub(crate) fn epoch_digits(&self) -> String {
        format!("{:020}", self.epoch)
    }
}

/// CRC16/XMODEM, as the cluster's specification says, of a name without a hash tag.
fn slot(name: &str) -> u16 {
    let crc = name.bytes().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16384
}

/// Parts of the cluster whose failures are remembered apart: 256 slots each. Masters serve ranges.
pub(super) const PARTS: usize = 64;

/// The part that a key's name belongs to.
pub(super) fn part(name: &str) -> usize {
    usize::from(slot(name)) * PARTS / 16384
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn braces_never_make_a_hash_tag() {
        for table in ["", "{orders}", "a}b", "a:b"] {
            let error = Key::new(table, "1").unwrap_err().to_string();
            assert!(error.contains("name"), "{error}");
        }
        assert!(Key::new("orders", &"x".repeat(513)).is_err());
        let check = |pk: &str, expect: &str| {
            let key = Key::new("orders", pk).unwrap();
            assert_eq!(key.name(), expect);
            #[cfg(feature = "redis")]
            for name in [key.name(), &key.lease()] {
                let slot = redis::cluster_routing::Slot::for_key(name);
                assert_eq!(redis::cluster_routing::Slot::new(key.slot()), Some(slot), "{name}");
            }
        };
        check("7", "orders:7");
        check("{7}", "orders:%7B7%7D");
        check("%7B7%7D", "orders:%257B7%257D");
        check("7:8", "orders:7:8");
        check("", "orders:");
    }
}
