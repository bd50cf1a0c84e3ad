//! What is said of a request afterwards: to the operators in the access log, to the client in a header.

use aqueduct_telemetry::access::{AccessLog, AccessOptions, Format, Target, Template};

use crate::backend::{frame, message};
use crate::grpc;
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
