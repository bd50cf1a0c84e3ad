//! Query strings to a message.

use std::sync::LazyLock;

use aqueduct_transcode::{Lookup, Options, Request, Router};
use prost_reflect::Value;

use crate::compare::decode;
use crate::fixture::{EVERYTHING, FIXTURE, to_json, twice};

const SERVICE: &str = "fuzz.v1.Fuzz";

static STRICT: LazyLock<Router> =
    LazyLock::new(|| Router::builder(&FIXTURE.schema).service(SERVICE, 0).build().unwrap());
static LENIENT: LazyLock<Router> = LazyLock::new(|| {
    let options = Options { ignore_unknown: true, ignore_unknown_query: true, ..Options::default() };
    Router::builder(&FIXTURE.schema).service_with(SERVICE, 0, &options).build().unwrap()
});

/// A query string.
pub fn query(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    for (method, path, body) in
        [("GET", "/query/from%20the+path", &b""[..]), ("POST", "/part/name", br#"{"fInt32": 7}"#)]
    {
        let [strict, lenient] = [&STRICT, &LENIENT].map(|router| bound(router, (method, path), query, body));
        let Ok(wire) = strict else { continue };
        assert_eq!(lenient.as_ref(), Ok(&wire), "leniency changed the meaning");
        let message = decode(EVERYTHING, &wire).unwrap();
        if method == "GET" {
            let text = message.get_field_by_name("f_string").unwrap();
            assert_eq!(*text, Value::String("from the+path".to_owned()), "the path wins");
        } else {
            let nested = message.get_field_by_name("f_nested").unwrap();
            let name = nested.as_message().unwrap().get_field_by_name("name").unwrap();
            assert_eq!(*name, Value::String("name".to_owned()), "the path wins");
            let part = message.get_field_by_name("f_self").unwrap();
            let number = part.as_message().unwrap().get_field_by_name("f_int32").unwrap();
            assert_eq!(*number, Value::I32(7), "the body is as it was");
        }
        match to_json(EVERYTHING, &wire, &Options::default()) {
            Ok(json) => assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok()),
            // A path in proto case may have capitals, which JSON's camel case has no place for.
            Err(error) => assert!(
                error.message() == "the field mask has no JSON form" && query.contains('_'),
                "bound {query:?} to what cannot be printed: {error}"
            ),
        }
    }
}

fn bound(
    router: &Router,
    (method, path): (&str, &str),
    query: &str,
    body: &[u8],
) -> Result<Vec<u8>, aqueduct_transcode::TranscodeError> {
    let Lookup::Found(found) = router.find(method, path) else { panic!("{method} {path} is bound") };
    let request = Request { path, query: Some(query), body };
    twice(|transcoder, out| transcoder.encode_request(&found, request, out))
}
