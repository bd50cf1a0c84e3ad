//! Sets of bytes and small texts of the HTTP grammar (RFC 9110, section 5.6; RFC 3986, section 3.2).

use std::net::Ipv6Addr;

/// `tchar`: a byte of a method, of a field's name and of the like.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A byte of a field's value, or within quotes: everything but control characters, for which a tab does not count.
pub(super) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// `uri-host [":" port]`, not empty. A comma is legal in a name, but only ever seen where two hosts were joined.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (inside, behind) = rest.split_at(end);
            return is_ipv6(inside) && (behind == b"]" || behind.strip_prefix(b"]:").is_some_and(is_port));
        }
        _ => match text.iter().position(|byte| *byte == b':') {
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
            None => (text, &b""[..]),
        },
    };
    is_name(host) && is_port(port)
}

/// The port may be empty (RFC 3986, section 3.2.3), but not more than a port.
fn is_port(text: &[u8]) -> bool {
    let number = text.iter().try_fold(0u32, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        Some(number * 10 + digit).filter(|number| *number <= 65_535)
    });
    number.is_some()
}

fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// `reg-name`, which includes IPv4 addresses.
fn is_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = match byte {
            b'%' => match behind {
                [first, second, behind @ ..] if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() => {
                    behind
                }
                _ => return false,
            },
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte) => behind,
            _ => return false,
        };
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_name_and_perhaps_a_port() {
        for good in [
            "a",
            "a.b",
            "A-b_c.",
            "127.0.0.1",
            "127.0.0.1:80",
            "a:",
            "a:0",
            "a:65535",
            "[::1]",
            "[::1]:80",
            "[::1]:",
            "%41",
            "a;b=c",
            "[2001:db8::7]",
            "[::ffff:1.2.3.4]",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a,b",
            "u@a",
            "a/b",
            "a b",
            "a:b",
            "a:65536",
            "a:+1",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]80",
            "[]",
            "[g]",
            "[::1%eth0]",
            "a%4",
            "a%zz",
            "a?b",
            "a#b",
            "é",
            "a\\b",
            "\"a\"",
            "<a>",
            "a\0",
            "[v1.x]",
            "a:99999999999999999999",
            "a:1 ",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
