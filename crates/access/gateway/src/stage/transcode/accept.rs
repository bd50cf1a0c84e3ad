//! How a stream of messages is written, by the client's `Accept` (RFC 9110, section 12.5.1).

use aqueduct_transcode::Code;
use http::StatusCode;
use http::header::{ACCEPT, HeaderMap, HeaderValue};

use crate::reject::{APPLICATION_JSON, Reject};
use crate::stage::Stage;

/// The form of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `application/x-ndjson`: one JSON text a line.
    Lines,
    /// `application/json`: one array.
    Array,
    /// `text/event-stream`: server-sent events.
    Events,
    /// What grpc-gateway writes: `{"result": …}` a line, called `application/json`.
    Results,
}

/// Those that can be asked for, the server's own choice first.
const OFFERED: [(Style, &str, &str); 3] = [
    (Style::Lines, "application", "x-ndjson"),
    (Style::Array, "application", "json"),
    (Style::Events, "text", "event-stream"),
];

impl Style {
    /// What the client likes best. Of what it likes equally, that which it names goes before that which a wildcard covers.
    pub(crate) fn choose(headers: &HeaderMap) -> Result<Self, Reject> {
        if !headers.contains_key(ACCEPT) {
            return Ok(Style::Lines);
        }
        let mut best = None;
        for (style, kind, subtype) in OFFERED {
            let liking = liking(headers, kind, subtype);
            if liking.0 > 0 && best.is_none_or(|(_, best)| liking > best) {
                best = Some((style, liking));
            }
        }
        best.map(|(style, _)| style).ok_or_else(not_acceptable)
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        match self {
            Style::Lines => HeaderValue::from_static("application/x-ndjson"),
            Style::Array | Style::Results => APPLICATION_JSON,
            Style::Events => HeaderValue::from_static("text/event-stream"),
        }
    }
}

#[cold]
fn not_acceptable() -> Reject {
    let message = "a stream is answered as application/x-ndjson, application/json or text/event-stream; Accept allows none of them";
    Reject::new(Stage::Transcode, "accept", Code::InvalidArgument, message)
        .with_http(StatusCode::NOT_ACCEPTABLE)
}

/// How much a type is liked, in thousandths, by the most specific range that covers it; and how specific that is.
fn liking(headers: &HeaderMap, kind: &str, subtype: &str) -> (u16, u8) {
    let mut found = (0, 0);
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in ranges.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';');
        let Some((a, b)) = parts.next().and_then(|media| media.trim().split_once('/')) else { continue };
        let specific = match (a.eq_ignore_ascii_case(kind), b.eq_ignore_ascii_case(subtype)) {
            (true, true) => 3,
            (true, false) if b == "*" => 2,
            _ if a == "*" && b == "*" => 1,
            _ => continue,
        };
        if specific >= found.1 {
            let weight =
                parts.find_map(|part| part.trim().strip_prefix("q=").or(part.trim().strip_prefix("Q=")));
            found = (weight.map_or(1000, thousandths), specific);
        }
    }
    found
}

/// `0.25` as 250: at most three digits behind the point. What is no weight counts as 0.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.trim().split_once('.').unwrap_or((weight.trim(), ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, format!("{fraction:0<3}").parse()) {
        ("0", Ok(thousandths)) if digits && fraction.len() <= 3 => thousandths,
        ("1", Ok(0)) if digits => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
        let check = |accept: &[&'static str], expect: Option<Style>| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Style::choose(&headers).ok(), expect, "{accept:?}");
        };
        check(&[], Some(Style::Lines));
        check(&["*/*"], Some(Style::Lines));
        check(&["application/*"], Some(Style::Lines));
        check(&["text/*"], Some(Style::Events));
        check(&["application/x-ndjson"], Some(Style::Lines));
        check(&["application/json"], Some(Style::Array));
        check(&["Application/JSON; charset=utf-8"], Some(Style::Array));
        check(&["text/event-stream"], Some(Style::Events));
        check(&["text/event-stream", "application/json;q=0.5"], Some(Style::Events));
        check(&["application/json;q=0.4, text/event-stream;q=0.5"], Some(Style::Events));
        check(&["application/json, text/plain, */*"], Some(Style::Array));
        check(&["text/html, application/xhtml+xml, */*;q=0.8"], Some(Style::Lines));
        check(&["application/x-ndjson;q=0, */*"], Some(Style::Array));
        check(&["application/json;q=0"], None);
        check(&["application/json;q=nonsense"], None);
        check(&["image/png"], None);
        check(&["", "json"], None);
    }
}
