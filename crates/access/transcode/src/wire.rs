//! The protobuf wire format: reading and writing varints, tags and length-delimited fields.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

/// The wire types, the low three bits of a tag.
pub(crate) mod wire_type {
    pub(crate) const VARINT: u8 = 0;
    pub(crate) const FIXED64: u8 = 1;
    pub(crate) const LEN: u8 = 2;
    pub(crate) const GROUP_START: u8 = 3;
    pub(crate) const GROUP_END: u8 = 4;
    pub(crate) const FIXED32: u8 = 5;
}

/// Malformed wire bytes: what, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireError {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

pub(crate) type Result<T> = std::result::Result<T, WireError>;

/// Reads forward over `bytes`; positions are absolute, so that a submessage is `bytes[..end]` from `pos`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) pos: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, pos: 0 }
    }

    /// A cursor over `start..end` of `bytes`, which must lie within.
    pub(crate) fn over(bytes: &'a [u8], start: usize, end: usize) -> Self {
        Cursor { bytes: bytes.get(..end).unwrap_or(bytes), pos: start }
    }

    pub(crate) fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    #[cold]
    pub(crate) fn error(&self, what: &'static str) -> WireError {
        WireError { at: self.pos, what }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        match self.bytes.get(self.pos) {
            Some(&byte) if byte < 0x80 => {
                self.pos += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let mut value = 0u64;
        for (index, &byte) in rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == 9 && byte > 1 {
                    break;
                }
                self.pos += index + 1;
                return Ok(value);
            }
        }
        Err(self.error(if rest.len() < 10 { "the varint is cut short" } else { "the varint is too long" }))
    }

    /// A tag as field number and wire type; the number is in `1..2^29`.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<(u32, u8)> {
        match self.bytes.get(self.pos) {
            Some(&byte) if (8..0x80).contains(&byte) => {
                self.pos += 1;
                Ok((u32::from(byte >> 3), byte & 7))
            }
            _ => self.long_tag(),
        }
    }

    fn long_tag(&mut self) -> Result<(u32, u8)> {
        let start = self.pos;
        let raw = self.varint()?;
        let number = (raw >> 3) as u32;
        if raw > u64::from(u32::MAX) || number == 0 || self.pos - start > 5 {
            return Err(WireError { at: start, what: "the tag is invalid" });
        }
        Ok((number, (raw & 7) as u8))
    }

    /// The range of a length-delimited value.
    #[inline]
    pub(crate) fn len_range(&mut self) -> Result<(usize, usize)> {
        let length = self.varint()?;
        let start = self.pos;
        match usize::try_from(length).ok().filter(|&length| length <= self.bytes.len() - start) {
            Some(length) => {
                self.pos = start + length;
                Ok((start, self.pos))
            }
            None => Err(WireError { at: start, what: "the length runs past the end" }),
        }
    }

    #[inline]
    pub(crate) fn len_bytes(&mut self) -> Result<&'a [u8]> {
        let (start, end) = self.len_range()?;
        Ok(self.bytes.get(start..end).unwrap_or_default())
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<u32> {
        match self.bytes.get(self.pos..).and_then(|rest| rest.first_chunk::<4>()) {
            Some(chunk) => {
                self.pos += 4;
                Ok(u32::from_le_bytes(*chunk))
            }
            None => Err(self.error("the fixed32 is cut short")),
        }
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64> {
        match self.bytes.get(self.pos..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(chunk) => {
                self.pos += 8;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(self.error("the fixed64 is cut short")),
        }
    }

    /// Skips the value of a field whose tag was just read. Groups may nest `depth` deep.
    #[inline]
    pub(crate) fn skip(&mut self, number: u32, wire: u8, depth: u32) -> Result<()> {
        match wire {
            wire_type::VARINT => self.varint().map(drop),
            wire_type::LEN => self.len_range().map(drop),
            wire_type::FIXED64 => self.fixed64().map(drop),
            wire_type::FIXED32 => self.fixed32().map(drop),
            wire_type::GROUP_START => self.skip_group(number, depth).map(drop),
            wire_type::GROUP_END => Err(self.error("a group ends that has not begun")),
            _ => Err(self.error("the wire type is invalid")),
        }
    }

    /// Skips to the end of a group that has begun; gives the end of its content (before the end tag).
    pub(crate) fn skip_group(&mut self, number: u32, depth: u32) -> Result<usize> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.error("groups are nested too deep"));
        };
        loop {
            if self.at_end() {
                return Err(self.error("the group has no end"));
            }
            let before = self.pos;
            let (inner, wire) = self.tag()?;
            if wire == wire_type::GROUP_END {
                return if inner == number {
                    Ok(before)
                } else {
                    Err(self.error("a group ends that has not begun"))
                };
            }
            self.skip(inner, wire, depth)?;
        }
    }
}

