//! HTTP/1.1 to the letter: what is accepted, what is refused and how, and when a connection ends.

use std::net::Shutdown;
use std::time::Duration;

use crate::setup::Setup;
use crate::transcoded::wait;

/// Sends the bytes on a connection of their own. The answer has this status; after a refusal the connection is closed, and the
/// refusal is counted under its reason.
#[track_caller]
fn check(setup: &Setup, bytes: impl AsRef<[u8]>, status: u16, reason: &str) {
    let shown: String = bytes.as_ref().iter().take(200).map(|byte| byte.escape_ascii().to_string()).collect();
    let metric = format!(r#"aqueduct_gateway_rejects_total{{stage="normalize",reason="{reason}"}}"#);
    let before = setup.metric(&metric);
    let mut client = setup.connect();
    client.try_send(bytes.as_ref());
    let answer = client.answer();
    assert!(answer.is_some(), "no answer to {shown}");
    let answer = answer.unwrap();
    assert_eq!(answer.status, status, "{shown}: {}", answer.body);
    if reason.is_empty() {
        // The connection lives on.
        assert_eq!(client.get("/v1/say/again", "").status, 200, "{shown}");
        return;
    }
    assert!(answer.body.starts_with(r#"{"code":"#), "{shown}: {}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{shown}");
    assert_eq!(answer.header("connection"), Some("close"), "{shown}");
    assert!(client.is_closed(), "{shown}");
    assert_eq!(setup.metric(&metric), before + 1, "{shown}: {}", answer.body);
}

/// A request that has this line and these fields, `Host` not among them.
fn head(line: &str, fields: &str) -> String {
    format!("{line}\r\n{fields}\r\n")
}

#[test]
fn hosts_are_there_once_and_valid() {
    let setup = Setup::start();
    let with = |hosts: &str| head("GET /v1/say/x HTTP/1.1", hosts);
    for good in ["a", "a:80", "a.b-c_d~", "[::1]:8080", "127.0.0.1", "%41", "a:"] {
        check(&setup, with(&format!("host: {good}\r\n")), 200, "");
        check(&setup, with(&format!("HOST:\t{good} \t\r\n")), 200, "");
    }
    check(&setup, with(""), 400, "host");
    check(&setup, with("host: a\r\nhost: a\r\n"), 400, "host");
    check(&setup, with("host: a\r\nx: 1\r\nHost: b\r\n"), 400, "host");
    for bad in [
        "", "a,b", "a, b", "u@a", "u:p@a", "a/b", "a b", "a:b", "a:65536", "::1", "[::1", "a?b", "a#b",
        "a\\b", "<a>", "%4", "a:80:80", "[::1]x",
    ] {
        check(&setup, with(&format!("host: {bad}\r\n")), 400, "host");
    }
    check(&setup, b"GET /v1/say/x HTTP/1.1\r\nhost: \xc3\xa9\r\n\r\n", 400, "host");
    // HTTP/1.0 need not say one, but no nonsense either.
    check(&setup, head("GET /v1/say/x HTTP/1.0", "connection: keep-alive\r\n"), 200, "");
    check(&setup, head("GET /v1/say/x HTTP/1.0", "host: a,b\r\n"), 400, "host");
    check(&setup, head("GET /v1/say/x HTTP/1.0", "host: a\r\nhost: a\r\n"), 400, "host");
}

#[test]
fn targets_are_paths_or_absolute() {
    let setup = Setup::start();
    let with = |line: &str| head(&format!("{line} HTTP/1.1"), "host: a\r\n");
    for good in [
        "GET /v1/say/x",
        "GET /v1/say/x?count=1",
        "GET http://a/v1/say/x",
        "GET HTTP://a:80/v1/say/x",
        "GET https://[::1]/v1/say/x",
        "GET /v1/say/%C3%A9",
        "GET /v1/say/a:b@c!$&'()*+,;=~",
    ] {
        check(&setup, with(good), 200, "");
    }
    check(&setup, with("GET http://a"), 404, "");
    check(&setup, with("GET http://a?x=y"), 404, "");
    check(&setup, with("GET //v1/say/x"), 404, "");
    for bad in [
        "GET *",
        "POST *",
        "GET **",
        "GET v1/say/x",
        "GET /v1/say/x#y",
        "GET http://a/v1/say/x#y",
        "GET a:80",
        "GET ftp://a/",
        "GET ?x",
        "GET http:/a/",
        "GET /v1/say/<x>",
        "OPTIONS *x",
    ] {
        check(&setup, with(bad), 400, "target");
    }
    for bad in [
        "GET http:///v1/say/x",
        "GET http://u@a/v1/say/x",
        "GET http://a,b/v1/say/x",
        "GET http://a:x/",
        "GET http://",
    ] {
        check(&setup, with(bad), 400, "host");
    }
    check(&setup, head("GET http://a/v1/say/x HTTP/1.1", ""), 400, "host");
    check(&setup, head("GET http://a/v1/say/x HTTP/1.1", "host: b,c\r\n"), 400, "host");
    check(&setup, "GET /v1/say/é HTTP/1.1\r\nhost: a\r\n\r\n", 400, "target");
    check(&setup, b"GET /v1/say/\xff HTTP/1.1\r\nhost: a\r\n\r\n", 400, "request_line");
    for control in ["\0", "\x01", "\t", "\x0b", "\x7f"] {
        let line = format!("GET /v1/say/{control}x HTTP/1.1");
        check(&setup, head(&line, "host: a\r\n"), 400, "request_line");
    }
    check(&setup, with("CONNECT a:80"), 400, "connect");
    check(&setup, with("CONNECT /v1/say/x"), 400, "connect");
}

#[test]
fn options_of_everything_names_the_methods() {
    let setup = Setup::start();
    for line in ["OPTIONS * HTTP/1.1", "OPTIONS http://a HTTP/1.1"] {
        let mut client = setup.connect();
        client.send(head(line, "host: a\r\n").as_bytes());
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("allow"), Some("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"));
        assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), (None, None));
        assert_eq!(client.get("/v1/say/x", "").status, 200);
    }
}

