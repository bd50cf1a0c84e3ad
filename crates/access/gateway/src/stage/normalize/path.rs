//! One form for each path, before it is routed: what two readers could understand differently is resolved or refused.

use std::borrow::Cow;

use crate::options::{DotSegments, DoubleSlashes, EncodedSlashes, Paths};

/// The path in its one form; the error says what has none.
pub(crate) fn normalize(path: &str, policy: Paths) -> Result<Cow<'_, str>, &'static str> {
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode_slashes(path, policy.encoded_slashes)?;
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = decoded.strip_prefix('/').unwrap_or(&decoded).split('/').peekable();
    while let Some(segment) = rest.next() {
        let last = rest.peek().is_none();
        match Kind::of(segment) {
            Kind::Nul => return Err("a path must not have a zero byte in it"),
            Kind::Backslash => return Err("a path must not have a backslash in it"),
            Kind::Hidden if policy.dot_segments != DotSegments::Keep => {
                return Err("a path must not hide `..` behind an encoded slash or backslash");
            }
            Kind::Empty if !last => match policy.double_slashes {
                DoubleSlashes::Keep => segments.push(segment),
                DoubleSlashes::Merge => {}
                DoubleSlashes::Reject => return Err("a path must not have an empty segment"),
            },
            Kind::Here | Kind::Up if policy.dot_segments == DotSegments::Reject => {
                return Err("a path must not have `.` or `..` as a segment");
            }
            kind @ (Kind::Here | Kind::Up) if policy.dot_segments == DotSegments::Resolve => {
                if kind == Kind::Up && segments.pop().is_none() {
                    return Err("the path leads out of the root");
                }
                if last {
                    segments.push("");
                }
            }
            _ => segments.push(segment),
        }
    }
    let normal = ["/", &segments.join("/")].concat();
    Ok(if normal == path { Cow::Borrowed(path) } else { Cow::Owned(normal) })
}

/// Whether there is nothing to do, as with nearly every path.
fn is_plain(path: &[u8]) -> bool {
    let odd = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    !path.iter().any(|byte| matches!(byte, b'%' | b'\\')) && !path.windows(2).any(odd)
}

fn decode_slashes(path: &str, policy: EncodedSlashes) -> Result<Cow<'_, str>, &'static str> {
    let has = || path.contains("%2F") || path.contains("%2f");
    match policy {
        EncodedSlashes::Keep => Ok(Cow::Borrowed(path)),
        EncodedSlashes::Reject if has() => Err("a path must not have an encoded slash in it"),
        EncodedSlashes::Reject => Ok(Cow::Borrowed(path)),
        EncodedSlashes::Decode if has() => Ok(path.replace("%2F", "/").replace("%2f", "/").into()),
        EncodedSlashes::Decode => Ok(Cow::Borrowed(path)),
    }
}

/// What is special about a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Empty,
    /// `.`, in whatever spelling.
    Here,
    /// `..`.
    Up,
    /// `..` to those who decode slashes, or take a backslash for one.
    Hidden,
    Nul,
    Backslash,
}

impl Kind {
    fn of(segment: &str) -> Self {
        let bytes = segment.as_bytes();
        if bytes.contains(&b'\\') {
            return Kind::Backslash;
        }
        // Dots of the part that began at the last slash, encoded or not; none once it has anything else.
        let (mut dots, mut parts, mut hidden, mut at) = (Some(0), 1, false, 0);
        while let Some(byte) = bytes.get(at) {
            let (byte, length) = match (byte, bytes.get(at + 1..at + 3)) {
                (b'%', Some(digits)) => (hex(digits).unwrap_or(b'%'), 3),
                _ => (*byte, 1),
            };
            match byte {
                0 => return Kind::Nul,
                b'/' | b'\\' => {
                    hidden |= dots == Some(2);
                    (dots, parts) = (Some(0), parts + 1);
                }
                b'.' => dots = dots.map(|dots| dots + 1),
                _ => dots = None,
            }
            at += length;
        }
        hidden |= parts > 1 && dots == Some(2);
        match dots {
            _ if hidden => Kind::Hidden,
            Some(0) if parts == 1 => Kind::Empty,
            Some(1) if parts == 1 => Kind::Here,
            Some(2) if parts == 1 => Kind::Up,
            _ => Kind::Plain,
        }
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|it| it.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: Paths, path: &str, expect: Option<&str>) {
        let got = normalize(path, policy).map(Cow::into_owned);
        assert_eq!(got.as_deref().ok(), expect, "{path} by {policy:?}: {got:?}");
        if let Ok(normal) = got {
            assert_eq!(normalize(&normal, policy).as_deref(), Ok(normal.as_str()), "its form is stable");
        }
    }

    #[test]
    fn by_default_dots_are_resolved_and_what_variables_may_hold_is_kept() {
        for (path, expect) in [
            ("/", Some("/")),
            ("/v1/orders/7:pay", Some("/v1/orders/7:pay")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/b/..", Some("/a/")),
            ("/a/b/.", Some("/a/b/")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a/.%2e/b", Some("/b")),
            ("/a/..b/...", Some("/a/..b/...")),
            ("/a/.well-known", Some("/a/.well-known")),
            ("/..", None),
            ("/a/../../b", None),
            ("/v1/files/../../x", Some("/x")),
            ("/v1/files/../../../x", None),
            ("/a//b", Some("/a//b")),
            ("/a//../b", Some("/a/b")),
            ("/a/", Some("/a/")),
            ("/a%2Fb%2fc", Some("/a%2Fb%2fc")),
            ("/a%5Cb", Some("/a%5Cb")),
            ("/a%252e%252e/b", Some("/a%252e%252e/b")),
            ("/a%zz/%2", Some("/a%zz/%2")),
            // To whoever decodes it next, this leads elsewhere.
            ("/a/..%2Fb", None),
            ("/a/x%2F..", None),
            ("/a/x%2f%2e%2e%2fb", None),
            ("/a/..%5Cb", None),
            ("/a\\b", None),
            ("/a/..\\b", None),
            ("/a%00b", None),
        ] {
            check(Paths::default(), path, expect);
        }
    }

    #[test]
    fn each_policy_does_what_it_says() {
        let default = Paths::default;
        let reject = Paths { dot_segments: DotSegments::Reject, ..default() };
        check(reject, "/a/../b", None);
        check(reject, "/a/%2E/b", None);
        check(reject, "/a/b", Some("/a/b"));
        let keep = Paths { dot_segments: DotSegments::Keep, ..default() };
        check(keep, "/a/../../../b", Some("/a/../../../b"));
        check(keep, "/a/..%2Fb", Some("/a/..%2Fb"));
        let merge = Paths { double_slashes: DoubleSlashes::Merge, ..default() };
        check(merge, "//a///b//", Some("/a/b/"));
        let single = Paths { double_slashes: DoubleSlashes::Reject, ..default() };
        check(single, "/a//b", None);
        check(single, "/a/b/", Some("/a/b/"));
        let decode = Paths { encoded_slashes: EncodedSlashes::Decode, ..default() };
        check(decode, "/a%2fb%2F..%2Fc", Some("/a/c"));
        check(decode, "/a%2F..%2F..%2Fc", None);
        let none = Paths { encoded_slashes: EncodedSlashes::Reject, ..default() };
        check(none, "/a%2fb", None);
        check(none, "/a%20b", Some("/a%20b"));
    }
}
