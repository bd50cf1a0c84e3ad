//! JSON strings: copied where nothing needs escaping, which is nearly always.

use crate::swar::{find_special, find_special_or_non_ascii};

/// Appends a quoted, escaped JSON string.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put_escaped(out, text.as_bytes(), 0);
    out.push(b'"');
}

/// The same for bytes that should be UTF-8; otherwise says where they are not.
#[inline]
pub(super) fn put_utf8(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), usize> {
    let plain = find_special_or_non_ascii(bytes, 0);
    out.push(b'"');
    if plain == bytes.len() {
        out.extend_from_slice(bytes);
    } else {
        if let Err(error) = std::str::from_utf8(bytes) {
            return Err(error.valid_up_to());
        }
        put_escaped(out, bytes, plain);
    }
    out.push(b'"');
    Ok(())
}

/// How long a string is with its escapes, without its quotes.
pub(super) fn escaped_len(bytes: &[u8]) -> usize {
    let escaped = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    bytes.iter().map(escaped).sum()
}

/// Appends UTF-8 `bytes`; the first `plain` of them are known to need no escape.
fn put_escaped(out: &mut Vec<u8>, bytes: &[u8], plain: usize) {
    let mut done = 0;
    let mut at = plain;
    loop {
        at = find_special(bytes, at);
        out.extend_from_slice(bytes.get(done..at).unwrap_or_default());
        let Some(&byte) = bytes.get(at) else { return };
        put_escape(out, byte);
        at += 1;
        done = at;
    }
}

fn put_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let low = HEX[usize::from(byte & 0xf)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4 & 0xf)], low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_read_back_as_they_were() {
        let all: String =
            (0..0x250u32).chain([0x2028, 0x1f600, 0x10ffff]).filter_map(char::from_u32).collect();
        for text in ["", "plain", "\"", "a long one without anything in it", "tail\n", "ä", &all] {
            let mut out = Vec::new();
            put_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            let mut checked = Vec::new();
            assert_eq!(put_utf8(&mut checked, text.as_bytes()), Ok(()));
            assert_eq!(checked, out);
            assert_eq!(escaped_len(text.as_bytes()) + 2, out.len(), "{text:?}");
        }
        assert_eq!(put_utf8(&mut Vec::new(), b"abc\xff"), Err(3));
        assert_eq!(put_utf8(&mut Vec::new(), b"\xed\xa0\x80"), Err(0), "a surrogate");
    }
}
