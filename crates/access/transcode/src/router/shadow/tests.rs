//! Every shadow is found, and each example is what happens.

use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_oneof, proptest};

use super::{Shadow, Taker};
use crate::Lookup;
use crate::router::tests::router;
use crate::template::Template;

/// The shadows, each as `method template: example → taker`.
fn shadows(rules: &[(&str, &str)], reserved: &[&str]) -> Vec<String> {
    let router = router(rules);
    let shadows = router.shadows(reserved);
    let line = |shadow: &Shadow<'_>| {
        let taker = match shadow.taker {
            Taker::Binding(binding) => format!("{} {}", binding.http_method(), binding.template()),
            Taker::Verb(binding) => format!("405, {} {}", binding.http_method(), binding.template()),
            Taker::Reserved => "reserved".to_owned(),
        };
        let Shadow { binding, method, path, .. } = shadow;
        // What is shown is what happens.
        match (router.find(method, path), shadow.taker) {
            (Lookup::Found(found), Taker::Binding(taker)) => assert!(std::ptr::eq(found.binding, taker)),
            (Lookup::MethodNotAllowed { .. }, Taker::Verb(_)) => {}
            (Lookup::Found(found), Taker::Reserved) => assert!(std::ptr::eq(found.binding, *binding)),
            other => panic!("{other:?}"),
        }
        let never = if shadow.entire { "never " } else { "" };
        format!("{} {}: {never}{method} {path} → {taker}", binding.http_method(), binding.template())
    };
    shadows.iter().map(line).collect()
}

#[test]
fn templates_that_lose_paths_are_found_with_an_example() {
    let check =
        |rules: &[(&str, &str)], expect: &[&str]| assert_eq!(shadows(rules, &[]), expect, "{rules:?}");
    check(
        &[("GET", "/v1/orders/{id}"), ("GET", "/v1/orders/new")],
        &["GET /v1/orders/{id}: GET /v1/orders/new → GET /v1/orders/new"],
    );
    // Another method takes nothing; a path with fewer segments neither.
    check(&[("GET", "/v1/orders/{id}"), ("POST", "/v1/orders/new"), ("GET", "/v1/orders")], &[]);
    check(&[("GET", "/{a}/x"), ("GET", "/y/{b}")], &["GET /{a}/x: GET /y/x → GET /y/{b}"]);
    // The common path of the first two is the third's alone.
    check(
        &[("GET", "/{a}/x"), ("GET", "/y/{b}"), ("GET", "/y/x")],
        &["GET /{a}/x: GET /y/x → GET /y/x", "GET /y/{b}: GET /y/x → GET /y/x"],
    );
    check(
        &[("GET", "/v1/{rest=**}"), ("GET", "/v1/{a}/{b}"), ("GET", "/v1")],
        &["GET /v1/{rest=**}: GET /v1/x/x → GET /v1/{a}/{b}", "GET /v1/{rest=**}: GET /v1 → GET /v1"],
    );
    // All that `/v1/**` shares with `/**` and is not `/v1/*`'s.
    check(
        &[("GET", "/{all=**}"), ("GET", "/v1/{rest=**}"), ("GET", "/v1/{one}"), ("GET", "/v1")],
        &[
            "GET /{all=**}: GET /v1/x/x → GET /v1/{rest=**}",
            "GET /{all=**}: GET /v1/x → GET /v1/{one}",
            "GET /{all=**}: GET /v1 → GET /v1",
            "GET /v1/{rest=**}: GET /v1/x → GET /v1/{one}",
            "GET /v1/{rest=**}: GET /v1 → GET /v1",
        ],
    );
    // Examples are no third one's literals.
    check(
        &[("GET", "/{a=**}"), ("GET", "/{b}/{c}"), ("GET", "/x/y"), ("GET", "/y/x")],
        &[
            "GET /{a=**}: GET /1/1 → GET /{b}/{c}",
            "GET /{a=**}: GET /x/y → GET /x/y",
            "GET /{a=**}: GET /y/x → GET /y/x",
            "GET /{b}/{c}: GET /x/y → GET /x/y",
            "GET /{b}/{c}: GET /y/x → GET /y/x",
        ],
    );
    check(
        &[("GET", "/a b/{x}"), ("GET", "/{y}/%7Bz%7D")],
        &["GET /{y}/%7Bz%7D: GET /a%20b/%7Bz%7D → GET /a b/{x}"],
    );
}