#[test]
fn request_lines_follow_the_grammar() {
    let setup = Setup::start();
    let line = |line: &str| format!("{line}\r\nhost: a\r\n\r\n");
    for bad in [
        "nonsense",
        "GET",
        "GET /v1/say/x",
        "GET  /v1/say/x HTTP/1.1",
        "GET /v1/say/x  HTTP/1.1",
        "GET\t/v1/say/x HTTP/1.1",
        " GET /v1/say/x HTTP/1.1",
        "G@T /v1/say/x HTTP/1.1",
        "GET /v1/say/x http/1.1",
        "GET /v1/say/x HTTP/11",
        "GET /v1/say/x HTTP/1.",
        "GET /v1/say/x TTP/1.1",
        "GET /v1/say/x y HTTP/1.1",
        "\x16\x03\x01",
    ] {
        check(&setup, line(bad), 400, "request_line");
    }
    for bad in ["GET /v1/say/x HTTP/1.1 ", "GET /v1/say/x HTTP/1.1x", "GET /v1/say/x HTTP/1.1\r"] {
        check(&setup, line(bad), 400, "line_end");
    }
    for other in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/9.9"] {
        check(&setup, line(&format!("GET /v1/say/x {other}")), 505, "version");
    }
}

#[test]
fn fields_follow_the_grammar() {
    let setup = Setup::start();
    let fields = |fields: &str| format!("GET /v1/say/x HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    for good in [
        "x: 1\r\n",
        "x:1\r\n",
        "x:\r\n",
        "x: \t 1 2\t\r\n",
        "x: é\r\n",
        "x!#$%&'*+-.^_`|~1: y\r\n",
        "upgrade: h2c\r\nconnection: upgrade\r\n",
    ] {
        check(&setup, fields(good), 200, "");
    }
    for bad in [
        "x : 1\r\n",
        "x\t: 1\r\n",
        " x: 1\r\n",
        "\tx: 1\r\n",
        ": 1\r\n",
        "x\r\n",
        "x y: 1\r\n",
        "x: 1\r\n 2\r\n",
        "x: 1\r\n\t2\r\n",
        "x:\r\n 2\r\n",
        "x: \0\r\n",
        "x: \x01\r\n",
        "x: \x7f\r\n",
        "x\0: 1\r\n",
        "é: 1\r\n",
        "(x): 1\r\n",
        "x: 1\r2\r\n",
        "x: 1\r\r\n",
    ] {
        check(&setup, fields(bad), 400, "header");
    }
    // A fold in the first field, where it would join the request line.
    check(&setup, "GET /v1/say/x HTTP/1.1\r\n host: a\r\n\r\n", 400, "header");
    for bad in [
        "GET /v1/say/x HTTP/1.1\nhost: a\r\n\r\n",
        "GET /v1/say/x HTTP/1.1\r\nhost: a\n\r\n",
        "GET /v1/say/x HTTP/1.1\r\nhost: a\r\n\n",
        "GET /v1/say/x HTTP/1.1\r\nhost: a\n\n",
        "GET /v1/say/x HTTP/1.1\r\nhost: a\r\n\r: 1\r\n\r\n",
        "GET /v1/say/x HTTP/1.1\r\nhost: a\r\nx: 1\ny: 2\r\n\r\n",
    ] {
        check(&setup, bad, 400, "line_end");
    }
    check(&setup, "GET /v1/say/x HTTP/1.1\rhost: a\r\n\r\n", 400, "line_end");
}

