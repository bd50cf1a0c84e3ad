//! `google.protobuf.Duration` as decimal seconds: `-1.500s`.

use super::timestamp::{parse_fraction, put_fraction};

/// About 10,000 years, says duration.proto.
const MAX_SECONDS: i64 = 315_576_000_000;

/// Reads `-1.5s` as seconds and nanoseconds, of one sign.
pub(crate) fn parse(text: &[u8]) -> Option<(i64, i32)> {
    let (negative, rest) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=12).contains(&length) {
        return None;
    }
    let (whole, rest) = rest.split_at(length);
    let seconds = whole.iter().fold(0, |n, byte| n * 10 + i64::from(byte - b'0'));
    let (nanos, rest) = parse_fraction(rest)?;
    if rest != b"s" || seconds > MAX_SECONDS {
        return None;
    }
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// Appends `-1.500s` without quotes; false (and nothing) when out of range or of two signs.
pub(crate) fn put(seconds: i64, nanos: i32, out: &mut Vec<u8>) -> bool {
    let in_range =
        seconds.unsigned_abs() <= MAX_SECONDS.unsigned_abs() && nanos.unsigned_abs() < 1_000_000_000;
    if !in_range || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
        return false;
    }
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(seconds.unsigned_abs()).as_bytes());
    put_fraction(nanos.unsigned_abs(), out);
    out.push(b's');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let check = |text: &str, seconds, nanos| {
            assert_eq!(parse(text.as_bytes()), Some((seconds, nanos)), "{text}");
            let mut out = Vec::new();
            assert!(put(seconds, nanos, &mut out));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        };
        check("0s", 0, 0);
        check("1s", 1, 0);
        check("-1.500s", -1, -500_000_000);
        check("-0.000000001s", 0, -1);
        check("315576000000s", MAX_SECONDS, 0);
        check("-315576000000.999999999s", -MAX_SECONDS, -999_999_999);
        assert_eq!(parse(b"-0.5s"), Some((0, -500_000_000)));
        for bad in
            ["", "s", "1", "1.s", ".5s", "+1s", "--1s", "1.0000000001s", "315576000001s", "1s ", "1e3s"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        for (seconds, nanos) in [(MAX_SECONDS + 1, 0), (1, -1), (-1, 1), (0, 1_000_000_000), (i64::MIN, 0)] {
            assert!(!put(seconds, nanos, &mut Vec::new()));
        }
    }
}
