//! `google.api.HttpBody`: bodies of any type, both ways.

use crate::setup::Setup;

#[test]
fn any_body_goes_through_with_its_type() {
    let setup = Setup::start();
    let mut client = setup.connect();
    for (content_type, body) in
        [("image/svg+xml", "<svg/>"), ("application/json", "[1, 2"), ("application/octet-stream", "\0\r\n")]
    {
        let answer = client.post("/v1/raw", &format!("content-type: {content_type}\r\n"), body);
        let found = (answer.status, answer.header("content-type"), answer.body.as_str());
        assert_eq!(found, (200, Some(content_type), body));
    }
    let answer = client.post("/v1/raw", "", "x");
    assert_eq!((answer.header("content-type"), answer.body.as_str()), (None, "x"), "no type, no claim");
    let answer = client.post("/v1/raw?x=1", "", "x");
    assert_eq!(answer.status, 400, "{}", answer.body);
}

#[test]
fn a_raw_stream_is_joined_and_a_broken_one_breaks_off() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let answer = client.get("/v1/download/4", "accept: text/csv\r\n");
    let found = (answer.status, answer.header("content-type"), answer.body.as_str());
    assert_eq!(found, (200, Some("text/csv"), "1,2,3,4,"));
    // An error in the middle must not look like the end.
    client.send(b"GET /v1/download/3 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    let mut body = String::new();
    while let Some(chunk) = client.chunk() {
        body.push_str(&chunk);
    }
    assert_eq!(body, "1,2,3,");
    assert!(client.is_closed(), "without the last chunk");
    assert_eq!(
        setup.metric(
            r#"aqueduct_gateway_requests_total{method="test.v1.Echo/Download",code="FAILED_PRECONDITION"}"#
        ),
        1
    );
}
