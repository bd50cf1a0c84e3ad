//! What hyper's HTTP/1 codec and h2 take and ours do not: the tables of `docs/adr/0005-http1-codec.md` and
//! `docs/adr/0011-http2-server.md`. When they become stricter, this says so.

use aqueduct_gateway::fuzzing::{accepted, accepted_http2};

#[track_caller]
fn check(input: &[u8], hyper: bool) {
    let shown = input.escape_ascii().to_string();
    assert_eq!(accepted(input), (false, hyper), "ours and hyper's: {shown}");
}

fn get(head: &str) -> Vec<u8> {
    format!("{head}\r\n\r\n").into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}").into_bytes()
}

fn post(fields: &str) -> Vec<u8> {
    let body = if fields.contains("transfer-encoding") { "0\r\n\r\n" } else { "abc" };
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{body}").into_bytes()
}

#[test]
fn hyper_takes_what_we_refuse() {
    for host in
        ["", "host:", "host: a,b", "host: u@a", "host: a/b", "host: a b", "host: a:x", "host: a\r\nhost: b"]
    {
        check(&get(format!("GET / HTTP/1.1\r\n{host}").trim_end()), true);
    }
    for line in ["GET *", "CONNECT a:80", "GET /#x", "GET /é", "GET a:80", "GET ftp://a/", "GET http://u@a/"]
    {
        check(&get(&format!("{line} HTTP/1.1\r\nhost: a")), true);
    }
    check(b"GET / HTTP/1.1\nhost: a\n\n", true);
    check(b"GET / HTTP/1.1\r\nhost: a\r\n\n", true);
    check(b"\r\n\r\n\n\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", true);
    for fields in [
        "content-length: 3\r\ncontent-length: 3",
        "content-length: 3\r\ncontent-length: 03",
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: ,chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "expect: x\r\ncontent-length: 3",
    ] {
        check(&post(fields), true);
    }
    for body in [
        "1;\r\na\r\n0\r\n\r\n",
        "1;\x01\r\na\r\n0\r\n\r\n",
        "1;a=\r\na\r\n0\r\n\r\n",
        "1;\"\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\t\r\na\r\n0\r\n\r\n",
        "1 ;x\r\na\r\n0\r\n\r\n",
        "00000000000000001\r\na\r\n0\r\n\r\n",
        "0\r\ncontent-length: 1\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\nhost: b\r\n\r\n",
        "0\r\nauthorization: 1\r\n\r\n",
    ] {
        check(&chunked(body), true);
    }
}

#[test]
fn both_refuse_the_rest() {
    for head in [
        "GET  / HTTP/1.1\r\nhost: a",
        "GET / HTTP/1.2\r\nhost: a",
        "GET / HTTP/1.1\r\nhost : a",
        "GET / HTTP/1.1\r\nhost: a\r\n b",
        "GET / HTTP/1.1\r\nhost: a\rb",
    ] {
        check(&get(head), false);
    }
    for fields in [
        "content-length: +3",
        "content-length: 3, 3",
        "content-length: ",
        "content-length: 3\r\ncontent-length: 4",
        "content-length: 99999999999999999999",
        "transfer-encoding: identity",
        "transfer-encoding: xchunked",
    ] {
        check(&post(fields), false);
    }
    check(b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false);
    for body in [
        "0x1\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1;x\ny\r\na\r\n0\r\n\r\n",
        "0\r\nx : 1\r\n\r\n",
        "0\r\n x: 1\r\n\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\nx: \0\r\n\r\n",
        "0\r\nx: 1\n\r\n",
    ] {
        check(&chunked(body), false);
    }
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or_default();
    [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], payload].concat()
}

/// A header block of literals.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap_or_default()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

#[track_caller]
fn check_http2(wire: &[Vec<u8>], h2: bool) {
    assert_eq!(
        accepted_http2(&wire.concat()),
        (false, h2),
        "ours and h2's: {:?}",
        wire.concat().escape_ascii()
    );
}

#[test]
fn h2_takes_what_we_refuse() {
    let asks = |path| vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")];
    let with = |name, value| frame(1, 5, &block(&[asks("/"), vec![(name, value)]].concat()));
    assert_eq!(accepted_http2(&with("x", "y")), (true, true));
    let post = frame(1, 4, &block(&asks("/")));
    check_http2(&[post.clone(), frame(0, 0, b"x"), frame(1, 5, &block(&[(":method", "GET")]))], true);
    check_http2(&[with("x", " y")], true);
    check_http2(&[with("x", "y\t")], true);
    check_http2(&[frame(1, 5, &block(&asks("/#x")))], true);
    check_http2(&[frame(1, 5, &block(&[(":method", "GET"), (":scheme", "ftp"), (":path", "/")]))], true);
    let twice = [asks("/"), vec![("content-length", "1"), ("content-length", "1")]].concat();
    check_http2(&[frame(1, 4, &block(&twice)), frame(0, 1, b"x")], true);
    for (name, value) in [
        ("te", "gzip"),
        ("connection", "close"),
        ("X", "y"),
        (":x", "y"),
        ("x", "\n"),
        ("content-length", "x"),
    ] {
        check_http2(&[with(name, value)], false);
    }
}
