//! Looks at eight bytes of a string at once: where does the first one stand that cannot be copied as it is?
//!
//! `unsafe` is denied here, and SIMD would need it; strings in requests are mostly shorter than two vectors anyway.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Sets the high bit of bytes that are `"`, `\` or below 0x20. Only the lowest set bit is exact: a borrow may set
/// bits above it.
#[inline]
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5c);
    let found = (word.wrapping_sub(ONES * 0x20) & !word)
        | (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash);
    found & HIGHS
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Bytes before the first quote, backslash or control character, at or after `from`; the length when there is none.
#[inline]
pub(crate) fn find_special(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, special, is_special)
}

/// The same, stopping at bytes that are not ASCII too.
#[inline]
pub(crate) fn find_special_or_non_ascii(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, |word| special(word) | (word & HIGHS), |byte| is_special(byte) || byte >= 0x80)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "its closures must become part of the loop")]
fn find(bytes: &[u8], from: usize, word_hit: impl Fn(u64) -> u64, byte_hit: impl Fn(u8) -> bool) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let hit = word_hit(u64::from_le_bytes(*chunk));
        if hit != 0 {
            return at + hit.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte_hit(byte) {
            return at;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place() {
        for byte in 0..=255u8 {
            for length in 0..20 {
                for place in 0..length {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    let expect = |hit| if hit { place } else { length };
                    assert_eq!(find_special(&bytes, 0), expect(is_special(byte)), "{byte} {place}/{length}");
                    assert_eq!(
                        find_special_or_non_ascii(&bytes, 0),
                        expect(is_special(byte) || byte >= 0x80),
                        "{byte} {place}/{length}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_first_of_several_is_found() {
        assert_eq!(find_special(b"aaaa\x1f\"\\aaaaaaaa", 0), 4);
        assert_eq!(find_special(b"\"aaa\x20\"aaaaaaaa", 1), 5);
        assert_eq!(find_special_or_non_ascii("aaé\"aaaaaaaaaa".as_bytes(), 0), 2);
    }
}
