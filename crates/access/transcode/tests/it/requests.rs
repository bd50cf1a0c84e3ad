//! Whole requests: route, path variables, query and body to a message, and the response back.

use std::path::Path;
use std::sync::LazyLock;

use aqueduct_transcode::{
    BodyRule, ErrorKind, Lookup, Options, Request, RouteError, Router, Schema, Target, TranscodeError,
    Transcoder,
};

struct Library {
    schema: Schema,
    router: Router,
    lenient: Router,
}

fn descriptors(file: &str) -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    protox::Compiler::new([here.join("tests/proto"), here.join("../../../proto")])
        .unwrap()
        .open_file(file)
        .unwrap()
        .include_imports(true)
        .encode_file_descriptor_set()
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let schema = Schema::decode(&descriptors("library.proto")).unwrap();
    let router = Router::builder(&schema).service("library.v1.Library", 7).build().unwrap();
    let options = Options { ignore_unknown_query: true, ..Options::default() };
    let lenient = Router::builder(&schema).service_with("library.v1.Library", 7, &options).build().unwrap();
    Library { schema, router, lenient }
});

/// The request message, as JSON.
fn message(router: &Router, method: &str, url: &str, body: &str) -> Result<String, TranscodeError> {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let Lookup::Found(found) = router.find(method, path) else { panic!("{method} {path} is not bound") };
    let mut transcoder = Transcoder::new();
    let mut wire = b"frame".to_vec();
    let done = transcoder.encode_request(&found, Request { path, query, body: body.as_bytes() }, &mut wire);
    assert!(wire.starts_with(b"frame"));
    if let Err(error) = done {
        assert_eq!(wire, b"frame", "nothing is left of a failed request");
        return Err(error);
    }
    let options = Options::default();
    let target = Target { schema: &LIBRARY.schema, message: found.binding.input(), options: &options };
    let mut json = Vec::new();
    transcoder.wire_to_json(target, &wire[5..], &mut json).unwrap();
    Ok(String::from_utf8(json).unwrap())
}

#[track_caller]
fn check(method: &str, url: &str, body: &str, expect: &str) {
    assert_eq!(message(&LIBRARY.router, method, url, body).as_deref(), Ok(expect), "{method} {url}");
}

#[track_caller]
fn refuses(method: &str, url: &str, body: &str, kind: ErrorKind, words: &str) {
    let error = message(&LIBRARY.router, method, url, body).expect_err(url);
    assert_eq!(error.to_string(), words, "{method} {url}");
    assert_eq!(error.kind(), kind);
    assert_eq!(error.code().http_status(), 400);
}

