//! The configuration that a page shows, as options. The reader of YAML is the binary's; here is what the pages need of it,
//! and a key that is not known fails the test.

use std::time::Duration;

use aqueduct_gateway::{Compat, Cors, Defaults, Options, Route};

/// One block: `limits: { … }`, `timeouts: { … }`, or `routes:` with one key a line.
pub(super) fn apply(options: &mut Options, block: &str) {
    let mut current = None;
    for line in block.lines() {
        let (key, value) = pair(line.trim().trim_start_matches("- "));
        match key {
            "routes" | "upstream" => {}
            "limits" => pairs(value).for_each(|(key, value)| limit(options, key, value)),
            "timeouts" => pairs(value).for_each(|(key, value)| timeout(options, key, value)),
            "service" => {
                let found = options.routes.iter_mut().position(|route| route.service == value);
                current = Some(found.unwrap_or_else(|| panic!("the page has no service {value}")));
            }
            _ => route(&mut options.routes[current.unwrap()], key, value),
        }
    }
}

fn limit(options: &mut Options, key: &str, value: &str) {
    let limits = &mut options.limits;
    match key {
        "nesting" => limits.nesting = value.parse().unwrap(),
        "elements" => limits.elements = value.parse().unwrap(),
        "body_bytes" => limits.body_bytes = value.parse().unwrap(),
        "message_bytes" => limits.message_bytes = value.parse().unwrap(),
        _ => panic!("limits.{key}"),
    }
}

fn timeout(options: &mut Options, key: &str, value: &str) {
    let milliseconds = value.strip_suffix("ms").unwrap().parse().unwrap();
    match key {
        "keep_alive" => options.timeouts.keep_alive = Duration::from_millis(milliseconds),
        _ => panic!("timeouts.{key}"),
    }
}

fn route(route: &mut Route, key: &str, value: &str) {
    match (key, value) {
        ("compat", "grpc-gateway") => {
            route.compat = Compat::GrpcGateway;
            route.json = Compat::GrpcGateway.json();
        }
        ("json" | "query", _) => pairs(value).for_each(|(inner, value)| json(route, (key, inner), value)),
        ("cors", _) => {
            let mut cors = Cors::default();
            pairs(value).for_each(|(key, value)| match key {
                "origins" => cors.origins = list(value),
                "headers" => cors.headers = list(value),
                "expose" => cors.expose = list(value),
                "credentials" => cors.credentials = value.parse().unwrap(),
                _ => panic!("cors.{key}"),
            });
            route.cors = Some(cors);
        }
        _ => panic!("{key}: {value}"),
    }
}

fn json(route: &mut Route, key: (&str, &str), value: &str) {
    let json = &mut route.json;
    match (key, value) {
        (("json", "names"), _) => json.proto_names = value == "proto",
        (("json", "enums"), _) => json.enum_numbers = value == "numbers",
        (("json", "defaults"), "omit") => json.defaults = Defaults::Omit,
        (("json", "defaults"), "print") => json.defaults = Defaults::Print,
        (("json", "defaults"), "print-null") => json.defaults = Defaults::PrintNull,
        (("json", "unknown"), _) => json.ignore_unknown = value == "ignore",
        (("query", "unknown"), _) => json.ignore_unknown_query = value == "ignore",
        (("query", "ignore"), _) => json.ignored_query = list(value),
        _ => panic!("{key:?}: {value}"),
    }
}

fn pair(text: &str) -> (&str, &str) {
    let (key, value) = text.split_once(':').unwrap_or_else(|| panic!("{text}"));
    (key.trim(), value.trim())
}

/// `{ a: b, c: [d, e] }`.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let inner =
        text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_else(|| panic!("{text}"));
    let mut open = 0;
    let apart = move |character: char| {
        match character {
            '[' => open += 1,
            ']' => open -= 1,
            _ => {}
        }
        character == ',' && open == 0
    };
    inner.split(apart).map(pair)
}

/// `[a, "b"]`.
fn list(text: &str) -> Vec<String> {
    let inner =
        text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_else(|| panic!("{text}"));
    inner.split(',').map(|item| item.trim().trim_matches('"').to_owned()).collect()
}
