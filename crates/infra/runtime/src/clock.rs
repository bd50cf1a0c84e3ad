//! The wall clock: the one place that asks the system for the date. Durations and deadlines never come from here but
//! from `tokio::time`, which cannot step back and which tests can pause.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The length of an [`rfc3339`] text, in bytes.
pub const RFC3339_LEN: usize = 24;

const DAY_MS: u64 = 86_400_000;

/// The time since 1970-01-01T00:00:00Z; zero when the clock is set before that.
pub fn since_epoch() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since 1970-01-01T00:00:00Z. May step, in either direction, whenever the clock is set.
pub fn now_unix_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Unix milliseconds as logs show them, in UTC: `2025-03-01T08:30:00.125Z` (RFC 3339). Years past 9999 show as 9999.
pub fn rfc3339(unix_ms: u64) -> [u8; RFC3339_LEN] {
    let ms = unix_ms % DAY_MS;
    let (year, month, day) = civil(unix_ms / DAY_MS);
    let mut out = *b"0000-00-00T00:00:00.000Z";
    put(&mut out[0..4], year.min(9999));
    put(&mut out[5..7], month);
    put(&mut out[8..10], day);
    put(&mut out[11..13], ms / 3_600_000);
    put(&mut out[14..16], ms / 60_000 % 60);
    put(&mut out[17..19], ms / 1000 % 60);
    put(&mut out[20..23], ms % 1000);
    out
}

/// Year, month and day of a number of days since 1970 in the Gregorian calendar. Years start in March here, so that
/// the leap day is the last (Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The decimal digits of `value`, filling `out` from the right.
fn put(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::{now_unix_ms, rfc3339};

    #[track_caller]
    fn check(unix_ms: u64, expect: &str) {
        assert_eq!(std::str::from_utf8(&rfc3339(unix_ms)).unwrap(), expect);
    }

    #[test]
    fn formats_dates() {
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000 - 1, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000Z");
        check(1_740_817_800_125, "2025-03-01T08:30:00.125Z");
        check(4_107_542_399_000, "2100-02-28T23:59:59.000Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
        check(253_402_300_800_000, "9999-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(u64::MAX)[..4], *b"9999");
    }

    #[test]
    fn every_day_of_four_centuries_follows_its_predecessor() {
        let mut expect = (1970, 1, 1);
        for day in 0..146_097 {
            assert_eq!(super::civil(day), expect);
            let (year, month, day) = expect;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expect = match (day == length, month) {
                (false, _) => (year, month, day + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
        }
    }

    #[test]
    fn now_is_after_this_was_written() {
        assert!(now_unix_ms() > 1_750_000_000_000);
    }
}
