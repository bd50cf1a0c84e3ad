//! The Huffman code of HPACK (RFC 7541, appendix B), decoded. It is canonical: the lengths of the codes tell the codes. Nothing that
//! we send is coded so: it would cost both sides more than it saves.

/// The longest code.
const LONGEST: usize = 30;
/// The shortest.
const SHORTEST: usize = 5;

/// The length of each byte's code.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6,
    6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5,
    6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24,
    23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26,
    26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21,
    26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26,
    26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// How codes of each length are told apart.
struct Code {
    /// What is below this, in 32 bits from the left, has a code of this length or a shorter one.
    end: [u64; LONGEST + 1],
    /// The first code of this length, and which byte of `bytes` it stands for.
    first: [u64; LONGEST + 1],
    index: [usize; LONGEST + 1],
    /// All bytes, in the order of their codes.
    bytes: [u8; 256],
    /// The byte whose code begins eight bits, and its code's length; 0 where it is longer. All that is common in heads is not.
    short: [(u8, u8); 256],
}

static CODE: Code = code();

#[expect(
    clippy::indexing_slicing,
    reason = "computed while compiling, which fails where an index is out of bounds"
)]
const fn code() -> Code {
    let (mut end, mut first) = ([0; LONGEST + 1], [0; LONGEST + 1]);
    let (mut index, mut bytes) = ([0; LONGEST + 1], [0; 256]);
    let (mut short, mut at) = ([(0, 0); 256], 0);
    let (mut next, mut count, mut length) = (0u64, 0, 0);
    while length <= LONGEST {
        first[length] = next;
        index[length] = count;
        let mut byte = 0u8;
        loop {
            if LENGTHS[byte as usize] as usize == length {
                bytes[count] = byte;
                let end = if length <= 8 { at + (1 << (8 - length)) } else { at };
                while at < end {
                    short[at] = (byte, LENGTHS[byte as usize]);
                    at += 1;
                }
                count += 1;
                next += 1;
            }
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        end[length] = next << (32 - length);
        next <<= 1;
        length += 1;
    }
    Code { end, first, index, bytes, short }
}

/// Appends what `coded` stands for; `None` when it is not a code, or ends in anything but the beginning of the end's code.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    // Bits that have been read, and how many.
    let (mut bits, mut count) = (0u64, 0usize);
    let mut rest = coded.iter();
    loop {
        while count <= 32 {
            let Some(byte) = rest.next() else { break };
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        // The next 32 bits; behind the last they are ones, as of the end's code.
        let window = if count >= 32 {
            bits >> (count - 32) & 0xffff_ffff
        } else {
            (bits << (32 - count) | ((1 << (32 - count)) - 1)) & 0xffff_ffff
        };
        if let Some(&(byte, length)) = CODE.short.get(usize::try_from(window >> 24).ok()?)
            && (1..=count).contains(&usize::from(length))
        {
            out.push(byte);
            count -= usize::from(length);
            continue;
        }
        let length =
            (SHORTEST..=LONGEST).find(|length| CODE.end.get(*length).is_some_and(|end| window < *end));
        let length = match length {
            Some(length) if length <= count => length,
            // Less than a byte is left, and all ones.
            _ => return (count < 8 && window == 0xffff_ffff).then_some(()),
        };
        let ordinal = (window >> (32 - length)) - CODE.first.get(length)?;
        let index = CODE.index.get(length)? + usize::try_from(ordinal).ok()?;
        out.push(*CODE.bytes.get(index)?);
        count -= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let position = CODE.bytes.iter().position(|it| it == byte).unwrap();
            let code = CODE.first[length] + (position - CODE.index[length]) as u64;
            bits.extend((0..length).rev().map(|bit| if code >> bit & 1 == 1 { '1' } else { '0' }));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|it| u8::from_str_radix(str::from_utf8(it).unwrap(), 2).unwrap())
            .collect()
    }

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        for (coded, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], "custom-value"),
        ] {
            assert_eq!(decoded(coded).unwrap(), text.as_bytes());
            assert_eq!(encode(text.as_bytes()), coded);
        }
    }

    #[test]
    fn every_byte_beside_every_other() {
        for byte in 0..=u8::MAX {
            let text: Vec<u8> = (0..=u8::MAX).flat_map(|other| [byte, other]).collect();
            assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }
    }

    #[test]
    fn padding_is_ones_and_shorter_than_a_byte() {
        assert_eq!(decoded(b""), Some(Vec::new()));
        // "0" has five bits, all zero.
        assert_eq!(decoded(&[0b0000_0111]), Some(b"0".to_vec()));
        for bad in [&[0b0000_0110][..], &[0b0000_0111, 0xff], &[0xff], &[0xff; 4], &[0xff, 0xff, 0xff, 0xfc]]
        {
            assert_eq!(decoded(bad), None, "{bad:?}");
        }
    }
}