#[test]
fn one_empty_line_before_a_request_is_forgiven() {
    let setup = Setup::start();
    check(&setup, "\r\nGET /v1/say/x HTTP/1.1\r\nhost: a\r\n\r\n", 200, "");
    for bad in ["\r\n\r\n", "\n", "\r\n\n", "\r\r\n", "\r\n "] {
        check(&setup, format!("{bad}GET /v1/say/x HTTP/1.1\r\nhost: a\r\n\r\n"), 400, "request_line");
    }
}

#[test]
fn lengths_are_said_once_and_in_digits() {
    let setup = Setup::start();
    let with = |fields: &str, body: &str| format!("POST /v1/say HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}");
    check(&setup, with("content-length: 2\r\n", "{}"), 200, "");
    check(&setup, with("Content-Length: 0002\r\n", "{}"), 200, "");
    check(&setup, with("content-length: 0\r\n", ""), 200, "");
    check(&setup, with("", ""), 200, "");
    for bad in [
        "+2",
        "-2",
        "2,2",
        "2, 2",
        "0x2",
        "2 2",
        "2.0",
        "",
        "２",
        "18446744073709551616",
        "99999999999999999999999",
        "2;",
        "two",
    ] {
        check(&setup, with(&format!("content-length: {bad}\r\n"), "{}"), 400, "content_length");
    }
    for twice in ["content-length: 2\r\ncontent-length: 2\r\n", "content-length: 2\r\nContent-Length: 3\r\n"]
    {
        check(&setup, with(twice, "{}"), 400, "content_length");
    }
    let chunked = "2\r\n{}\r\n0\r\n\r\n";
    check(&setup, with("transfer-encoding: chunked\r\n", chunked), 200, "");
    check(&setup, with("Transfer-Encoding:\tChunked \r\n", chunked), 200, "");
    for both in [
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 12\r\n",
    ] {
        check(&setup, with(both, chunked), 400, "transfer_encoding");
    }
    for bad in [
        "identity",
        "gzip",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,chunked",
        "",
        ",chunked",
        "chunked,",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "gzip chunked",
        "chunked\r\ntransfer-encoding: chunked",
        "chunked\r\ntransfer-encoding: identity",
        "\x0bchunked",
    ] {
        let fields = format!("transfer-encoding: {bad}\r\n");
        let reason = if bad.starts_with('\x0b') { "header" } else { "transfer_encoding" };
        check(&setup, with(&fields, chunked), 400, reason);
    }
    for unknown in ["gzip, chunked", "gzip\r\ntransfer-encoding: chunked", "x;y=z, chunked"] {
        check(&setup, with(&format!("transfer-encoding: {unknown}\r\n"), chunked), 501, "transfer_encoding");
    }
    let old = "POST /v1/say HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    check(&setup, old, 400, "transfer_encoding");
}

