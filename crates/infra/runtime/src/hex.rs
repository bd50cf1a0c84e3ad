//! Lower-case hexadecimal, eight digits at a time in one machine word. Each byte of the word is a lane; no lane ever
//! carries into its neighbour.

/// `0x01` in every lane.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The eight lower-case digits of `value`, the most significant first.
pub(crate) fn encode(value: u32) -> [u8; 8] {
    digits(spread(value)).to_be_bytes()
}

/// The value of eight lower-case digits; `None` when any byte is not one of `0-9a-f`.
pub(crate) fn decode(text: [u8; 8]) -> Option<u32> {
    let text = u64::from_be_bytes(text);
    // Letters have bit 0x40 set: 'a' is 0x61, and 1 + 9 = 10. Sums stay below 25: no carry.
    let letters = (text >> 6) & ONES;
    let nibbles = (text & (ONES * 0x0f)) + letters * 9;
    // Reading is only the inverse of writing for proper digits. Writing the nibbles again and comparing is the whole
    // check, once lanes above 15 (from 'g' to 'o') are excluded.
    if nibbles & (ONES * 0xf0) != 0 || digits(nibbles) != text {
        return None;
    }
    Some(gather(nibbles))
}

/// The digit of each nibble lane: `n + '0'`, and 39 more to jump from after '9' to 'a'.
fn digits(nibbles: u64) -> u64 {
    let letters = ((nibbles + ONES * 6) >> 4) & ONES;
    nibbles + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'9' - 1)
}

/// One nibble of `value` in each lane.
fn spread(value: u32) -> u64 {
    let mut x = u64::from(value);
    x = (x | (x << 16)) & 0x0000_ffff_0000_ffff;
    x = (x | (x << 8)) & 0x00ff_00ff_00ff_00ff;
    (x | (x << 4)) & 0x0f0f_0f0f_0f0f_0f0f
}

/// The inverse of [`spread`].
fn gather(nibbles: u64) -> u32 {
    let mut x = nibbles;
    x = (x | (x >> 4)) & 0x00ff_00ff_00ff_00ff;
    x = (x | (x >> 8)) & 0x0000_ffff_0000_ffff;
    x = (x | (x >> 16)) & 0x0000_0000_ffff_ffff;
    u32::try_from(x).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use proptest::prelude::*;

    #[test]
    fn accepts_exactly_the_lower_case_digits() {
        for lane in 0..8 {
            for byte in 0..=u8::MAX {
                let mut text = *b"00000000";
                text[lane] = byte;
                let expect = match byte {
                    b'0'..=b'9' => Some(byte - b'0'),
                    b'a'..=b'f' => Some(byte - b'a' + 10),
                    _ => None,
                };
                let expect = expect.map(|n| u32::from(n) << (4 * (7 - lane)));
                assert_eq!(decode(text), expect, "byte {byte:#x} in lane {lane}");
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_format(value: u32) {
            let text = encode(value);
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), format!("{value:08x}"));
            prop_assert_eq!(decode(text), Some(value));
        }

        #[test]
        fn never_accepts_what_it_would_not_write(text: [u8; 8]) {
            if let Some(value) = decode(text) {
                prop_assert_eq!(encode(value), text);
            }
        }
    }
}
