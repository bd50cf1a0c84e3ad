//! Undoes the escapes of JSON strings.

/// Appends `raw` (the inside of a JSON string) with its escapes undone. `Err` is the place and the fault.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), (usize, &'static str)> {
    let mut at = 0;
    while let Some(rest) = raw.get(at..) {
        let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        out.extend_from_slice(rest.get(..plain).unwrap_or_default());
        at += plain;
        let Some(&letter) = raw.get(at + 1) else { return Ok(()) };
        let byte = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => {
                let (character, length) =
                    unicode(raw.get(at..).unwrap_or_default()).map_err(|what| (at, what))?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
                continue;
            }
            _ => return Err((at, "the escape is not one of JSON's")),
        };
        out.push(byte);
        at += 2;
    }
    Ok(())
}

/// Reads `\uXXXX`, or two of them that are a surrogate pair; gives the bytes it took.
fn unicode(text: &[u8]) -> Result<(char, usize), &'static str> {
    const LONE: &str = "the escape is half of a surrogate pair";
    let unit = |from: usize| {
        let digits = text.get(from..from + 4)?;
        digits.iter().try_fold(0, |n, &byte| Some(n << 4 | char::from(byte).to_digit(16)?))
    };
    let first = unit(2).ok_or("the escape needs four hexadecimal digits")?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    if first >= 0xdc00 || text.get(6..8) != Some(b"\\u") {
        return Err(LONE);
    }
    let second = unit(8).filter(|unit| (0xdc00..0xe000).contains(unit)).ok_or(LONE)?;
    let character = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(LONE)?;
    Ok((character, 12))
}
