//! What a gateway's file says of one route: its upstream, its JSON, whose conventions it follows, and who else may call it.

use aqueduct_gateway::{Algorithm, AuthMode, Compat, Compression, Cors, Defaults, Retries, Route};

use super::edge::{positive, small};
use super::value::{Fields, Value};

/// A route that is incomplete keeps its place: the ones behind it keep their numbers.
pub(super) fn read(item: &Value<'_>) -> Route {
    let mut route = Route::new("", "");
    let Some(mut fields) = item.fields("{ service: shop.v1.OrderService, upstream: orders }") else {
        return route;
    };
    let text = |value: Value<'_>| value.text().map(str::to_owned);
    route.service = fields.require("service").and_then(text).unwrap_or_default();
    route.upstream = fields.require("upstream").and_then(text).unwrap_or_default();
    fields.set("timeout", &mut route.timeout, |value| positive(value).map(Some));
    fields.set("max_timeout", &mut route.max_timeout, |value| positive(value).map(Some));
    if let Some(value) = fields.get("retries") {
        retries(&value, &mut route.retries);
    }
    fields.set("compat", &mut route.compat, |value| {
        value.one_of(&[("off", Compat::Off), ("grpc-gateway", Compat::GrpcGateway)])
    });
    // The conventions of others are the defaults of a route that follows them.
    route.json = route.compat.json();
    if let Some(mut section) = fields.get("json").and_then(|value| value.fields("{ names: proto }")) {
        json(&mut section, &mut route);
        section.finish();
    }
    if let Some(mut section) = fields.get("query").and_then(|value| value.fields("{ unknown: ignore }")) {
        section.set("unknown", &mut route.json.ignore_unknown_query, unknown);
        section.set("ignore", &mut route.json.ignored_query, |value| Some(texts(value, "[api_key]")));
        section.finish();
    }
    if let Some(value) = fields.get("cors").filter(|value| !value.is_off()) {
        route.cors = cors(&value);
    }
    if let Some(value) = fields.get("compression").filter(|value| !value.is_off()) {
        route.compression = compression(&value);
    }
    fields.set("auth", &mut route.auth, |value| {
        value.one_of(&[
            ("off", AuthMode::Off),
            ("optional", AuthMode::Optional),
            ("required", AuthMode::Required),
        ])
    });
    fields.finish();
    route
}

/// `off` is one attempt.
fn retries(value: &Value<'_>, retries: &mut Retries) {
    if value.is_off() {
        retries.attempts = 1;
        return;
    }
    let Some(mut fields) = value.fields("{ attempts: 3, budget: 0.2 }") else { return };
    fields.set("attempts", &mut retries.attempts, |value| value.integer(1..=Retries::MAX_ATTEMPTS));
    fields.set("budget", &mut retries.budget, Value::fraction);
    fields.set("min_per_second", &mut retries.min_per_second, |value| small(value, 0..=1_000_000));
    fields.set("idempotent", &mut retries.idempotent, |value| Some(texts(value, "[GetOrder]")));
    fields.finish();
}

fn json(fields: &mut Fields<'_>, route: &mut Route) {
    let options = &mut route.json;
    fields.set("names", &mut options.proto_names, |value| value.one_of(&[("json", false), ("proto", true)]));
    fields.set("defaults", &mut options.defaults, |value| {
        value.one_of(&[
            ("omit", Defaults::Omit),
            ("print", Defaults::Print),
            ("print-null", Defaults::PrintNull),
        ])
    });
    fields.set("enums", &mut options.enum_numbers, |value| {
        value.one_of(&[("names", false), ("numbers", true)])
    });
    fields.set("unknown", &mut options.ignore_unknown, unknown);
}

fn unknown(value: &Value<'_>) -> Option<bool> {
    value.one_of(&[("refuse", false), ("ignore", true)])
}

fn cors(value: &Value<'_>) -> Option<Cors> {
    let mut cors = Cors::default();
    let mut fields = value.fields("{ origins: [\"https://shop.example\"] }")?;
    if let Some(origins) = fields.require("origins") {
        cors.origins = texts(&origins, "[\"https://shop.example\"]");
    }
    fields.set("headers", &mut cors.headers, |value| Some(texts(value, "[x-tenant]")));
    fields.set("expose", &mut cors.expose, |value| Some(texts(value, "[x-request-id]")));
    fields.set("credentials", &mut cors.credentials, Value::boolean);
    fields.set("max_age", &mut cors.max_age, positive);
    fields.finish();
    Some(cors)
}

fn compression(value: &Value<'_>) -> Option<Compression> {
    let mut compression = Compression::default();
    let mut fields = value.fields("{ algorithms: [zstd, gzip] }")?;
    fields.set("algorithms", &mut compression.algorithms, |value| {
        let known = [("zstd", Algorithm::Zstd), ("gzip", Algorithm::Gzip)];
        Some(value.items("[zstd, gzip]").iter().filter_map(|item| item.one_of(&known)).collect())
    });
    fields.set("min_bytes", &mut compression.min_bytes, |value| value.bytes(0..=1 << 30));
    fields.set("types", &mut compression.types, |value| Some(texts(value, "[application/json]")));
    fields.finish();
    Some(compression)
}

/// A list of texts. One that is wrong keeps its place.
pub(super) fn texts(value: &Value<'_>, example: &str) -> Vec<String> {
    value.items(example).iter().map(|item| item.text().unwrap_or_default().to_owned()).collect()
}
