//! The conventions of grpc-gateway.

use aqueduct_gateway::Compat;

use crate::setup::Setup;

fn setup() -> Setup {
    Setup::with(|options| {
        options.routes[0].compat = Compat::GrpcGateway;
        options.routes[0].json = Compat::GrpcGateway.json();
    })
}

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

#[test]
fn json_prints_everything_and_ignores_what_it_does_not_know() {
    let setup = setup();
    let mut client = setup.connect();
    let answer = client.post("/v1/say", "", r#"{"text":"hi","nope":1}"#);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"text":"hi","count":"0","room":""}"#));
    assert_eq!(client.get("/v1/say/hi?nope=1", "").status, 200);
    let answer = client.request("PATCH", "/v1/messages/a", "", r#"{"count":"3"}"#);
    let expect = r#"{"message":{"text":"a","count":"3","room":""},"updateMask":"count"}"#;
    assert_eq!(answer.body, expect, "the mask is made from the body");
}

#[test]
fn streams_are_results_and_errors() {
    let setup = setup();
    let mut client = setup.connect();
    let answer = client.get("/v1/count/1", "accept: text/event-stream\r\n");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expect = "{\"result\":{\"text\":\"\",\"count\":\"1\",\"room\":\"\"}}\n";
    assert_eq!(
        answer.body,
        format!("{expect}{{\"error\":{{\"code\":9,\"message\":\"odd\",\"details\":[]}}}}\n")
    );
    // One that fails at once has its own status, and is an element all the same.
    let answer = client.get("/v1/count/101", "");
    let expect = "{\"error\":{\"code\":5,\"message\":\"none\",\"details\":[]}}\n";
    assert_eq!((answer.status, answer.body.as_str()), (404, expect));
}

#[test]
fn metadata_has_its_prefix_in_both_directions() {
    let setup = setup();
    let mut client = setup.connect();
    let answer = client.get("/v1/say/hi", "Grpc-Metadata-X-Tenant: 7\r\nuser-agent: curl\r\nx-other: 1\r\n");
    assert_eq!(answer.header("grpc-metadata-x-from"), Some("backend"));
    assert_eq!(answer.header("x-from"), None);
    let headers = setup.backend.seen.headers.lock().unwrap();
    assert_eq!(
        (&headers[0]["x-tenant"], &headers[0]["grpcgateway-user-agent"]),
        (&"7".parse().unwrap(), &"curl".parse().unwrap())
    );
    assert!(!headers[0].contains_key("x-other"));
}

#[test]
fn forms_are_taken_for_bodies_and_for_long_queries() {
    let setup = setup();
    let mut client = setup.connect();
    let expect = r#"{"text":"a b","count":"3","room":""}"#;
    assert_eq!(client.post("/v1/say", FORM, "text=a+b&count=3").body, expect);
    // There is no POST here: the form is the query of a GET.
    assert_eq!(client.post("/v1/say/a%20b", FORM, "count=3").body, expect);
    let put = format!("{FORM}x-http-method-override: put\r\n");
    assert_eq!(client.post("/v1/say/a%20b", &put, "count=3").body, expect);
    assert_eq!(Setup::start().connect().post("/v1/say", FORM, "text=a").status, 415, "only where asked for");
}

#[test]
fn json_is_read_whatever_the_client_calls_it() {
    let setup = setup();
    let mut client = setup.connect();
    let expect = r#"{"text":"hi","count":"0","room":""}"#;
    // `curl -d` calls it a form, and a script of a page plain text.
    for content_type in ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8", "application/json"]
    {
        let header = format!("content-type: {content_type}\r\n");
        assert_eq!(client.post("/v1/say", &header, " {\"text\":\"hi\"}").body, expect, "{content_type}");
        let answer = client.post("/v1/sum", &header, "{\"text\":\"a\"}{}");
        assert_eq!(answer.body, r#"{"text":"","count":"2","room":""}"#, "{content_type}");
        let answer = client.post("/v1/say", &header, "{\"text\":");
        assert_eq!(answer.status, 400, "{content_type}");
    }
}

#[test]
fn a_bad_timeout_is_400_and_a_missing_login_a_challenge() {
    let setup = setup();
    let mut client = setup.connect();
    assert_eq!(client.get("/v1/say/x", "grpc-timeout: 3x\r\n").status, 400);
    let answer = client.post("/v1/say", "", r#"{"text":"status 16 Bearer"}"#);
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
}

#[test]
fn what_comes_behind_an_answer_comes_as_trailers_to_those_who_read_them() {
    let setup = setup();
    let mut client = setup.connect();
    let told = client.post("/v1/say", "te: trailers\r\n", r#"{"text":"trailing"}"#);
    assert_eq!((told.status, told.header("trailer")), (200, Some("grpc-trailer-x-behind")));
    assert_eq!(client.trailers(), [("grpc-trailer-x-behind".to_owned(), "it".to_owned())]);
    let untold = client.post("/v1/say", "", r#"{"text":"trailing"}"#);
    assert_eq!((untold.header("trailer"), untold.header("grpc-metadata-x-behind")), (None, None));
    // Without compat they go before, where everybody reads them.
    let plain = Setup::start();
    let answer = plain.connect().post("/v1/say", "", r#"{"text":"trailing"}"#);
    assert_eq!(answer.header("x-behind"), Some("it"));
}
