//! Numbers, durations and sizes as they are written.

use std::time::Duration;

const SIZES: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Decimal digits, which may be grouped with `_`.
pub(crate) fn integer(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    // A leading zero would be octal in YAML 1.1; 1.2 reads it as decimal, and people as either.
    let ambiguous = text.len() > 1 && text.starts_with('0');
    if !digits || ambiguous || text.starts_with('_') || text.ends_with('_') {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// `250ms`, `15s`, `5m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration, such as 250ms, 15s, 5m or 1h");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let number = u64::try_from(number).map_err(|_| wrong())?;
    let seconds = |unit: u64| number.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "" => Err(format!("a duration needs a unit, such as {number}s or {number}ms")),
        _ => Err(wrong()),
    }
}

/// `100/s`, `6000/m`, `1000/h`: how many in which period.
pub(crate) fn rate(text: &str) -> Result<(u64, Duration), String> {
    let wrong = || format!("`{text}` is not a rate, such as 100/s, 6000/m or 1000/h");
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let count = integer(count.trim_end()).and_then(|count| u64::try_from(count).ok()).ok_or_else(wrong)?;
    let seconds = match unit.trim_start() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    Ok((count, Duration::from_secs(seconds)))
}

/// `64KiB`, `4MiB`, `1GiB`, or a number of bytes.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a size, such as 65536, 64KiB, 4MiB or 1GiB");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let unit = if unit.is_empty() { "B" } else { unit };
    let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*factor).ok_or_else(wrong)
}

/// The other way, with the largest unit that fits.
pub(crate) fn show_bytes(bytes: usize) -> String {
    let fits = |(_, factor): &&(&str, usize)| bytes.is_multiple_of(*factor) && bytes > 0;
    match SIZES.iter().find(fits) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => "0".to_owned(),
    }
}

/// A number and what follows it.
fn split(text: &str) -> Option<(usize, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((integer(number)?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, integer, rate, show_bytes};
    use std::time::Duration;

    #[test]
    fn integers() {
        for (text, expect) in [("0", Some(0)), ("65_536", Some(65_536)), ("18446744073709551616", None)] {
            assert_eq!(integer(text), expect, "{text}");
        }
        for wrong in ["", "_", "1_", "_1", "-1", "+1", "1.0", "0x10", "010", "1e3", "one"] {
            assert_eq!(integer(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations() {
        let check = |text: &str, expect: u64| {
            assert_eq!(duration(text), Ok(Duration::from_millis(expect)), "{text}");
        };
        check("250ms", 250);
        check("15s", 15_000);
        check("15 s", 15_000);
        check("5m", 300_000);
        check("1h", 3_600_000);
        check("0s", 0);
        assert_eq!(duration("15").unwrap_err(), "a duration needs a unit, such as 15s or 15ms");
        for wrong in ["", "s", "1.5s", "-1s", "1d", "1S", "1sec", "18446744073709551615h"] {
            assert!(duration(wrong).unwrap_err().contains("not a duration"), "{wrong}");
        }
    }

    #[test]
    fn rates() {
        let check = |text: &str, count: u64, seconds: u64| {
            assert_eq!(rate(text), Ok((count, Duration::from_secs(seconds))), "{text}");
        };
        check("100/s", 100, 1);
        check("6_000 / m", 6000, 60);
        check("1/h", 1, 3600);
        for wrong in ["", "100", "/s", "100/", "100/d", "1.5/s", "-1/s", "100/1s", "100s"] {
            assert!(rate(wrong).unwrap_err().contains("not a rate"), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, expect: usize| assert_eq!(bytes(text), Ok(expect), "{text}");
        check("4096", 4096);
        check("4096B", 4096);
        check("64KiB", 64 << 10);
        check("4 MiB", 4 << 20);
        check("1GiB", 1 << 30);
        for wrong in ["", "KiB", "4MB", "4M", "4mib", "-1", "1.5MiB", "18446744073709551615GiB"] {
            assert!(bytes(wrong).unwrap_err().contains("not a size"), "{wrong}");
        }
        assert_eq!([0, 1, 8192, 1 << 30, 1025].map(show_bytes), ["0", "1B", "8KiB", "1GiB", "1025B"]);
    }
}
