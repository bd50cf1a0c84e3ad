//! `google.protobuf.Timestamp` as RFC 3339, within the years 0001 to 9999.

/// 0001-01-01T00:00:00Z.
const MIN_SECONDS: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const MAX_SECONDS: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

/// Reads `2024-02-29T12:30:00.5+01:00` as seconds and nanoseconds. `T` and `Z` are capitals, fractions have one to nine
/// digits, and there is no second 60.
pub(crate) fn parse(text: &[u8]) -> Option<(i64, i32)> {
    let (head, rest) = text.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| head[at] != byte) {
        return None;
    }
    let number = |from: usize, to: usize| digits(head.get(from..to)?);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = parse_fraction(rest)?;
    let seconds =
        days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    (MIN_SECONDS..=MAX_SECONDS).contains(&seconds).then_some((seconds, nanos))
}

/// `.5` and what follows it. Shared with Duration.
pub(super) fn parse_fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let (fraction, rest) = rest.split_at(length);
    let scale = 10i64.pow(9 - length as u32);
    Some(((digits(fraction)? * scale) as i32, rest))
}

/// `Z` or `±hh:mm`, in seconds.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let seconds = hours * 3600 + minutes * 60;
            (hours <= 23 && minutes <= 59).then_some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, byte| byte.is_ascii_digit().then(|| n * 10 + i64::from(byte - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01. Source: <https://howardhinnant.github.io/date_algorithms.html>, here for years above 0.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Appends `2024-02-29T12:30:00.500Z` without quotes; false (and nothing) when out of range.
pub(crate) fn put(seconds: i64, nanos: i32, out: &mut Vec<u8>) -> bool {
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return false;
    }
    let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let mut text = *b"0000-00-00T00:00:00";
    let mut pair = |at: usize, value: i64| {
        let digit = |value: i64| b'0' + value.unsigned_abs() as u8;
        text[at] = digit(value / 10);
        text[at + 1] = digit(value % 10);
    };
    pair(0, year / 100);
    pair(2, year % 100);
    pair(5, month);
    pair(8, day);
    pair(11, second / 3600);
    pair(14, second / 60 % 60);
    pair(17, second % 60);
    out.extend_from_slice(&text);
    put_fraction(nanos.unsigned_abs(), out);
    out.push(b'Z');
    true
}

/// Appends `.` and 3, 6 or 9 digits; nothing for 0. Shared with Duration.
pub(super) fn put_fraction(nanos: u32, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    let mut text = *b".000000000";
    let mut rest = nanos;
    for byte in text.iter_mut().skip(1).rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let length = match nanos {
        _ if nanos.is_multiple_of(1_000_000) => 4,
        _ if nanos.is_multiple_of(1_000) => 7,
        _ => 10,
    };
    out.extend_from_slice(text.get(..length).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read() {
        let check =
            |text: &str, expect: Option<(i64, i32)>| assert_eq!(parse(text.as_bytes()), expect, "{text}");
        check("1970-01-01T00:00:00Z", Some((0, 0)));
        check("0001-01-01T00:00:00Z", Some((MIN_SECONDS, 0)));
        check("9999-12-31T23:59:59.999999999Z", Some((MAX_SECONDS, 999_999_999)));
        check("2024-02-29T12:30:00.5+01:00", Some((1_709_206_200, 500_000_000)));
        check("2000-02-29T00:00:00Z", Some((951_782_400, 0)));
        check("1969-12-31T16:00:00-08:00", Some((0, 0)));
        check("1969-12-31T23:59:59.001Z", Some((-1, 1_000_000)));
        for bad in [
            "",
            "1970-01-01",
            "1970-01-01t00:00:00Z",
            "1970-01-01T00:00:00z",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.0000000001Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:60Z",
            "1970-13-01T00:00:00Z",
            "1970-00-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "0000-12-31T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "1970-01-01T00:00:00+0000",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00ZZ",
            "+970-01-01T00:00:00Z",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn all_years_round_trip() {
        let mut text = Vec::new();
        for seconds in (MIN_SECONDS..=MAX_SECONDS).step_by(5 * 86_399) {
            text.clear();
            assert!(put(seconds, 0, &mut text));
            assert_eq!(parse(&text), Some((seconds, 0)));
        }
    }

    #[test]
    fn fractions_have_three_six_or_nine_digits() {
        let check = |nanos, expect: &str| {
            let mut text = Vec::new();
            assert!(put(0, nanos, &mut text));
            assert_eq!(String::from_utf8(text).unwrap(), format!("1970-01-01T00:00:00{expect}Z"));
        };
        check(0, "");
        check(500_000_000, ".500");
        check(1_000, ".000001");
        check(1, ".000000001");
        for (seconds, nanos) in [(MIN_SECONDS - 1, 0), (MAX_SECONDS + 1, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(!put(seconds, nanos, &mut Vec::new()));
        }
    }
}
