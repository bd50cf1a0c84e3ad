//! The form of an entry in Redis. Whatever is not exactly of this form is poison.

/// The bytes before the data: `AQ1`, the state, four numbers of 20 digits, the stamp.
pub const HEADER: usize = 124;

/// What an entry says of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The row is there, and this is it.
    Live,
    /// There is no such row.
    Negative,
    /// The row has changed; nothing below this version may be filled in.
    Floor,
}

/// An entry as it is stored. Times are in milliseconds since 1970 on the clock of the master that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// What it says.
    pub state: State,
    /// The row's version.
    pub version: u64,
    /// Until when it is fresh.
    pub soft: u64,
    /// When its load began.
    pub loaded: u64,
    /// The table's epoch.
    pub epoch: u64,
    /// The replication id of the master that wrote it: 40 hex digits.
    pub stamp: &'a str,
    /// The row; empty unless live.
    pub data: &'a [u8],
}

/// Why bytes are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// More bytes than the limit.
    #[error("it is longer than the limit")]
    TooLong,
    /// Fewer bytes than a header has.
    #[error("it is shorter than a header")]
    TooShort,
    /// Another format, or none.
    #[error("it does not begin with AQ1 and a state")]
    Format,
    /// A number that is not 20 digits, or above 2^64.
    #[error("a number in it is none")]
    Number,
    /// A stamp that is not 40 hex digits.
    #[error("its stamp is none")]
    Stamp,
    /// A floor or a negative entry that has data.
    #[error("it has data, but is not live")]
    Data,
}

/// Reads what came out of Redis. It allocates nothing, and accepts no more than `limit` bytes.
///
/// # Errors
///
/// When the bytes are no entry.
pub fn decode(raw: &[u8], limit: usize) -> Result<Stored<'_>, Poison> {
    if raw.len() > limit {
        return Err(Poison::TooLong);
    }
    let (header, data) = raw.split_at_checked(HEADER).ok_or(Poison::TooShort)?;
    let (format, rest) = header.split_at(4);
    let state = match format {
        b"AQ1L" => State::Live,
        b"AQ1N" => State::Negative,
        b"AQ1F" => State::Floor,
        _ => return Err(Poison::Format),
    };
    let (numbers, stamp) = rest.split_at(80);
    let mut parsed = [0; 4];
    for (number, digits) in parsed.iter_mut().zip(numbers.chunks_exact(20)) {
        *number = self::number(digits).ok_or(Poison::Number)?;
    }
    let [version, soft, loaded, epoch] = parsed;
    let hex = stamp.iter().all(u8::is_ascii_hexdigit);
    let stamp = std::str::from_utf8(stamp).ok().filter(|_| hex).ok_or(Poison::Stamp)?;
    if state != State::Live && !data.is_empty() {
        return Err(Poison::Data);
    }
    Ok(Stored { state, version, soft, loaded, epoch, stamp, data })
}

/// Digits only: `u64::from_str` would take a sign.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    digits.iter().try_fold(0, add)
}

impl Stored<'_> {
    /// The bytes that [`decode`] reads, as the script writes them.
    pub fn encode(&self) -> Vec<u8> {
        let state = match self.state {
            State::Live => 'L',
            State::Negative => 'N',
            State::Floor => 'F',
        };
        let Self { version, soft, loaded, epoch, stamp, data, .. } = self;
        let header = format!("AQ1{state}{version:020}{soft:020}{loaded:020}{epoch:020}{stamp}");
        [header.as_bytes(), data].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Poison, State, Stored, decode};
    use proptest::prelude::*;

    const STAMP: &str = "0123456789abcdef0123456789abcdef01234567";

    fn live() -> Stored<'static> {
        Stored {
            state: State::Live,
            version: u64::MAX,
            soft: 2,
            loaded: 1,
            epoch: 3,
            stamp: STAMP,
            data: b"row",
        }
    }

    #[test]
    fn poison_is_told_from_entries() {
        let check = |edit: &dyn Fn(&mut Vec<u8>), expect| {
            let mut raw = live().encode();
            edit(&mut raw);
            assert_eq!(decode(&raw, HEADER + 3).map(|_| ()), expect, "{}", raw.escape_ascii());
        };
        check(&|_| {}, Ok(()));
        check(&|raw| raw.truncate(HEADER), Ok(()));
        check(&|raw| raw.push(0), Err(Poison::TooLong));
        check(&|raw| raw.truncate(HEADER - 1), Err(Poison::TooShort));
        check(&Vec::clear, Err(Poison::TooShort));
        check(&|raw| raw[2] = b'2', Err(Poison::Format));
        check(&|raw| raw[3] = b'X', Err(Poison::Format));
        check(&|raw| raw[4] = b'+', Err(Poison::Number));
        check(&|raw| raw[23] = b'6', Err(Poison::Number));
        check(&|raw| raw[HEADER - 1] = b'g', Err(Poison::Stamp));
        check(&|raw| raw[HEADER - 1] = 0xff, Err(Poison::Stamp));
        check(&|raw| raw[3] = b'F', Err(Poison::Data));
        check(&|raw| raw[3] = b'N', Err(Poison::Data));
    }

    proptest! {
        #[test]
        fn what_is_decoded_encodes_to_the_same_bytes(
            version: u64, soft: u64, loaded: u64, epoch: u64, data: Vec<u8>, state in 0..3,
        ) {
            let state = [State::Live, State::Negative, State::Floor][usize::try_from(state).unwrap()];
            let data = if state == State::Live { &*data } else { &[] };
            let stored = Stored { state, version, soft, loaded, epoch, stamp: STAMP, data };
            let raw = stored.encode();
            prop_assert_eq!(decode(&raw, usize::MAX), Ok(stored));
        }

        #[test]
        fn no_bytes_make_it_panic(raw: Vec<u8>, at in 0..HEADER, byte: u8) {
            prop_assert!(decode(&raw, 64).is_err(), "no header fits into 64 bytes");
            prop_assert!(decode(&raw, 1 << 20).is_err() || raw.starts_with(b"AQ1"));
            let mut raw = live().encode();
            raw[at] = byte;
            if let Ok(stored) = decode(&raw, 1024) {
                prop_assert_eq!(stored.encode(), raw);
            }
        }
    }
}
