//! Base64 as proto3 JSON has it: both alphabets are read, padded or not; the standard one is written, padded.
//!
//! By hand, since it appends to a buffer that the caller goes on filling, and takes two alphabets mixed.

const INVALID: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut table = [INVALID; 256];
    let mut value = 0u8;
    while value < 64 {
        table[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the decoded bytes; false when `text` is not base64 (`out` then has surplus bytes). Set bits behind the
/// last whole byte are let pass, as every protobuf implementation does.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let data = match text {
        [data @ .., b'=', b'='] | [data @ .., b'='] if text.len().is_multiple_of(4) => data,
        _ => text,
    };
    out.reserve(data.len() / 4 * 3 + 3);
    let (quads, rest) = data.as_chunks::<4>();
    for quad in quads {
        let [a, b, c, d] = quad.map(|byte| VALUES[usize::from(byte)]);
        if (a | b | c | d) & 0xc0 != 0 {
            return false;
        }
        out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
    }
    let value = |index: usize| rest.get(index).map_or(0, |&byte| VALUES[usize::from(byte)]);
    let (a, b, c) = (value(0), value(1), value(2));
    match rest.len() {
        0 => true,
        1 => false,
        _ if (a | b | c) & 0xc0 != 0 => false,
        2 => {
            out.push(a << 2 | b >> 4);
            true
        }
        _ => {
            out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2]);
            true
        }
    }
}

/// Appends `bytes` in the standard alphabet, padded.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    let letter = |bits: u32| ALPHABET[(bits & 63) as usize];
    let (triples, rest) = bytes.as_chunks::<3>();
    for &[a, b, c] in triples {
        let bits = u32::from_be_bytes([0, a, b, c]);
        out.extend_from_slice(&[letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), letter(bits)]);
    }
    match *rest {
        [a] => {
            let bits = u32::from(a) << 4;
            out.extend_from_slice(&[letter(bits >> 6), letter(bits), b'=', b'=']);
        }
        [a, b] => {
            let bits = u32::from_be_bytes([0, 0, a, b]) << 2;
            out.extend_from_slice(&[letter(bits >> 12), letter(bits >> 6), letter(bits), b'=']);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_round_trips() {
        for length in 0..70u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            let mut text = Vec::new();
            encode(&bytes, &mut text);
            assert_eq!(text.len() % 4, 0);
            let unpadded: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'=').collect();
            let url: Vec<u8> = text
                .iter()
                .map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => *other,
                })
                .collect();
            for form in [text, unpadded, url] {
                let mut back = Vec::new();
                assert!(decode(&form, &mut back));
                assert_eq!(back, bytes);
            }
        }
    }

    #[test]
    fn what_is_read_and_what_is_not() {
        let check = |text: &str, expect: Option<&[u8]>| {
            let mut out = Vec::new();
            let ok = decode(text.as_bytes(), &mut out);
            assert_eq!(ok.then_some(out.as_slice()), expect, "{text}");
        };
        check("", Some(b""));
        check("-_", Some(b"\xfb"));
        check("+/", Some(b"\xfb"));
        check("AQI", Some(b"\x01\x02"));
        check("AQI=", Some(b"\x01\x02"));
        check("AQ==", Some(b"\x01"));
        for bad in ["A", "AQ=", "AQI==", "AQ===", "=", "====", "AQ I", "AQ==AQ==", "A*==", "AAAAé"] {
            check(bad, None);
        }
    }
}