#[test]
fn heads_are_bounded() {
    let setup = Setup::with(|options| {
        options.limits.head_bytes = 8192;
        options.limits.headers = 10;
    });
    let fields = |count| "x: 1\r\n".repeat(count);
    check(&setup, head("GET /v1/say/x HTTP/1.1", &format!("host: a\r\n{}", fields(9))), 200, "");
    check(
        &setup,
        head("GET /v1/say/x HTTP/1.1", &format!("host: a\r\n{}", fields(10))),
        431,
        "head_too_large",
    );
    check(&setup, format!("GET /v1/say/x HTTP/1.1\r\n{}", fields(12)), 431, "head_too_large");
    let rest = "GET /v1/say/x HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n".len();
    let long =
        |bytes| head("GET /v1/say/x HTTP/1.1", &format!("host: a\r\nx: {}\r\n", "y".repeat(bytes - rest)));
    check(&setup, long(8192), 200, "");
    check(&setup, long(8193), 431, "head_too_large");
    check(&setup, long(1 << 20), 431, "head_too_large");
    let target = |bytes: usize| head(&format!("GET /v1/say/x?{} HTTP/1.1", "y".repeat(bytes)), "host: a\r\n");
    check(&setup, target(9000), 414, "uri_too_long");
    check(&setup, target(1 << 20), 414, "uri_too_long");
    let wide = Setup::with(|options| options.limits.head_bytes = 1 << 20);
    check(&wide, target(70_000), 414, "uri_too_long");
    let name = format!("host: a\r\n{}: 1\r\n", "n".repeat(70_000));
    check(&wide, head("GET /v1/say/x HTTP/1.1", &name), 431, "head_too_large");
}

