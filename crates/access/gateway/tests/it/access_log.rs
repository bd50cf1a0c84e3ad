//! What is said of a request afterwards: to the operators in the access log, to the client in a header.

use aqueduct_telemetry::access::{AccessLog, AccessOptions, Format, Target, Template};

use crate::backend::{frame, message};
use crate::grpc;
use crate::raw_http2::{
    CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RESET, Raw, block, frame as http2, request,
};
use crate::setup::Setup;

/// What a template tells of some requests, a line each.
fn logged(template: &str, requests: impl FnOnce(&Setup)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let format = Format::Template(Template::parse(template).unwrap());
    let options = AccessOptions { target: Target::File(file.clone()), format, ..AccessOptions::default() };
    let (log, writer) = AccessLog::open(&options).unwrap();
    let setup = Setup::observed(Some(log), |_| {});
    requests(&setup);
    drop(setup);
    writer.close();
    std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bodies_of_every_kind_are_counted() {
    let lines = logged("{method} {path} {status} {request_bytes} {reject}", |setup| {
        let mut client = setup.connect();
        client.get("/v1/say/hi", "");
        client.post("/v1/say", "", r#"{"text":"hi"}"#);
        client.post("/v1/sum", "", "{}\n{}\n");
        client.post("/v1/say", "content-type: text/plain\r\n", "no json");
        client.get("/nowhere", "");
        client.begin("/v1/upload/x", "content-type: text/plain\r\n");
        client.send_chunk("abc");
        client.send_chunk("de");
        client.send_chunk("");
        client.answer().unwrap();
        let web = "content-type: application/grpc-web-text\r\n";
        client.post("/test.v1.Echo/Say", web, "AAAAAAA=");
    });
    assert_eq!(
        lines,
        [
            "GET /v1/say/hi 200 0 -",
            "POST /v1/say 200 13 -",
            "POST /v1/sum 200 6 -",
            "POST /v1/say 415 0 transcode/content_type",
            "GET /nowhere 404 0 route/no_route",
            "POST /v1/upload/x 200 5 -",
            "POST /test.v1.Echo/Say 200 8 -",
        ]
    );
}

#[test]
fn what_passes_through_is_counted() {
    let sent = frame(&message("hi", 3));
    let expect = format!("POST /test.v1.Echo/Say 200 {0} {0} 0", sent.len());
    let lines = logged("{method} {path} {status} {request_bytes} {response_bytes} {grpc_status}", |setup| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = grpc::connect(setup).await;
            let head = grpc::request("/test.v1.Echo/Say").body(()).unwrap();
            grpc::call(&mut client, head, sent).await;
        });
    });
    assert_eq!(lines, [expect]);
}

#[tokio::test]
async fn a_refusal_says_where_and_why_if_it_may() {
    for told in [false, true] {
        let setup = Setup::with(|options| options.refusal_header = told);
        let expect = |reject| told.then_some(reject);
        let answer = setup.connect().get("/nowhere", "");
        assert_eq!(answer.header("x-aqueduct-reject"), expect("route/no_route"));
        let answer = setup.connect().get("/v1/say/x", "grpc-timeout: soon\r\n");
        assert_eq!(answer.header("x-aqueduct-reject"), expect("deadline/timeout"));
        let answer = setup.connect().get("/v1/say/status%205", "");
        assert_eq!((answer.status, answer.header("x-aqueduct-reject")), (404, None), "the upstream's own");
        let mut client = grpc::connect(&setup).await;
        let head = grpc::request("/test.v1.Echo/Nothing").body(()).unwrap();
        let (_, status) = grpc::call(&mut client, head, frame(b"")).await;
        let found = status.get("x-aqueduct-reject").map(|value| value.to_str().unwrap());
        assert_eq!(found, expect("route/no_route"));
    }
}

/// Over HTTP/2 they have no answer but a reset, or a GOAWAY.
#[test]
fn what_http2_refuses_is_logged_with_its_reason() {
    let lines = logged("{status} {reject}", |setup| {
        let mut client = Raw::open(setup.address);
        // A connection-specific field; no method; more streams than there may be; and then a bomb of empty pieces.
        let mut fields = request("GET", "/v1/say/x");
        fields.push(("connection", "close"));
        assert!(client.send(&http2(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))));
        assert!(client.find(RESET).is_some());
        assert!(client.send(&http2(HEADERS, END_STREAM | END_HEADERS, 3, &block(&fields[1..]))));
        assert!(client.find(RESET).is_some());
        let begun = block(&request("POST", "/v1/say"));
        let many = (0..=256_u32).map(|n| http2(HEADERS, END_HEADERS, 5 + 2 * n, &begun));
        assert!(client.send(&many.collect::<Vec<_>>().concat()));
        assert!(client.find(RESET).is_some());
        assert!(client.send(&http2(HEADERS, 0, 10_001, &begun)));
        for _ in 0..1000 {
            if !client.send(&http2(CONTINUATION, 0, 10_001, &[])) {
                break;
            }
        }
        assert!(client.find(GOAWAY).is_some());
    });
    let count = |line: &str| lines.iter().filter(|found| *found == line).count();
    assert_eq!(count("400 normalize/malformed"), 2, "{lines:?}");
    assert_eq!(count("429 normalize/streams"), 1, "{lines:?}");
    assert_eq!(count("429 normalize/flood"), 1, "{lines:?}");
}
