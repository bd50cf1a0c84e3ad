//! Templates from annotation to message: the grammar of `google/api/http.proto`, and rules that cannot be used.

use aqueduct_transcode::{Lookup, Options, Router};

use crate::rules::{JSON, Rule, message, problems, router};

fn requests(rules: &[&str]) -> Router {
    let rules: Vec<_> = rules.iter().map(|rule| ("Request", "Part", *rule)).collect();
    router(&Options::default(), &rules)
}

#[test]
fn every_form_of_a_template_binds() {
    let router = requests(&[
        r#"get: "/""#,
        r#"get: "/v1/parts""#,
        r#"get: "/v1/parts/{note}""#,
        r#"get: "/v1/parts/{note=*}/tail""#,
        r#"get: "/v1/{note=shelves/*/books/*}""#,
        r#"get: "/v1/{part.part.long_note=deep/*}/{part.id}""#,
        r#"get: "/v1/{part.longNote=fixed}""#,
        r#"get: "/v1/any/*/thing""#,
        r#"get: "/v1/files/{note=**}""#,
        r#"get: "/v1/files/{note=**}:raw""#,
        r#"get: "/v1/rest/**""#,
        r#"get: "/v1/{note=all/**}:raw""#,
        r#"post: "/v1/{note}:custom:custom""#,
        r#"post: "/v1/{note}:custom""#,
        r#"post: "/v1/a:b/{note}:c""#,
        r#"get: "/v1/sp%20ace/%7Bx%7D""#,
        r#"custom { kind: "LINK" path: "/v1/parts/{note}" }"#,
        r#"custom { kind: "*" path: "/v1/whatever" }"#,
        r#"put: "/v1/one/{id}" additional_bindings { delete: "/v1/two/{id}" } additional_bindings { patch: "/v1/three/{id}" }"#,
    ]);
    let check = |method: &str, path: &str, expect: &str| {
        assert_eq!(message(&router, JSON, (method, path), b"").as_deref(), Ok(expect), "{method} {path}");
    };
    check("GET", "/", "{}");
    check("GET", "/v1/parts", "{}");
    check("GET", "/v1/parts/a", r#"{"note":"a"}"#);
    check("GET", "/v1/parts/a/tail", r#"{"note":"a"}"#);
    check("GET", "/v1/shelves/1/books/2", r#"{"note":"shelves/1/books/2"}"#);
    check("GET", "/v1/deep/x/7", r#"{"part":{"id":"7","part":{"longNote":"deep/x"}}}"#);
    check("GET", "/v1/fixed", r#"{"part":{"longNote":"fixed"}}"#);
    check("GET", "/v1/any/x/thing", "{}");
    check("GET", "/v1/files/a/b/c", r#"{"note":"a/b/c"}"#);
    check("GET", "/v1/files/a/b:raw", r#"{"note":"a/b"}"#);
    check("GET", "/v1/files/a:b/c", r#"{"note":"a:b/c"}"#);
    check("GET", "/v1/rest", "{}");
    check("GET", "/v1/rest/a/b", "{}");
    check("GET", "/v1/all/a/b:raw", r#"{"note":"all/a/b"}"#);
    check("POST", "/v1/u:custom:custom", r#"{"note":"u"}"#);
    check("POST", "/v1/u:custom", r#"{"note":"u"}"#);
    check("POST", "/v1/u:x:custom", r#"{"note":"u:x"}"#);
    check("POST", "/v1/a:b/n:c", r#"{"note":"n"}"#);
    check("GET", "/v1/sp%20ace/{x}", "{}");
    check("GET", "/v1/%73p%20ace/%7bx%7d", "{}");
    check("LINK", "/v1/parts/a", r#"{"note":"a"}"#);
    check("BREW", "/v1/whatever", "{}");
    check("PUT", "/v1/one/7", r#"{"id":"7"}"#);
    check("DELETE", "/v1/two/7", r#"{"id":"7"}"#);
    check("PATCH", "/v1/three/7", r#"{"id":"7"}"#);
    for (method, path) in [
        ("GET", "/v1/parts/"),
        ("GET", "/v1/any//thing"),
        ("GET", "/v1/shelves/1/books"),
        ("GET", "/v1/other"),
        ("POST", "/v1/u:unknown"),
        ("GET", "/v1/sp+ace/{x}"),
    ] {
        assert!(
            matches!(router.find(method, path), Lookup::NotFound | Lookup::MethodNotAllowed { .. }),
            "{path}"
        );
    }
}

#[test]
fn variables_are_decoded_once_and_as_wide_as_they_are() {
    let router = requests(&[
        r#"get: "/one/{note}""#,
        r#"get: "/fixed/{note=*}/x""#,
        r#"get: "/{note=two/*}""#,
        r#"get: "/many/{note=**}""#,
        r#"get: "/verb/{note}:go""#,
    ]);
    let check = |path: &str, expect: &str| {
        let expect = format!("{{\"note\":\"{expect}\"}}");
        assert_eq!(message(&router, JSON, ("GET", path), b""), Ok(expect), "{path}");
    };
    check("/one/a%2Fb%2fc", "a/b/c");
    check("/fixed/a%2Fb/x", "a/b");
    check("/one/%252F%2525", "%2F%25");
    check("/one/a+b%2B", "a+b+");
    check("/one/%3A%3f%23", ":?#");
    check("/one/%E2%82%AC", "€");
    check("/two/a%2Fb%2fc%20d", "two/a%2Fb%2fc d");
    check("/two/%252F", "two/%2F");
    check("/many/a%2Fb/c%2fd%20e+f", "a%2Fb/c%2fd e+f");
    check("/many/%25%32%46", "%2F");
    check("/verb/a%2Fb:go", "a/b");
    let bad = message(&router, JSON, ("GET", "/one/%E2%82"), b"");
    assert_eq!(bad.unwrap_err(), "url: note: the value is not UTF-8");
}

#[test]
fn rules_that_cannot_be_used_say_what_would_be_right() {
    let check = |rule: Rule<'_>, words: &str| {
        assert_eq!(problems(&[rule]), [format!("/shaping.v1.Rules/M0: {words}")], "{}", rule.2);
    };
    let request = |rule, words: &str| check(("Request", "Part", rule), words);
    let has = "shaping.v1.Request has no field \"nope\"; it has id, part, raw, update_mask, note, tags, by_name, \
               by_part, …";
    request(r#"get: "/{nope}""#, &format!("{has} (nope)"));
    request(r#"post: "/" body: "nope""#, &format!("{has} (body: \"nope\")"));
    let inner = "\"note\" is not a singular message whose fields have names of their own";
    request(r#"get: "/{note.x}""#, &format!("{inner} (note.x)"));
    request(r#"post: "/" body: "note.x""#, &format!("{inner} (body: \"note.x\")"));
    request(
        r#"post: "/" body: "raws.data""#,
        "\"raws\" is not a singular message whose fields have names of their own (body: \"raws.data\")",
    );
    request(
        r#"post: "/" body: "update_mask.paths""#,
        "\"update_mask\" is not a singular message whose fields have names of their own (body: \"update_mask.paths\")",
    );
    request(
        r#"get: "/" response_body: "part.nope""#,
        "shaping.v1.Part has no field \"nope\"; it has id, long_note, tags, part, labels, color, data, page_size, … \
         (response_body: \"part.nope\")",
    );
    check(
        ("google.protobuf.Empty", "Part", r#"post: "/" body: "x""#),
        "google.protobuf.Empty has no field \"x\"; it has none (body: \"x\")",
    );
    request(
        r#"post: "/" body: "part.""#,
        "shaping.v1.Part has no field \"\"; it has id, long_note, tags, part, labels, color, data, page_size, … \
         (body: \"part.\")",
    );
    request(
        r#"get: "/{part}""#,
        "a message cannot be in a path: name one of its fields, such as part.id (part)",
    );
    request(r#"get: "/{part.extra}""#, "a message cannot be in a path: name one of its fields (part.extra)");
    request(r#"get: "/{tags}""#, "a repeated field cannot be in a path (tags)");
    request(r#"get: "/{labels}""#, "a repeated field cannot be in a path (labels)");
    request(r#"get: "/{note}/{note}""#, "a variable is there twice (/{note}/{note})");
    request(
        r#"get: "/{part.long_note}/{part.longNote}""#,
        "another variable sets the same field (part.longNote)",
    );
    request(
        r#"get: "/{by_name}/{by_part.id}""#,
        "another variable sets a field of the same oneof (by_part.id)",
    );
    request(r#"body: "*""#, "the rule has no HTTP method (google.api.http)");
    request(
        r#"get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } }"#,
        "additional_bindings may not be nested: write them all in the outermost rule (/b)",
    );
    request(r#"get: "/**/x""#, "\"**\" must be the last segment (/**/x)");
}