#[test]
fn verbs_and_any_method_take_paths_too() {
    let check =
        |rules: &[(&str, &str)], expect: &[&str]| assert_eq!(shadows(rules, &[]), expect, "{rules:?}");
    check(
        &[("POST", "/v1/{id}"), ("POST", "/v1/{id}:pay")],
        &["POST /v1/{id}: POST /v1/x:pay → POST /v1/{id}:pay"],
    );
    // For every method, so that nobody answers.
    check(
        &[("GET", "/v1/{id}"), ("POST", "/v1/{id}:pay"), ("PUT", "/v1/{id}:pay")],
        &["GET /v1/{id}: GET /v1/x:pay → 405, POST /v1/{id}:pay"],
    );
    check(
        &[("GET", "/v1/{id}:b"), ("GET", "/v1/{id}:a:b"), ("GET", "/v1/{rest=**}")],
        &[
            "GET /v1/{id}:b: GET /v1/x:a:b → GET /v1/{id}:a:b",
            "GET /v1/{rest=**}: GET /v1/x:b → GET /v1/{id}:b",
            "GET /v1/{rest=**}: GET /v1/x:a:b → GET /v1/{id}:a:b",
        ],
    );
    check(&[("GET", "/v1/a%3Ab"), ("GET", "/v1/{id}:b")], &["GET /v1/a%3Ab: GET /v1/a:b → GET /v1/{id}:b"]);
    check(&[("GET", "/v1/a"), ("GET", "/v1/{id}:b"), ("GET", "/"), ("POST", "/v1/{id}:c")], &[]);
    check(&[("GET", "/v1/{id}"), ("*", "/v1/new")], &["GET /v1/{id}: GET /v1/new → * /v1/new"]);
    check(
        &[("*", "/v1/{id}"), ("PUT", "/v1/new"), ("LINK", "/v1/{id}"), ("*", "/v1/old")],
        &[
            "* /v1/{id}: PUT /v1/new → PUT /v1/new",
            "* /v1/{id}: LINK /v1/x → LINK /v1/{id}",
            "* /v1/{id}: * /v1/old → * /v1/old",
            "LINK /v1/{id}: LINK /v1/old → * /v1/old",
        ],
    );
    check(&[("HEAD", "/v1/{id}"), ("GET", "/v1/new")], &["HEAD /v1/{id}: HEAD /v1/new → GET /v1/new"]);
}

#[test]
fn reserved_paths_reach_no_binding() {
    let rules = [("GET", "/healthz"), ("POST", "/{any}"), ("GET", "/v1/{x}"), ("PUT", "/{x}:live")];
    assert_eq!(
        shadows(&rules, &["/healthz", "/a:live", "/none/at/all"]),
        [
            "GET /healthz: never GET /healthz → reserved",
            "POST /{any}: POST /x:live → 405, PUT /{x}:live",
            "POST /{any}: POST /healthz → reserved",
            "PUT /{x}:live: PUT /a:live → reserved",
        ]
    );
}

fn template_text() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("{#}")];
    let last = prop_oneof![4 => Just(""), 1 => Just("{#=**}")];
    let verb = prop_oneof![3 => Just(""), 1 => Just(":v"), 1 => Just(":w:v")];
    (prop::collection::vec(segment, 0..3), last, verb).prop_map(|(mut segments, last, verb)| {
        segments.extend(Some(last).filter(|last| !last.is_empty()));
        let named = segments.iter().enumerate().map(|(at, segment)| segment.replace('#', &format!("f{at}")));
        let path = named.collect::<Vec<_>>().join("/");
        format!("/{path}{}", if path.is_empty() { "" } else { verb })
    })
}

proptest! {
    /// Whatever path a binding would get alone and does not get among others is accounted for.
    #[test]
    fn no_shadow_is_missed(
        mut rules in prop::collection::vec((prop_oneof![Just("GET"), Just("POST"), Just("*")], template_text()), 2..6),
        paths in prop::collection::vec("(/[abc]){0,4}(:w)?(:v)?", 20),
    ) {
        let shape = |text: &str| Template::parse(text).map(|it| (it.segments, it.verb)).unwrap();
        let mut seen = Vec::new();
        rules.retain(|(method, text)| {
            let key = (*method, shape(text));
            let is_new = !seen.contains(&key);
            seen.push(key);
            is_new
        });
        let rules: Vec<(&str, &str)> = rules.iter().map(|(method, text)| (*method, text.as_str())).collect();
        let all = router(&rules);
        let shadows = all.shadows(&[]);
        for (rule, binding) in rules.iter().zip(all.bindings()) {
            let alone = router(&[*rule]);
            for (path, method) in paths.iter().flat_map(|path| ["GET", "POST", "LINK"].map(|method| (path, method))) {
                let Lookup::Found(_) = alone.find(method, path) else { continue };
                let mut own = shadows.iter().filter(|shadow| std::ptr::eq(shadow.binding, binding));
                let known = match all.find(method, path) {
                    Lookup::Found(found) => std::ptr::eq(found.binding, binding) || own.any(|shadow| {
                        matches!(shadow.taker, Taker::Binding(taker) if std::ptr::eq(taker, found.binding))
                    }),
                    Lookup::MethodNotAllowed { .. } => own.any(|shadow| match shadow.taker {
                        Taker::Binding(taker) | Taker::Verb(taker) => taker.template().contains(':'),
                        Taker::Reserved => false,
                    }),
                    other => panic!("{other:?}"),
                };
                prop_assert!(known, "{method} {path} of {rule:?} among {rules:?}: {:?}", all.find(method, path));
            }
        }
    }
}