/// Appends a varint.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if value < 0x4000 {
        out.extend_from_slice(&[value as u8 | 0x80, (value >> 7) as u8]);
    } else {
        put_long_varint(out, value);
    }
}

fn put_long_varint(out: &mut Vec<u8>, mut value: u64) {
    let mut buffer = [0u8; 10];
    let mut length = 0;
    for slot in &mut buffer {
        *slot = value as u8 | 0x80;
        value >>= 7;
        length += 1;
        if value == 0 {
            *slot &= 0x7f;
            break;
        }
    }
    let start = out.len();
    // A copy of constant size is two moves; the surplus is cut off again.
    out.extend_from_slice(&buffer);
    out.truncate(start + length);
}

/// Appends a tag.
#[inline]
pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Opens a length-delimited value: one byte is kept for its length. Gives the start of the content.
#[inline]
pub(crate) fn open_len(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Closes what [`open_len`] opened. Contents of 128 bytes and more are moved to make room for a longer length: rarer
/// and cheaper than to know the length beforehand, and the bytes stay canonical, which padded varints would not be.
#[inline]
pub(crate) fn close_len(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
    } else {
        close_long(out, start, length);
    }
}

fn close_long(out: &mut Vec<u8>, start: usize, length: usize) {
    let extra = varint_len(length as u64) - 1;
    out.resize(out.len() + extra, 0);
    out.copy_within(start..start + length, start + extra);
    let mut rest = length;
    let last = start + extra - 1;
    for byte in &mut out[start - 1..last] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[last] = rest as u8;
}

/// Bytes of a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_know_their_length() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                let mut cursor = Cursor::new(&out);
                assert_eq!(cursor.varint(), Ok(value));
                assert!(cursor.at_end());
                assert!(Cursor::new(&out[..out.len() - 1]).varint().is_err());
            }
        }
        assert!(Cursor::new(&[0xff; 11]).varint().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint().is_err());
    }

    #[test]
    fn zigzag_keeps_small_magnitudes_small() {
        for (value, coded) in
            [(0, 0), (-1, 1), (1, 2), (-2, 3), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)]
        {
            assert_eq!(zigzag(value), coded);
            assert_eq!(unzigzag(coded), value);
        }
    }

    #[test]
    fn lengths_are_patched_at_every_width() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 2_097_152] {
            let mut out = vec![9];
            let start = open_len(&mut out);
            out.resize(start + length, 7);
            close_len(&mut out, start);
            let mut cursor = Cursor::over(&out, 1, out.len());
            assert_eq!(cursor.len_bytes().map(<[u8]>::len), Ok(length));
            assert!(cursor.at_end());
            assert_eq!(out.len(), 1 + varint_len(length as u64) + length);
            assert!(out.iter().skip(1 + varint_len(length as u64)).all(|&byte| byte == 7));
        }
    }

    #[test]
    fn tags_and_groups_are_checked() {
        let check = |bytes: &[u8], depth, ok: bool| {
            let mut cursor = Cursor::new(bytes);
            let result = cursor.tag().and_then(|(number, wire)| cursor.skip(number, wire, depth));
            assert_eq!(result.is_ok(), ok, "{bytes:?}: {result:?}");
        };
        check(&[0x08, 1], 0, true);
        check(&[0x00, 1], 0, false); // field number 0
        check(&[0x88, 0x80, 0x80, 0x80, 0x80, 0x00, 1], 0, false); // a tag of six bytes
        check(&[0xff, 0xff, 0xff, 0xff, 0x1f, 1], 0, false); // beyond 32 bits
        check(&[0x0b, 0x0c], 1, true); // an empty group
        check(&[0x0b, 0x0c], 0, false); // deeper than allowed
        check(&[0x0b, 0x14], 1, false); // another group ends
        check(&[0x0b, 0x08], 1, false); // cut short
        check(&[0x0c], 1, false);
        check(&[0x0e], 1, false); // wire type 6
        check(&[0x0a, 0x05, 0], 1, false); // length past the end
    }
}
