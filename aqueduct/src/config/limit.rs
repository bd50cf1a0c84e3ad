//! `rate_limits`: how often clients may call.

use aqueduct_gateway::{LimitKey, Options, RateLimit, RateLimitHeaders};

use super::route::texts;
use super::scalar;
use super::value::{Fields, Value};

const EXAMPLE: &str = "{ name: per-client, key: address, rate: 100/s }";

/// Reads `rate_limits` and `rate_limit_headers`.
pub(super) fn read(fields: &mut Fields<'_>, options: &mut Options) {
    fields.set("rate_limits", &mut options.rate_limits, |value| {
        // One that is incomplete keeps its place: the ones behind it keep their numbers.
        Some(value.items(&format!("[{EXAMPLE}]")).iter().map(limit).collect())
    });
    fields.set("rate_limit_headers", &mut options.rate_limit_headers, |value| {
        value.one_of(&[
            ("all", RateLimitHeaders::All),
            ("refusals", RateLimitHeaders::Refusals),
            ("off", RateLimitHeaders::Off),
        ])
    });
}

fn limit(item: &Value<'_>) -> RateLimit {
    let mut limit = RateLimit::new("", LimitKey::Global, 1, std::time::Duration::from_secs(1));
    let Some(mut fields) = item.fields(EXAMPLE) else { return limit };
    limit.name = fields.require("name").and_then(|value| value.text()).unwrap_or("?").to_owned();
    if let Some(key) = fields.require("key").and_then(|value| value.parsed(key)) {
        limit.key = key;
    }
    if let Some((count, period)) = fields.require("rate").and_then(|value| value.parsed(scalar::rate)) {
        (limit.count, limit.period, limit.burst) = (count, period, count);
    }
    fields.set("burst", &mut limit.burst, |value| {
        value.integer(1..=1_000_000_000).and_then(|burst| u64::try_from(burst).ok())
    });
    fields.set("shadow", &mut limit.shadow, Value::boolean);
    fields.set("routes", &mut limit.routes, |value| Some(texts(value, "[shop.v1.OrderService]")));
    fields.set("keys", &mut limit.keys, |value| value.integer(1..=RateLimit::MAX_KEYS));
    fields.finish();
    limit
}

fn key(text: &str) -> Result<LimitKey, String> {
    match text {
        "global" => Ok(LimitKey::Global),
        "route" => Ok(LimitKey::Route),
        "address" => Ok(LimitKey::Address),
        "identity" => Ok(LimitKey::Identity),
        _ => {
            let name = text.strip_prefix("header:").and_then(|name| name.trim().parse().ok());
            name.map(LimitKey::Header).ok_or_else(|| {
                format!(
                    "`{text}` is not a key: address, identity, route, global or one such as header:x-tenant"
                )
            })
        }
    }
}
