//! What clients accept, and what comes of it.

use super::*;

fn check(accept: &str, expect: Option<Algorithm>) {
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap())]);
    assert_eq!(Compression::default().choose(&headers), expect, "{accept}");
}

#[test]
fn the_client_is_asked() {
    use Algorithm::{Gzip, Zstd};
    for (accept, expect) in [
        ("gzip", Some(Gzip)),
        ("GZIP", Some(Gzip)),
        ("x-gzip", Some(Gzip)),
        ("gzip, zstd", Some(Zstd)),
        ("gzip, deflate, br, zstd", Some(Zstd)),
        ("zstd;q=0.5, gzip;q=0.8", Some(Gzip)),
        ("zstd;q=0.5, gzip; Q=0.501", Some(Gzip)),
        ("*", Some(Zstd)),
        ("*;q=0.1, zstd;q=0", Some(Gzip)),
        ("identity;q=0.5, gzip;q=0.4", None),
        ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
        ("gzip;q=0", None),
        ("gzip;q=0.000", None),
        ("*;q=0", None),
        ("identity", None),
        ("br", None),
        ("", None),
        ("gzip;q=2, zstd;q=0.5", Some(Zstd)),
        ("gzip;q=1.001", None),
        ("gzip;q=0.1234", None),
        ("gzip;q=+1", None),
        ("gzip;level=9", None),
        ("gzip;q", None),
    ] {
        check(accept, expect);
    }
    assert_eq!(Compression::default().choose(&HeaderMap::new()), None, "who says nothing gets it plain");
    let mut two = HeaderMap::new();
    for value in ["br", "gzip"] {
        two.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
    }
    assert_eq!(Compression::default().choose(&two), Some(Gzip), "several fields are one list");
    two.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    assert_eq!(Compression::default().choose(&two), None);
}

#[test]
fn only_plain_text_that_may_be_changed_is_worth_it() {
    let response = |length: usize, headers: &[(&'static str, &'static str)]| {
        let mut response = Response::new(Body::full(Bytes::from(vec![b'x'; length])));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        response
    };
    for (length, headers, expect) in [
        (1024, &[][..], true),
        (1023, &[], false),
        (1024, &[("content-type", "Text/HTML; charset=utf-8")], true),
        (1024, &[("content-type", "application/json+x")], false),
        (1024, &[("content-type", "image/png")], false),
        (1024, &[("content-encoding", "br")], false),
        (1024, &[("content-range", "bytes 0-1023/4096")], false),
        (1024, &[("cache-control", "private, No-Transform")], false),
        (1024, &[("cache-control", "no-cache")], true),
    ] {
        assert_eq!(
            Compression::default().is_worth_it(&response(length, headers)),
            expect,
            "{length} {headers:?}"
        );
    }
    let mut gone = response(2000, &[]);
    *gone.status_mut() = StatusCode::NOT_MODIFIED;
    assert!(!Compression::default().is_worth_it(&gone));
}

#[test]
fn a_worker_uses_its_state_again_and_leaves_what_would_grow() {
    let worker = Worker::default();
    for algorithm in [Algorithm::Gzip, Algorithm::Zstd] {
        for text in ["a".repeat(5000), "b".repeat(100_000)] {
            let small = worker.whole(algorithm, text.as_bytes()).unwrap();
            assert_eq!(encoder::decode(algorithm, &small), text.as_bytes());
        }
        assert_eq!(worker.whole(algorithm, b"x"), None);
    }
}

#[test]
fn tags_are_weakened_once() {
    for (tag, expect) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\"")] {
        let mut headers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))]);
        weaken(&mut headers);
        assert_eq!(headers[ETAG], expect);
    }
}

#[test]
fn wrong_options_are_named() {
    let types = ["text/*", "*/*", "json", "text/plain; charset=utf-8", "a/b"].map(str::to_owned).into();
    let wrong = Compression { algorithms: Vec::new(), types, ..Compression::default() };
    let paths: Vec<_> = wrong.problems().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["algorithms", "types[1]", "types[2]", "types[3]"]);
    assert_eq!(Compression::default().problems(), []);
}
