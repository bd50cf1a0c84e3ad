//! Percent-encoding of paths and query strings (RFC 3986, and `+` for blanks as HTML forms have it).

/// What is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decode {
    /// All escapes: a path variable of one segment.
    Segment,
    /// All but `%2F`: a path variable of several segments, where it is not the slash between them.
    Segments,
    /// All, and `+` is a blank: a query string.
    Query,
}

/// Appends `text` decoded; `Err` with the place of a broken escape.
pub(crate) fn decode(text: &[u8], mode: Decode, out: &mut Vec<u8>) -> Result<(), usize> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'%' => {
                let digits = text.get(at + 1..at + 3).and_then(|digits| digits.as_array::<2>());
                let value = digits.and_then(|&digits| hex(digits)).ok_or(at)?;
                if value == b'/' && mode == Decode::Segments {
                    out.extend_from_slice(text.get(at..at + 3).unwrap_or_default());
                } else {
                    out.push(value);
                }
                at += 3;
                continue;
            }
            b'+' if mode == Decode::Query => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    Ok(())
}

/// Whether every `%` is followed by two hexadecimal digits.
pub(crate) fn is_valid(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text)
        .all(|at| text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Whether `text` is `expected` once it is decoded.
pub(crate) fn decodes_to(text: &[u8], expected: &[u8]) -> bool {
    let mut expected = expected.iter();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let escape =
            text.get(at + 1..at + 3).and_then(|digits| digits.as_array::<2>()).filter(|_| byte == b'%');
        let (byte, length) = escape.and_then(|&digits| hex(digits)).map_or((byte, 1), |value| (value, 3));
        if expected.next() != Some(&byte) {
            return false;
        }
        at += length;
    }
    expected.next().is_none()
}

/// Appends `text` as one segment of a path: what may stand there is left as it is, but for the colon of a verb.
pub(crate) fn encode(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=@".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
        }
    }
}

pub(crate) fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        let check = |text: &str, mode, expect: Result<&str, usize>| {
            let mut out = Vec::new();
            let done = decode(text.as_bytes(), mode, &mut out);
            assert_eq!(done.map(|()| String::from_utf8(out).unwrap()), expect.map(str::to_owned), "{text}");
        };
        check("a%20b+c", Decode::Segment, Ok("a b+c"));
        check("a%20b+c%2B", Decode::Query, Ok("a b c+"));
        check("%2fa%2F%41", Decode::Segment, Ok("/a/A"));
        check("%2fa%2F%41", Decode::Segments, Ok("%2fa%2FA"));
        check("%2525", Decode::Segment, Ok("%25"));
        check("%c3%A9", Decode::Segment, Ok("é"));
        for (bad, at) in [("%", 0), ("a%4", 1), ("a%4g", 1), ("%%41", 0), ("%+1", 0)] {
            check(bad, Decode::Query, Err(at));
            assert!(!is_valid(bad.as_bytes()));
        }
        assert!(is_valid(b"%41b%2f"));
        let mut out = Vec::new();
        encode("a b/ü:{c}~".as_bytes(), &mut out);
        assert_eq!(out, b"a%20b%2F%C3%BC%3A%7Bc%7D~");
        assert!(decodes_to(&out, "a b/ü:{c}~".as_bytes()));
        assert!(decodes_to(b"%6Frders", b"orders"));
        assert!(!decodes_to(b"%6Frders", b"order") && !decodes_to(b"%6Frder", b"orders"));
    }
}
