//! Who a client is taken for, what goes on of what it says of itself, and which path it asks for.

use aqueduct_gateway::{LimitKey, Options, RateLimit};
use http::Request;

use crate::grpc;
use crate::setup::Setup;

fn trusting(change: impl FnOnce(&mut Options)) -> Setup {
    Setup::with(|options| {
        options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        options.request_ids = true;
        change(options);
    })
}

/// A header of the call that the backend saw last.
fn seen(setup: &Setup, name: &str) -> Option<String> {
    let headers = setup.backend.seen.headers.lock().unwrap();
    Some(headers.last()?.get(name)?.to_str().unwrap().to_owned())
}

const TOLD: &str = "x-forwarded-for: 6.6.6.6, 192.0.2.1, 127.1.1.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: shop.example\r\n\
                    x-forwarded-port: 1\r\nforwarded: for=1.1.1.1\r\nx-real-ip: 1.1.1.1\r\nx-request-id: abc\r\n";

#[test]
fn a_trusted_proxy_is_believed_and_nobody_else() {
    let names = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "forwarded",
        "x-real-ip",
    ];
    let check = |setup: &Setup, expect: [Option<&str>; 6]| {
        let answer = setup.connect().get("/v1/say/hi", TOLD);
        assert_eq!(answer.status, 200);
        assert_eq!(names.map(|name| seen(setup, name)), expect.map(|value| value.map(str::to_owned)));
        answer.header("x-request-id").map(str::to_owned)
    };
    let setup = trusting(|_| {});
    let chain = "192.0.2.1, 127.1.1.1, 127.0.0.1";
    let id = check(&setup, [Some(chain), Some("https"), Some("shop.example"), None, None, None]);
    assert_eq!((id.as_deref(), seen(&setup, "x-request-id").as_deref()), (Some("abc"), Some("abc")));

    let setup = trusting(|options| options.trusted_proxies.clear());
    let id = check(&setup, [Some("127.0.0.1"), Some("http"), Some("test"), None, None, None]).unwrap();
    assert_eq!(seen(&setup, "x-request-id").as_ref(), Some(&id));
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");

    let setup = Setup::start();
    let answer = setup.connect().get("/v1/say/hi", TOLD);
    assert_eq!(answer.header("x-request-id"), None, "switched off");
    assert_eq!(seen(&setup, "x-request-id").as_deref(), Some("abc"), "a header like any other");
}

#[test]
fn refusals_and_probes_have_an_id_too() {
    let setup = trusting(|_| {});
    let mut client = setup.connect();
    for path in ["/nowhere", "/livez", "/.."] {
        assert_eq!(client.get(path, "x-request-id: r1\r\n").header("x-request-id"), Some("r1"), "{path}");
    }
    let long = format!("x-request-id: {}\r\n", "x".repeat(129));
    assert_eq!(client.get("/livez", &long).header("x-request-id").map(str::len), Some(32));
}

#[test]
fn limits_count_the_client_and_not_the_proxy() {
    let setup = trusting(|options| {
        let hour = std::time::Duration::from_hours(1);
        options.rate_limits = vec![RateLimit::new("one", LimitKey::Address, 1, hour)];
    });
    let mut client = setup.connect();
    let mut status = |told: &str| client.get("/v1/say/hi", &format!("x-forwarded-for: {told}\r\n")).status;
    for (told, expect) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("1.1.1.1, 192.0.2.2", 429),
        ("2001:db8::1", 200),
        ("2001:db8::2", 429),
    ] {
        assert_eq!(status(told), expect, "{told}");
    }
}

#[test]
fn internal_headers_do_not_come_from_outside() {
    let setup = Setup::start();
    let headers = "x-aqueduct-token: t\r\nx-aqueduct-client-identity: root\r\nx-aqueduct-claims: e30\r\nx-aqueduct-age-ms: 1\r\n";
    assert_eq!(setup.connect().get("/v1/say/hi", headers).status, 200);
    let seen = ["token", "client-identity", "claims", "age-ms"]
        .map(|name| seen(&setup, &format!("x-aqueduct-{name}")).is_some());
    assert_eq!(seen, [true, false, false, false]);
}

#[test]
fn a_path_has_one_form_before_it_is_routed() {
    let setup = Setup::start();
    let mut client = setup.connect();
    for (path, status, body) in [
        ("/v1/nothing/../say/hi", 200, r#"{"text":"hi"}"#),
        ("/v1/say/./%2e%2E/say/hi?count=3", 200, r#"{"text":"hi","count":"3"}"#),
        ("/livez/../livez", 200, ""),
        ("/v1/say/a%2Fb", 200, r#"{"text":"a/b"}"#),
        ("/v1/say/..%2F..%2Fetc", 400, ""),
        ("/v1/say/../../../x", 400, ""),
        ("/v1/say/a%00", 400, ""),
        ("/v1/say/a%5C..", 400, ""),
        ("/v1/say/../../say", 404, ""),
    ] {
        let answer = client.get(path, "");
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(body.is_empty() || answer.body == body, "{path}: {}", answer.body);
    }
    assert_eq!(setup.metric(r#"aqueduct_gateway_rejects_total{stage="normalize",reason="path"}"#), 4);
}

#[tokio::test]
async fn over_http2_host_says_the_same_as_the_authority() {
    let setup = Setup::start();
    let mut client = grpc::connect(&setup).await;
    for (host, status) in [(Some("test"), 200), (Some("TEST"), 200), (Some("other"), 400), (None, 200)] {
        let get = Request::get("http://test/v1/say/hi");
        let get = match host {
            Some(host) => get.header("host", host),
            None => get,
        };
        let (response, _) = client.send_request(get.body(()).unwrap(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), status, "{host:?}");
    }
    assert_eq!(seen(&setup, "x-forwarded-host").as_deref(), Some("test"));
}