#[test]
fn path_variables_are_decoded_once() {
    check("GET", "/v1/books/7", "", r#"{"id":"7"}"#);
    check("GET", "/v1/books/%37", "", r#"{"id":"7"}"#);
    check("GET", "/v1/books/0", "", "{}");
    check("HEAD", "/v1/books/7", "", r#"{"id":"7"}"#);
    check("LINK", "/v1/books/7", "", r#"{"id":"7"}"#);
    check("GET", "/v1/shelves/a%20b/books/%C3%A9+", "", r#"{"name":"shelves/a b/books/é+"}"#);
    check("GET", "/v1/shelves/a%2Fb/books/c", "", r#"{"name":"shelves/a%2Fb/books/c"}"#);
    check("GET", "/v1/files/a/b%2fc%20%2525", "", r#"{"name":"a/b%2fc %25"}"#);
    check("GET", "/v1/files", "", "{}");
    check(
        "PUT",
        "/v1/nested/5/2024-01-01T00:00:00Z",
        "",
        r#"{"book":{"id":"5","at":"2024-01-01T00:00:00Z"}}"#,
    );
    check(
        "PUT",
        "/v1/states/LOST/1970-01-01T00:00:01Z/1.5s/0",
        "",
        r#"{"state":"LOST","seenAfter":"1970-01-01T00:00:01Z","ttl":"1.500s","limit":0}"#,
    );
    let value = ErrorKind::Value;
    refuses("GET", "/v1/books/x", "", value, "id: expected an int64, found \"x\"");
    refuses(
        "GET",
        "/v1/books/9223372036854775808",
        "",
        value,
        "id: expected an int64, found \"9223372036854775808\"",
    );
    refuses("GET", "/v1/books/7%20", "", value, "id: expected an int64, found \"7 \"");
    refuses("GET", "/v1/files/%ff", "", ErrorKind::Url, "name: the value is not UTF-8");
    refuses(
        "PUT",
        "/v1/states/lost/x/x/0",
        "",
        value,
        "state: expected the name or number of an enum value, found \"lost\"",
    );
    refuses("PUT", "/v1/nested/5/now", "", value, "book.at: expected an RFC 3339 timestamp, found \"now\"");
}

#[test]
fn the_path_wins_over_query_and_body() {
    check("GET", "/v1/books/7?id=8", "", r#"{"id":"7"}"#);
    check("GET", "/v1/books/0?id=8&id=9", "", "{}");
    check("PUT", "/v1/books/7", r#"{"id": 8, "name": "n"}"#, r#"{"id":"7","name":"n"}"#);
    check("PUT", "/v1/books/0", r#"{"id": 8}"#, "{}");
    check(
        "PATCH",
        "/v1/books/7",
        r#"{"id": 8, "title": "t"}"#,
        r#"{"book":{"id":"7","title":"t"},"mask":"id,title"}"#,
    );
    check(
        "PUT",
        "/v1/nested/5/1970-01-01T00:00:00Z",
        r#"{"book": {"at": "2024-01-01T00:00:00.5Z", "title": "t"}}"#,
        r#"{"book":{"id":"5","title":"t","at":"1970-01-01T00:00:00Z"}}"#,
    );
}

#[test]
fn query_parameters_name_fields() {
    check(
        "GET",
        "/v1/books?name=a+b%2B&flag=true&score=1.5e3",
        "",
        r#"{"name":"a b+","flag":true,"score":1500}"#,
    );
    check("GET", "/v1/books?seen_after=1970-01-01T00:00:00Z", "", r#"{"seenAfter":"1970-01-01T00:00:00Z"}"#);
    check(
        "GET",
        "/v1/books?seenAfter=1970-01-01T00%3A00%3A00%2B00%3A00",
        "",
        r#"{"seenAfter":"1970-01-01T00:00:00Z"}"#,
    );
    check("GET", "/v1/books?tags=a&flag=true&tags=b&tags=", "", r#"{"tags":["a","b",""],"flag":true}"#);
    check("GET", "/v1/books?numbers=1&numbers=-2", "", r#"{"numbers":[1,-2]}"#);
    check(
        "GET",
        "/v1/books?state=LENT&states=2&states=LENT",
        "",
        r#"{"state":"LENT","states":["LOST","LENT"]}"#,
    );
    check("GET", "/v1/books?state=99", "", r#"{"state":99}"#);
    check(
        "GET",
        "/v1/books?book.title=t&book.author.name=n&book.author.first_book.id=3&book.tags=x&book.tags=y",
        "",
        r#"{"book":{"title":"t","tags":["x","y"],"author":{"name":"n","firstBook":{"id":"3"}}}}"#,
    );
    check(
        "GET",
        "/v1/books?raw=-_&ttl=-1.5s&mask=a,b_c&limit=5&label=",
        "",
        r#"{"raw":"+w==","ttl":"-1.500s","mask":"a,bC","limit":5,"label":""}"#,
    );
    check("GET", "/v1/books?raw=%2B%2F%2f%3D", "", r#"{"raw":"+/8="}"#);
    check("GET", "/v1/books?raw=+///", "", r#"{"raw":"+///"}"#);
    check("GET", "/v1/books?mask=a.b,cD", "", r#"{"mask":"a.b,cD"}"#);
    check("GET", "/v1/books?score=NaN&pageSize=0", "", r#"{"score":"NaN","pageSize":0}"#);
    check(
        "GET",
        "/v1/books?times=1970-01-01T00:00:00Z&times=1970-01-01T00:00:01Z",
        "",
        r#"{"times":["1970-01-01T00:00:00Z","1970-01-01T00:00:01Z"]}"#,
    );
    check(
        "GET",
        "/v1/books?byPerson.name=n&by_person.born=1900",
        "",
        r#"{"byPerson":{"name":"n","born":1900}}"#,
    );
    check("GET", "/v1/books?&&name=x&", "", r#"{"name":"x"}"#);
    check("GET", "/v1/books?", "", "{}");
    check("GET", "/v1/books?n%61me=x", "", r#"{"name":"x"}"#);
    check("GET", "/v1/books?name=a=b", "", r#"{"name":"a=b"}"#);
}

#[test]
fn bad_query_parameters_are_named() {
    let unknown = ErrorKind::Unknown;
    refuses("GET", "/v1/books?nope=1", "", unknown, "nope: library.v1.Request has no such field");
    refuses("GET", "/v1/books?book.nope=1", "", unknown, "book.nope: library.v1.Book has no such field");
    refuses(
        "GET",
        "/v1/books?name.x=1",
        "",
        unknown,
        "name.x: name is not a message whose fields can be set",
    );
    refuses("GET", "/v1/books?=1", "", unknown, "a parameter has no name");
    refuses("GET", "/v1/books?book.=1", "", unknown, "book.: library.v1.Book has no such field");
    refuses(
        "GET",
        "/v1/books?book=1",
        "",
        unknown,
        "book: a message cannot be a query parameter: name one of its fields",
    );
    refuses("GET", "/v1/books?labels=1", "", unknown, "labels: a map cannot be a query parameter");
    refuses(
        "GET",
        "/v1/books?labels.a=1",
        "",
        unknown,
        "labels.a: labels is not a message whose fields can be set",
    );
    refuses(
        "GET",
        "/v1/books?books=1",
        "",
        unknown,
        "books: a message cannot be a query parameter: name one of its fields",
    );
    refuses(
        "GET",
        "/v1/books?books.id=1",
        "",
        unknown,
        "books.id: books is not a message whose fields can be set",
    );
    refuses(
        "GET",
        "/v1/books?extra=1",
        "",
        unknown,
        "extra: a message cannot be a query parameter: name one of its fields",
    );
    refuses(
        "GET",
        "/v1/books?ttl.seconds=1",
        "",
        unknown,
        "ttl.seconds: ttl is not a message whose fields can be set",
    );
}

#[test]
fn doubled_query_parameters_are_named() {
    let twice = ErrorKind::Duplicate;
    refuses("GET", "/v1/books?name=a&flag=true&name=b", "", twice, "name: the parameter is there twice");
    refuses(
        "GET",
        "/v1/books?seenAfter=1970-01-01T00:00:00Z&seen_after=1970-01-01T00:00:00Z",
        "",
        twice,
        "seen_after: the parameter is there twice",
    );
    refuses("GET", "/v1/books?book.id=1&name=&book.id=1", "", twice, "book.id: the parameter is there twice");
    refuses(
        "GET",
        "/v1/books?byAuthor=a&byYear=1",
        "",
        twice,
        "byYear: another field of the same oneof is there already",
    );
    refuses(
        "GET",
        "/v1/books?byYear=1&byPerson.name=a",
        "",
        twice,
        "byPerson.name: another field of the same oneof is there already",
    );
}

#[test]
fn bad_query_values_are_named() {
    let value = ErrorKind::Value;
    refuses("GET", "/v1/books?flag", "", value, "flag: expected true or false, found \"\"");
    refuses("GET", "/v1/books?flag=1", "", value, "flag: expected true or false, found \"1\"");
    refuses("GET", "/v1/books?numbers=1&numbers=x", "", value, "numbers: expected an int32, found \"x\"");
    refuses("GET", "/v1/books?score=1e999", "", value, "score: expected a double, found \"1e999\"");
    refuses("GET", "/v1/books?raw=*", "", value, "raw: expected base64, found \"*\"");
    refuses("GET", "/v1/books?limit=x", "", value, "limit: expected an int32, found \"x\"");
    refuses(
        "GET",
        "/v1/books?mask=a,,b",
        "",
        value,
        "mask: expected a field mask such as a,b.c, found \"a,,b\"",
    );
    let url = ErrorKind::Url;
    refuses("GET", "/v1/books?name=%zz", "", url, "name: a \"%\" must be followed by two hexadecimal digits");
    refuses("GET", "/v1/books?na%me=1", "", url, "na%me: a \"%\" must be followed by two hexadecimal digits");
    refuses("GET", "/v1/books?name=%ff", "", url, "name: the value is not UTF-8");
    let unknown = ErrorKind::Unknown;
    let words = "name: the body is the whole request, so that there are no query parameters";
    refuses("POST", "/v1/books?name=a", "{}", unknown, words);
    let deep = format!("/v1/books?book.{}id=1", "author.firstBook.".repeat(1000));
    assert!(message(&LIBRARY.router, "GET", &deep, "").is_err());
}

#[test]
fn bodies_are_the_message_or_a_field() {
    check("POST", "/v1/books", r#"{"id": 1, "tags": ["a"]}"#, r#"{"id":"1","tags":["a"]}"#);
    check("POST", "/v1/books", "", "{}");
    check(
        "PATCH",
        "/v1/books/7?name=n",
        r#"{"title": "t"}"#,
        r#"{"name":"n","book":{"id":"7","title":"t"},"mask":"title"}"#,
    );
    check("PATCH", "/v1/books/7?name=n", "", r#"{"name":"n","book":{"id":"7"}}"#);
    check("POST", "/v1/books/7:tag", r#"["a","b"]"#, r#"{"id":"7","tags":["a","b"]}"#);
    check("POST", "/v1/books/7:tag?flag=true", "null", r#"{"id":"7","flag":true}"#);
    check("POST", "/v1/books/7:note", r#""text""#, r#"{"id":"7","note":"text"}"#);
    check("GET", "/v1/books/7", "not even JSON", r#"{"id":"7"}"#);
    refuses(
        "PATCH",
        "/v1/books/7?book.title=x",
        "{}",
        ErrorKind::Unknown,
        "book.title: the field is the body",
    );
    refuses(
        "PATCH",
        "/v1/books/7",
        r#"{"nope": 1}"#,
        ErrorKind::Unknown,
        "book.nope: library.v1.Book has no such field (at byte 2)",
    );
    refuses(
        "POST",
        "/v1/books/7:tag",
        r#"["a", 1]"#,
        ErrorKind::Value,
        "tags[1]: expected a string, found 1 (at byte 6)",
    );
    refuses(
        "POST",
        "/v1/books/7:tag",
        r#"["a"] x"#,
        ErrorKind::Syntax,
        "expected the end of the JSON text, found x (at byte 6)",
    );
    refuses(
        "POST",
        "/v1/books",
        "{\"name\": \"\u{7f}",
        ErrorKind::Syntax,
        "name: expected the end of the string, but the JSON ends here (at byte 11)",
    );
}

#[test]
fn unknown_parameters_can_be_ignored() {
    let check = |method, url, expect: &str| {
        assert_eq!(message(&LIBRARY.lenient, method, url, "").as_deref(), Ok(expect), "{url}");
    };
    check("GET", "/v1/books?nope=1&name=a&book.nope=2", r#"{"name":"a"}"#);
    check("POST", "/v1/books?name=a", "{}");
    assert!(message(&LIBRARY.lenient, "GET", "/v1/books?numbers=x", "").is_err(), "known, but wrong");
}

#[test]
fn responses_are_the_message_or_a_field() {
    let check = |path: &str, wire: &[u8], expect: &str| {
        let Lookup::Found(found) = LIBRARY.router.find("GET", path) else { panic!("{path} is not bound") };
        let mut out = b"kept".to_vec();
        Transcoder::new().decode_response(found.binding, wire, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("kept{expect}"), "{path}");
    };
    let book = b"\x08\x07\x12\x01t\x1a\x01a\x22\x03\x0a\x01n\x1a\x01b\x2a\x02\x08\x01";
    check(
        "/v1/books/7",
        book,
        r#"{"id":"7","title":"t","tags":["a","b"],"author":{"name":"n"},"at":"1970-01-01T00:00:01Z"}"#,
    );
    check("/v1/books/7:title", book, r#""t""#);
    check("/v1/books/7:tags", book, r#"["a","b"]"#);
    check("/v1/books/7:author", book, r#"{"name":"n"}"#);
    check("/v1/books/7:at", book, r#""1970-01-01T00:00:01Z""#);
    check("/v1/books/7:pages", book, "0");
    check("/v1/books/7:title", b"", r#""""#);
    check("/v1/books/7:tags", b"", "[]");
    check("/v1/books/7:author", b"", "{}");
    check("/v1/books/7:at", b"", "null");
}

#[test]
fn bindings_say_what_they_are() {
    let Lookup::Found(found) = LIBRARY.router.find("GET", "/v1/books") else { panic!("it is bound") };
    let binding = found.binding;
    assert_eq!(
        (binding.tag(), binding.grpc_path(), binding.template()),
        (7, "/library.v1.Library/List", "/v1/books")
    );
    assert!(binding.server_streaming() && !binding.client_streaming());
    assert_eq!((binding.http_method(), binding.body()), ("GET", BodyRule::None));
    assert_eq!(LIBRARY.schema.message_name(binding.output()), "library.v1.Book");
    let method = LIBRARY.schema.method("/library.v1.Library/Unbound").unwrap();
    assert_eq!(LIBRARY.schema.message_name(method.input()), "library.v1.Request");
    assert!(LIBRARY.schema.method("/library.v1.Library/Nope").is_none());
    assert!(LIBRARY.router.bindings().iter().all(|binding| !binding.grpc_path().ends_with("/Unbound")));
}

#[test]
fn bad_rules_are_reported_together() {
    let schema = Schema::decode(&descriptors("bad.proto")).unwrap();
    let errors =
        Router::builder(&schema).service("bad.v1.S", 0).service("bad.v1.Nope", 0).build().unwrap_err();
    let words: Vec<String> = errors.iter().map(RouteError::to_string).collect();
    assert_eq!(
        words,
        [
            "/bad.v1.S/A: a \"{\" has no \"}\" (/a/{id)",
            "/bad.v1.S/B: bad.v1.M has no field \"nope\"; it has id, list, inner, map (nope)",
            "/bad.v1.S/C: a repeated field cannot be in a path (list)",
            "/bad.v1.S/D: a message cannot be in a path: name one of its fields, such as inner.id (inner)",
            "/bad.v1.S/E: bad.v1.M has no field \"nope\"; it has id, list, inner, map (body: \"nope\")",
            "/bad.v1.S/F: bad.v1.M has no field \"nope\"; it has id, list, inner, map (response_body: \"nope\")",
            "/bad.v1.S/G: the rule has no HTTP method (google.api.http)",
            "/bad.v1.S/I: GET /h/{inner.id} is already bound to /bad.v1.S/H",
            "the descriptors have no service bad.v1.Nope",
        ]
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::with_cases(2000)
    })]

    /// Whatever is asked is answered, and what is accepted is a well-formed message.
    #[test]
    fn any_path_and_query_are_answered(
        path in "(/(v1|books|shelves|files|[a-c:%2F0é]{0,6}|[0-9]{1,3}(:title|:tag)?)){0,6}",
        query in "((id|name|book\\.id|tags|flag|mask|raw|labels|byYear|by_author|[a-z.%=&+]{1,5})(=[a-z0-9%+,.:-]{0,6})?&?){0,4}",
        body in "[\\[\\]{}\":,a-z0-9]{0,12}",
        method in "(GET|HEAD|POST|PUT|PATCH|LINK)",
    ) {
        if let Lookup::Found(found) = LIBRARY.router.find(&method, &path) {
            let mut transcoder = Transcoder::new();
            let mut wire = Vec::new();
            let request = Request { path: &path, query: Some(&query), body: body.as_bytes() };
            if transcoder.encode_request(&found, request, &mut wire).is_ok() {
                let options = Options::default();
                let target = Target { schema: &LIBRARY.schema, message: found.binding.input(), options: &options };
                let mut json = Vec::new();
                let printed = transcoder.wire_to_json(target, &wire, &mut json);
                // A mask from a URL may have paths that JSON has no form for.
                proptest::prop_assert!(printed.is_ok() || query.contains("mask"), "{printed:?}");
            }
        }
    }
}
