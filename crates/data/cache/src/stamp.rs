//! Who wrote an entry of the second level.

use std::fmt;

/// The replication id of a Redis master: 160 bits that are drawn anew whenever a replica is promoted or a master starts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub [u8; 20]);

impl Stamp {
    /// From its 40 hex digits.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let mut bytes = [0; 20];
        if hex.len() != 40 {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    #[test]
    fn hex_digits_are_read_and_written() {
        let hex = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(Stamp::from_hex(hex.as_bytes()).unwrap().to_string(), hex);
        for broken in ["", "01", hex.trim_start_matches('0'), &format!("{hex}0"), &hex.replace('a', "g")] {
            assert_eq!(Stamp::from_hex(broken.as_bytes()), None, "{broken}");
        }
    }
}
