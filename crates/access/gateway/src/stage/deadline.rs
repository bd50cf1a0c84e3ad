//! `deadline`: until when the answer is wanted. One budget for everything that follows; what is left of it goes
//! upstream as `grpc-timeout`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::reject::Reject;
use crate::stage::Stage;
use crate::stage::normalize::has_any;

/// The gRPC deadline, as a time that is left (gRPC over HTTP/2, "Timeout").
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The same for HTTP clients: `1.5s`, `250ms`, or a plain number of seconds.
const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");

/// Takes the client's wish out of the headers and decides the deadline: what the client asks for, at most
/// `max`; otherwise `default`, which is `None` for streams.
pub(crate) fn decide(
    headers: &mut HeaderMap,
    now: Instant,
    default: Option<Duration>,
    max: Duration,
) -> Result<Option<Instant>, Reject> {
    if !has_any(headers, &[GRPC_TIMEOUT, REQUEST_TIMEOUT]) {
        return Ok(default.map(|wish| now + wish.min(max)));
    }
    let mut asked = None;
    for (name, parse) in
        [(GRPC_TIMEOUT, parse_grpc_timeout as fn(&[u8]) -> _), (REQUEST_TIMEOUT, parse_request_timeout)]
    {
        let all = headers.get_all(&name).iter().try_fold(asked, |asked: Option<Duration>, value| {
            let wish = parse(value.as_bytes()).ok_or_else(|| malformed(&name, value))?;
            Ok::<_, Reject>(Some(asked.map_or(wish, |other| other.min(wish))))
        });
        headers.remove(&name);
        asked = all?;
    }
    Ok(asked.or(default).map(|wish| now + wish.min(max)))
}

#[cold]
fn malformed(name: &HeaderName, value: &HeaderValue) -> Reject {
    let example = if *name == GRPC_TIMEOUT { "1500m" } else { "1.5s" };
    let value = String::from_utf8_lossy(value.as_bytes());
    let value: String = value.chars().take(32).collect();
    Reject::bad_request(
        Stage::Deadline,
        "timeout",
        format!("{name}: `{value}` is not a timeout; an example is {example}"),
    )
}

/// `TimeoutValue TimeoutUnit`: one to eight digits and one of H, M, S, m, u, n.
fn parse_grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A decimal number of at most nine digits before and after the point, then `s` (or nothing) or `ms`.
fn parse_request_timeout(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (number, nanos_per_unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e6),
        None => (text.strip_suffix('s').unwrap_or(text), 1e9),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    // Within bounds by the number of digits; a nanosecond of rounding does not matter.
    Some(Duration::from_secs_f64(number * nanos_per_unit / 1e9))
}

/// Writes what is left as `grpc-timeout`, in the finest unit of which eight digits suffice. Nothing left is `1n`: the
/// upstream then refuses on its own.
pub(crate) fn grpc_timeout(left: Duration) -> HeaderValue {
    let nanos = left.as_nanos().max(1);
    let (count, unit) = match nanos {
        0..=99_999_999 => (nanos, b'n'),
        100_000_000..=99_999_999_999 => (nanos / 1_000, b'u'),
        100_000_000_000..=99_999_999_999_999 => (nanos / 1_000_000, b'm'),
        _ => ((nanos / 1_000_000_000).min(99_999_999), b'S'),
    };
    let mut text = [0u8; 9];
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(count).as_bytes();
    let length = digits.len() + 1;
    for (to, from) in text.iter_mut().zip(digits.iter().chain([&unit])) {
        *to = *from;
    }
    HeaderValue::from_bytes(text.get(..length).unwrap_or(b"1n")).unwrap_or(HeaderValue::from_static("1n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, value: &str, expect: Option<Duration>) {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        let now = Instant::now();
        let got = decide(&mut headers, now, None, Duration::MAX / 2);
        assert_eq!(got.ok().flatten().map(|at| at - now), expect, "{name}: {value}");
        assert!(headers.is_empty(), "the header is consumed");
    }

    #[test]
    fn grpc_timeouts_are_read_as_the_protocol_says() {
        for (value, expect) in [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("3S", Some(3_000)),
            ("1500m", Some(1_500)),
            ("2000u", Some(2)),
            ("99999999n", Some(100)),
            ("00000001S", Some(1_000)),
            ("123456789m", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("1.5S", None),
            (" 1S", None),
        ] {
            let expect = expect.map(|ms| {
                if value == "99999999n" {
                    Duration::from_nanos(99_999_999)
                } else {
                    Duration::from_millis(ms)
                }
            });
            check("grpc-timeout", value, expect);
        }
    }

    #[test]
    fn request_timeouts_are_seconds_or_milliseconds() {
        for (value, expect) in [
            ("2", Some(2_000)),
            ("1.5", Some(1_500)),
            ("1.5s", Some(1_500)),
            ("250ms", Some(250)),
            ("0.25s", Some(250)),
            ("", None),
            ("s", None),
            ("1e3", None),
            ("-1", None),
            ("inf", None),
            ("1.", None),
            (".5", None),
            ("1m", None),
        ] {
            check("x-request-timeout", value, expect.map(Duration::from_millis));
        }
    }

    #[test]
    fn the_shorter_wish_wins_and_the_clamp_holds() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_static("5S"));
        headers.insert("x-request-timeout", HeaderValue::from_static("2s"));
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(decide(&mut headers.clone(), now, None, second).ok().flatten(), Some(now + second));
        let got = decide(&mut headers, now, None, Duration::from_hours(1)).ok().flatten();
        assert_eq!(got, Some(now + Duration::from_secs(2)));
        assert!(decide(&mut headers, now, None, second).is_ok_and(|deadline| deadline.is_none()));
        for (first, then) in [("3s", "junk"), ("junk", "3s")] {
            headers.insert("x-request-timeout", HeaderValue::from_static(first));
            headers.append("x-request-timeout", HeaderValue::from_static(then));
            assert!(decide(&mut headers.clone(), now, None, second).is_err(), "{first}, {then}");
        }
    }

    #[test]
    fn what_is_left_goes_upstream_and_reads_back() {
        for (left, text) in [
            (Duration::ZERO, "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_millis(1_500), "1500000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
        ] {
            let value = grpc_timeout(left);
            assert_eq!(value.to_str().unwrap(), text);
            assert_eq!(parse_grpc_timeout(value.as_bytes()).unwrap(), left.max(Duration::from_nanos(1)));
        }
    }
}
