//! Client and bidirectional streams of JSON.

use std::time::Duration;

use crate::backend::{frames, http_body, message};
use crate::setup::Setup;
use crate::transcoded::wait;

#[test]
fn lines_and_arrays_become_messages() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let mut check = |content_type: &str, body: &str, count: usize| {
        let answer = client.post("/v1/sum", &format!("content-type: {content_type}\r\n"), body);
        let expect = if count == 0 { "{}".to_owned() } else { format!("{{\"count\":\"{count}\"}}") };
        assert_eq!((answer.status, answer.body), (200, expect), "{body}");
    };
    check("application/x-ndjson", "{\"text\":\"a\"}\n{\"count\":2}\n", 2);
    check("application/x-ndjson", "{}", 1);
    check("application/x-ndjson", "", 0);
    check("application/json", r#"[{"text":"a"}, {"text":"b"}, {}]"#, 3);
    check("application/json", r#"{"text":"a"}{"text":"b"}"#, 2);
    check("application/json", "[]", 0);
    let bodies = setup.backend.seen.bodies.lock().unwrap();
    assert_eq!(frames(&bodies[0]), [message("a", 0), message("", 2)]);
    assert_eq!(frames(&bodies[3]), [message("a", 0), message("b", 0), message("", 0)]);
}

#[test]
fn messages_may_be_cut_anywhere() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.begin("/v1/sum", "");
    for byte in "[{\"text\":\"ä\\\"]\"},{\"count\":\"7\"}]".chars() {
        client.send_chunk(&byte.to_string());
    }
    client.send_chunk("");
    assert_eq!(client.answer().unwrap().body, r#"{"count":"2"}"#);
    let bodies = setup.backend.seen.bodies.lock().unwrap();
    assert_eq!(frames(&bodies[0]), [message("ä\"]", 0), message("", 7)]);
}

#[test]
fn a_bad_message_is_a_400_that_says_where() {
    let setup = Setup::start();
    let check = |body: &str, expect: &str| {
        let answer = setup.connect().post("/v1/sum", "", body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        assert!(answer.body.contains(expect), "{body}: {}", answer.body);
    };
    check("{\"text\":\"a\"}\n{\"text\":5}", "text: expected a string, found 5 (at byte 21)");
    check("[{}, {\"nope\":1}]", "nope: test.v1.Message has no such field (at byte 7)");
    check("[{}, {}", "at byte 7");
    check("[{},]", "at byte 4");
    check("{} x", "at byte 3");
    let answer = setup.connect().post("/v1/sum", "content-type: text/csv\r\n", "a,b");
    assert_eq!(answer.status, 415);
}

#[test]
fn a_message_over_the_limit_is_413() {
    let setup = Setup::with(|options| options.limits.body_bytes = 1000);
    let mut client = setup.connect();
    let many = format!("{{\"text\":\"{}\"}}\n", "x".repeat(400)).repeat(20);
    assert_eq!(client.post("/v1/sum", "", &many).body, r#"{"count":"20"}"#, "a stream may be of any length");
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(2000));
    assert_eq!(client.post("/v1/sum", "", &long).status, 413);
}

#[test]
fn both_sides_of_a_json_stream_flow_at_the_same_time() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.begin("/v1/rooms/blue/chat", "content-type: application/x-ndjson\r\n");
    for word in ["one", "two"] {
        client.send_chunk(&format!("{{\"text\":\"{word}\"}}\n"));
        if word == "one" {
            assert_eq!(client.head().unwrap().status, 200);
        }
        let expect = format!("{{\"text\":\"{word}\",\"room\":\"blue\"}}\n");
        assert_eq!(client.chunk().unwrap(), expect, "the answer comes before the request has ended");
    }
    // A bad message in the middle of the answer is its last element.
    client.send_chunk("{\"text\":1}\n");
    let error = client.chunk().unwrap();
    assert!(error.starts_with(r#"{"error":{"code":3,"message":"text: expected a string"#), "{error}");
    assert!(error.contains("at byte 38"), "{error}");
    assert_eq!(client.chunk(), None);
    wait(&setup.backend.seen.reset);
}

#[test]
fn a_stream_without_a_body_is_one_message_of_path_and_query() {
    let setup = Setup::start();
    assert_eq!(setup.connect().get("/v1/chat/hi?count=3", "").body, "{\"text\":\"hi\",\"count\":\"3\"}\n");
}

#[test]
fn a_client_that_goes_away_in_its_stream_resets_the_upstream() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.begin("/v1/chat", "");
    client.send_chunk("{}");
    client.send_chunk("{}");
    assert_eq!(client.head().unwrap().status, 200);
    drop(client);
    wait(&setup.backend.seen.reset);
}

#[test]
fn a_slow_upstream_holds_the_client_back() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.begin("/v1/stall", "");
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(60_000));
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    let most = 64 << 20;
    let sent = client.send_until_full(chunk.as_bytes(), most);
    assert!(sent < most / 2, "{sent} bytes were taken for an upstream that reads nothing");
}

#[test]
fn a_raw_stream_is_sent_in_pieces_with_its_type_in_the_first() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.begin("/v1/upload/a.csv", "content-type: text/csv\r\n");
    client.send_chunk("a,b\n");
    client.send_chunk("");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"count":"1"}"#));
    assert_eq!(
        client.post("/v1/upload/empty", "", "").body,
        r#"{"count":"1"}"#,
        "the name goes without data"
    );
    let bodies = setup.backend.seen.bodies.lock().unwrap();
    let body = http_body("text/csv", b"a,b\n");
    let expect = [&[0x12, u8::try_from(body.len()).unwrap()], &body[..], b"\x0a\x05a.csv"].concat();
    assert_eq!(frames(&bodies[0]), [expect]);
}

#[test]
fn a_client_that_says_nothing_is_408_unless_it_may_be_waiting() {
    let setup = Setup::with(|options| options.timeouts.body = Duration::from_millis(100));
    let mut client = setup.connect();
    client.begin("/v1/sum", "");
    client.send_chunk("{}");
    assert_eq!(client.answer().unwrap().status, 408);
    // Here it may: the answer is a stream too.
    let mut waiting = setup.connect();
    waiting.begin("/v1/chat", "x-request-timeout: 400ms\r\n");
    assert_eq!(waiting.answer().unwrap().status, 504);
    // But not in the midst of a message.
    let mut cut = setup.connect();
    cut.begin("/v1/chat", "");
    cut.send_chunk("{\"text\":");
    assert_eq!(cut.answer().unwrap().status, 408);
}

#[test]
fn a_compressed_body_is_415() {
    let setup = Setup::start();
    for path in ["/v1/say", "/v1/raw", "/v1/sum"] {
        let answer = setup.connect().post(path, "content-encoding: gzip\r\n", "{}");
        assert_eq!(answer.status, 415, "{path}: {}", answer.body);
        assert!(
            answer.body.contains("content-encoding `gzip` is not taken: send it plain"),
            "{}",
            answer.body
        );
        assert_eq!(setup.connect().post(path, "content-encoding: identity\r\n", "{}").status, 200);
    }
}
