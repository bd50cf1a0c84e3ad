//! Reads and writes the few protobuf messages of the gateway's own calls, field by field.

/// What a field holds, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A number of four or eight bytes, which none of the messages read here has.
    Fixed,
}

/// Hands each field of a message to `take`, its number and its value. `None` when the bytes are no message, or when
/// `take` says so.
pub(crate) fn each<'a>(mut wire: &'a [u8], mut take: impl FnMut(u64, Value<'a>) -> Option<()>) -> Option<()> {
    while !wire.is_empty() {
        let (key, rest) = varint(wire)?;
        let (value, rest) = match key & 7 {
            0 => varint(rest).map(|(number, rest)| (Value::Varint(number), rest))?,
            1 => (Value::Fixed, rest.get(8..)?),
            2 => {
                let (length, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Value::Bytes(bytes), rest)
            }
            5 => (Value::Fixed, rest.get(4..)?),
            _ => return None,
        };
        take(key >> 3, value)?;
        wire = rest;
    }
    Some(())
}

fn varint(wire: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in wire.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, wire.get(index + 1..)?));
        }
    }
    None
}

/// Appends a field of bytes, text or a message. Its number is below 16.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(low_bits(length) | 0x80);
        length >>= 7;
    }
    out.push(low_bits(length));
    out.extend_from_slice(bytes);
}

fn low_bits(number: usize) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(wire: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
        let mut fields = Vec::new();
        each(wire, |number, value| {
            fields.push((number, value));
            Some(())
        })?;
        Some(fields)
    }

    #[test]
    fn every_wire_type_is_read_and_nonsense_is_not() {
        let wire = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let expect =
            vec![(1, Value::Varint(150)), (2, Value::Bytes(b"hi")), (3, Value::Fixed), (4, Value::Fixed)];
        assert_eq!(fields(&wire), Some(expect));
        for (end, whole) in (0..wire.len()).map(|end| (end, [0, 3, 7, 12].contains(&end))) {
            assert_eq!(fields(&wire[..end]).is_some(), whole, "cut at {end}");
        }
        for bad in
            [&[0x0b][..], &[0xff; 11], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert_eq!(fields(bad), None, "{bad:x?}");
        }
        assert_eq!(each(&wire, |number, _| (number < 2).then_some(())), None, "the reader may refuse");
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            let (mut wire, bytes) = (Vec::new(), vec![7; length]);
            put_bytes(&mut wire, 15, &bytes);
            assert_eq!(fields(&wire), Some(vec![(15, Value::Bytes(&bytes))]), "{length}");
        }
    }
}
