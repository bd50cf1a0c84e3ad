//! `google.protobuf.FieldMask`: `snake_case` paths on the wire, lowerCamelCase in JSON. What would not come back the
//! same is refused both ways.

/// Appends the proto form of one JSON path; false when it is not one.
pub(crate) fn to_snake(path: &[u8], out: &mut Vec<u8>) -> bool {
    for &byte in path {
        match byte {
            b'_' => return false,
            _ if !in_names(byte) => return false,
            b'A'..=b'Z' => out.extend_from_slice(&[b'_', byte.to_ascii_lowercase()]),
            _ => out.push(byte),
        }
    }
    !path.is_empty()
}

/// Appends the proto form of one path in either casing: where there is an underscore, it is that already.
pub(crate) fn from_either(path: &[u8], out: &mut Vec<u8>) -> bool {
    if !path.contains(&b'_') {
        return to_snake(path, out);
    }
    out.extend_from_slice(path);
    path.iter().copied().all(in_names)
}

/// What needs escapes in a string is in no name.
fn in_names(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')
}

/// Appends the JSON form of one proto path; false when it has none: it is empty, or has a capital, a comma, or an
/// underscore without a small letter behind it.
pub(crate) fn to_camel(path: &[u8], out: &mut Vec<u8>) -> bool {
    let mut after_underscore = false;
    for &byte in path {
        if !in_names(byte) {
            return false;
        }
        match (after_underscore, byte) {
            (true, b'a'..=b'z') => out.push(byte.to_ascii_uppercase()),
            (true, _) | (false, b'A'..=b'Z' | b',') => return false,
            (false, b'_') => {}
            (false, _) => out.push(byte),
        }
        after_underscore = byte == b'_';
    }
    !after_underscore && !path.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_change_case() {
        for (snake, camel) in
            [("foo", "foo"), ("foo_bar.baz_q", "fooBar.bazQ"), ("a1_b2", "a1B2"), ("_x", "X")]
        {
            let mut out = Vec::new();
            assert!(to_snake(camel.as_bytes(), &mut out));
            assert_eq!(out, snake.as_bytes());
            out.clear();
            assert!(to_camel(snake.as_bytes(), &mut out));
            assert_eq!(out, camel.as_bytes());
        }
        for bad in ["foo_bar", "", "foo\rbar", "a b", "\u{e9}", "\""] {
            assert!(!to_snake(bad.as_bytes(), &mut Vec::new()), "{bad}");
        }
        for (path, snake) in [("fooBar.baz", "foo_bar.baz"), ("foo_bar.bazQ", "foo_bar.bazQ"), ("a", "a")] {
            let mut out = Vec::new();
            assert!(from_either(path.as_bytes(), &mut out));
            assert_eq!(out, snake.as_bytes());
        }
        for bad in ["", "a_b c", "a_\u{e9}"] {
            assert!(!from_either(bad.as_bytes(), &mut Vec::new()), "{bad}");
        }
        for bad in ["", "fooBar", "foo__bar", "foo_3", "foo_", "a,b", "a\n", "\\"] {
            assert!(!to_camel(bad.as_bytes(), &mut Vec::new()), "{bad}");
        }
    }
}