#[test]
fn expectations_are_met_or_refused() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send(b"POST /v1/say HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 100);
    client.send(b"{}");
    assert_eq!(client.answer().unwrap().status, 200);
    // Who sends its body at once needs no permission.
    client.send(b"POST /v1/say HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}");
    assert_eq!(client.answer().unwrap().status, 200);
    // A body that nobody wants is not asked for, and where the next request would begin nobody knows.
    client.send(b"POST /nowhere HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert!(client.is_closed());
    let old = "POST /v1/say HTTP/1.0\r\nexpect: 100-continue\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}";
    check(&setup, old, 200, "");
    let get = |value: &str| head("GET /v1/say/x HTTP/1.1", &format!("host: a\r\nexpect: {value}\r\n"));
    check(&setup, get("100-continue"), 200, "");
    for other in ["", "200-ok", "100-continue, x", "100-continue\r\nexpect: x"] {
        check(&setup, get(other), 417, "expect");
    }
}

#[test]
fn chunks_are_read_by_the_grammar() {
    let setup = Setup::start();
    let answer = |body: &str| {
        let mut client = setup.connect();
        client.begin("/v1/say", "");
        client.send(body.as_bytes());
        let answer = client.answer().unwrap();
        if answer.status == 200 {
            assert_eq!(answer.body, r#"{"text":"a"}"#, "{body}");
            assert_eq!(client.get("/v1/say/x", "").status, 200, "{body}");
        } else {
            assert!(answer.body.starts_with(r#"{"code":3,"#), "{}", answer.body);
            assert_eq!(answer.header("connection"), Some("close"), "{body}");
            assert!(client.is_closed(), "{body}");
        }
        answer.status
    };
    let json = "{\"text\":\"a\"}";
    for good in ["c\r\n", "00C\r\n", "c;a=b;c=\"d e\"\r\n"] {
        assert_eq!(answer(&format!("{good}{json}\r\n0\r\n\r\n")), 200, "{good}");
    }
    assert_eq!(answer("6\r\n{\"text\r\n6\r\n\":\"a\"}\r\n0\r\nx-sum: 1\r\n\r\n"), 200);
    for bad in [
        "c \r\n",
        " c\r\n",
        "0xc\r\n",
        "+c\r\n",
        "c\n",
        "c;\r\n",
        "c;\x01\r\n",
        "c;a=\r\n",
        "c ;a\r\n",
        "-1\r\n",
        "\r\n",
        "0000000000000000c\r\n",
        "c\t\r\n",
        "c;a\n",
    ] {
        assert_eq!(answer(&format!("{bad}{json}\r\n0\r\n\r\n")), 400, "{}", bad.escape_debug());
    }
    for bad in ["\n0\r\n\r\n", "x\r\n0\r\n\r\n", "0\r\n\r\n", "\r\n0 \r\n\r\n", "\r\n0\r\n\n", "\r\n0\n\r\n"]
    {
        assert_eq!(answer(&format!("c\r\n{json}{bad}")), 400, "{}", bad.escape_debug());
    }
    for trailer in [
        "content-length: 1",
        "Transfer-Encoding: chunked",
        "host: b",
        "x : 1",
        " x: 1",
        "x",
        "x: \0",
        "authorization: x",
    ] {
        assert_eq!(answer(&format!("c\r\n{json}\r\n0\r\n{trailer}\r\n\r\n")), 400, "{trailer}");
    }
    let many = "x: 1\r\n".repeat(100);
    assert_eq!(answer(&format!("c\r\n{json}\r\n0\r\n{many}\r\n")), 400);
    let long = "x".repeat(10_000);
    assert_eq!(answer(&format!("c;{long}\r\n{json}\r\n0\r\n\r\n")), 400);
}

#[test]
fn requests_may_be_sent_before_answers_are_read() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let mut all = String::new();
    for number in 0..50 {
        all.extend(["GET /v1/say/", &number.to_string(), " HTTP/1.1\r\nhost: a\r\n\r\n"]);
        all += "POST /v1/say HTTP/1.1\r\nhost: a\r\ncontent-length: 13\r\n\r\n{\"text\":\"p!\"}";
        all += "POST /v1/say HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\nb\r\n\"text\":\"c\"}\r\n0\r\n\r\n";
    }
    client.send(all.as_bytes());
    for number in 0..50 {
        assert_eq!(client.answer().unwrap().body, format!("{{\"text\":\"{number}\"}}"));
        assert_eq!(client.answer().unwrap().body, "{\"text\":\"p!\"}");
        assert_eq!(client.answer().unwrap().body, "{\"text\":\"c\"}");
    }
    // What is behind a refusal is not read.
    client.send(b"GET /v1/say/1 HTTP/1.1\r\nhost: a\r\n\r\nGET /v1/say/2 HTTP/1.1\r\n\r\nGET /v1/say/3 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap().body, "{\"text\":\"1\"}");
    assert_eq!(client.answer().unwrap().status, 400);
    assert!(client.is_closed());
    assert_eq!(setup.backend.seen.headers.lock().unwrap().len(), 151);
}

#[test]
fn no_more_is_read_than_is_answered() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send(b"GET /v1/say/wait HTTP/1.1\r\nhost: a\r\n\r\n");
    wait(&setup.backend.seen.waiting);
    let next = format!("GET /v1/say/x HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(30_000));
    let most = 64 << 20;
    let sent = client.send_until_full(next.as_bytes(), most);
    assert!(sent < most / 2, "{sent} bytes were taken behind a request in flight");
    setup.backend.seen.go.notify_one();
    assert_eq!(client.answer().unwrap().body, r#"{"text":"wait"}"#);
}

#[test]
fn connections_go_on_as_their_versions_say() {
    let setup = Setup::start();
    let answer = |version: &str, connection: &str| {
        let mut client = setup.connect();
        client.send(
            head(&format!("GET /v1/say/x HTTP/{version}"), &format!("host: a\r\n{connection}")).as_bytes(),
        );
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 200);
        let said = answer.header("connection").map(str::to_owned);
        let goes_on = said.as_deref() != Some("close");
        if goes_on {
            assert_eq!(client.get("/v1/say/y", "").status, 200);
        } else {
            assert!(client.is_closed());
        }
        said
    };
    assert_eq!(answer("1.1", ""), None);
    assert_eq!(answer("1.1", "connection: keep-alive\r\n"), None);
    assert_eq!(answer("1.1", "connection: close\r\n").as_deref(), Some("close"));
    assert_eq!(answer("1.1", "connection: keep-alive, CLOSE\r\n").as_deref(), Some("close"));
    assert_eq!(answer("1.1", "connection: x\r\nconnection: close\r\n").as_deref(), Some("close"));
    assert_eq!(answer("1.0", "").as_deref(), Some("close"));
    assert_eq!(answer("1.0", "connection: Keep-Alive\r\n").as_deref(), Some("keep-alive"));
    // To HTTP/1.0 a stream ends with its connection.
    let mut client = setup.connect();
    client.send(head("GET /v1/count/2 HTTP/1.0", "connection: keep-alive\r\n").as_bytes());
    let stream = client.head().unwrap();
    let found =
        (stream.header("connection"), stream.header("transfer-encoding"), stream.header("content-length"));
    assert_eq!(found, (Some("close"), None, None));
    assert_eq!(client.rest(), "{\"count\":\"1\"}\n{\"count\":\"2\"}\n");
}

#[test]
fn answers_are_dated_and_measured() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let answer = client.get("/v1/say/hi", "");
    assert_eq!(answer.header("content-length"), Some("13"));
    let date = answer.header("date").unwrap();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    let text = "x".repeat(100_000);
    let long = client.post("/v1/say", "", &format!("{{\"text\":\"{text}\"}}"));
    assert_eq!(long.body, format!("{{\"text\":\"{text}\"}}"), "longer than any buffer");
    // HEAD of a stream, which has no length.
    client.send(b"HEAD /v1/count/2 HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, None));
    assert_eq!(client.get("/v1/say/hi", "").body, r#"{"text":"hi"}"#);
}

#[test]
fn a_body_that_nobody_reads_is_passed_over_or_ends_the_connection() {
    let setup = Setup::start();
    let mut client = setup.connect();
    assert_eq!(client.post("/nowhere", "", &"x".repeat(1000)).status, 404);
    assert_eq!(client.get("/v1/say/x", "").status, 200, "a little is passed over");
    // Its rest comes after the answer.
    client.send(b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (404, None));
    client.send(b"67890");
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    client.send(b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    // The answer is there, whatever the client goes on sending.
    let mut client = setup.connect();
    client.send(b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n");
    client.send(&vec![b'x'; 500_000]);
    assert_eq!(client.answer().unwrap().status, 404);
    assert!(client.is_closed());
}

#[test]
fn a_refusal_is_read_by_whoever_goes_on_sending() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send(&[b"GET / HTTP/1.1\r\n\r\n".as_slice(), &vec![b'x'; 300_000]].concat());
    assert_eq!(client.answer().unwrap().status, 400);
    // The end, and not a reset, which some systems let go before what came earlier.
    assert_eq!(client.rest(), "");
}

#[test]
fn a_client_that_closes_its_side_is_gone() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send(b"GET /v1/say/hang HTTP/1.1\r\nhost: a\r\n\r\n");
    wait(&setup.backend.seen.waiting);
    client.shutdown(Shutdown::Write);
    wait(&setup.backend.seen.reset);
    assert!(client.is_closed());
    // Within a body it is told what is missing.
    let mut client = setup.connect();
    client.send(b"POST /v1/say HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{");
    client.shutdown(Shutdown::Write);
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
    // A stream ends with it too.
    let mut client = setup.connect();
    client.begin("/v1/chat", "");
    client.send_chunk("{}");
    assert_eq!(client.head().unwrap().status, 200);
    client.shutdown(Shutdown::Write);
    wait(&setup.backend.seen.reset);
}

#[test]
fn a_long_upload_arrives_as_it_was_sent() {
    let setup = Setup::with(|options| options.limits.body_bytes = 16 << 20);
    let mut client = setup.connect();
    let body: String = (0..2_000_000u32).map(|number| char::from(b'a' + (number % 23) as u8)).collect();
    let answer = client.post("/v1/raw", "content-type: text/plain\r\n", &body);
    assert!(answer.status == 200 && answer.body == body);
    // The same in chunks of many sizes.
    client.begin("/v1/raw", "content-type: text/plain\r\n");
    let mut rest = body.as_str();
    for size in (1..).map(|size| size * 7919 % 100_003 + 1) {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        client.send_chunk(piece);
        rest = behind;
        if piece.is_empty() {
            break;
        }
    }
    let answer = client.answer().unwrap();
    assert!(answer.status == 200 && answer.body == body);
}

#[test]
fn heads_and_bodies_may_come_byte_by_byte() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let request = "\r\nPOST /v1/say HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nc;x=\"y\"\r\n{\"text\":\"a\"}\r\n0\r\nt: 1\r\n\r\n";
    for byte in request.bytes() {
        client.send(&[byte]);
    }
    assert_eq!(client.answer().unwrap().body, r#"{"text":"a"}"#);
}

#[test]
fn an_answer_that_is_not_taken_is_given_up() {
    let setup = Setup::with(|options| options.timeouts.write = Duration::from_millis(200));
    let mut client = setup.connect();
    client.send(b"GET /v1/count/120 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    // Nothing is read from here on.
    wait(&setup.backend.seen.reset);
}

#[test]
fn a_drain_serves_one_more_request_of_an_idle_connection() {
    let mut setup = Setup::start();
    let mut idle = setup.connect();
    assert_eq!(idle.get("/v1/say/x", "").header("connection"), None);
    let mut fresh = setup.connect();
    let mut quiet = setup.connect();
    assert_eq!(quiet.get("/v1/say/x", "").status, 200);
    let address = setup.address;
    let client = std::thread::spawn(move || {
        // The drain has begun when nobody listens any more.
        while std::net::TcpStream::connect(address).is_ok() {
            std::thread::yield_now();
        }
        for client in [&mut idle, &mut fresh] {
            let answer = client.get("/v1/say/y", "");
            assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
            assert!(client.is_closed());
        }
        assert!(quiet.is_closed(), "who says nothing is let go");
    });
    assert_eq!(setup.drain(), 0);
    client.join().unwrap();
}

#[test]
fn a_drain_waits_for_a_head_that_has_begun_to_come() {
    // A connection without a head is let go after a quarter of a second.
    let mut setup = Setup::with(|options| options.timeouts.drain = Duration::from_secs(1));
    let mut before = setup.connect();
    before.send(b"GET /v1/say/x HTTP/1.1\r\n");
    let mut first = setup.connect();
    first.send(b"G");
    let mut after = setup.connect();
    let mut quiet = setup.connect();
    for client in [&mut after, &mut quiet] {
        assert_eq!(client.get("/v1/say/x", "").status, 200);
    }
    let address = setup.address;
    let client = std::thread::spawn(move || {
        while std::net::TcpStream::connect(address).is_ok() {
            std::thread::yield_now();
        }
        after.send(b"GET /v1/say/x HTTP/1.1\r\nhost");
        assert!(quiet.is_closed(), "the grace is over");
        before.send(b"host: a\r\n\r\n");
        first.send(b"ET /v1/say/x HTTP/1.1\r\nhost: a\r\n\r\n");
        after.send(b": a\r\n\r\n");
        for client in [&mut before, &mut first, &mut after] {
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        }
    });
    assert_eq!(setup.drain(), 0);
    client.join().unwrap();
}
