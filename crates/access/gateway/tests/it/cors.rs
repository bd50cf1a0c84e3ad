//! Calls from other sites' pages, in JSON and grpc-web.

use aqueduct_gateway::Cors;

use crate::setup::Setup;

fn setup() -> Setup {
    Setup::with(|options| {
        options.routes[0].cors = Some(Cors {
            origins: vec!["https://shop.example".into()],
            expose: vec!["x-from".into()],
            credentials: true,
            ..Cors::default()
        });
    })
}

#[test]
fn a_preflight_is_answered_by_the_route_it_asks_for() {
    let setup = setup();
    let mut client = setup.connect();
    for (path, method) in [("/v1/say", "POST"), ("/v1/say/x", "GET"), ("/test.v1.Echo/Say", "POST")] {
        let asked = format!(
            "origin: https://shop.example\r\naccess-control-request-method: {method}\r\n\
             access-control-request-headers: content-type,x-grpc-web\r\n"
        );
        let answer = client.request("OPTIONS", path, &asked, "");
        assert_eq!(answer.status, 204, "{path}: {}", answer.body);
        for (name, value) in [
            ("access-control-allow-origin", "https://shop.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", method),
            ("access-control-allow-headers", "content-type,x-grpc-web"),
            ("access-control-max-age", "600"),
            ("vary", "origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}: {name}");
        }
    }
    let other = "origin: https://evil.example\r\naccess-control-request-method: POST\r\n";
    let answer = client.request("OPTIONS", "/v1/say", other, "");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, None));
    let answer = client.request("OPTIONS", "/v1/say", "", "");
    assert_eq!(answer.header("allow"), Some("OPTIONS, POST"), "without an origin it is an ordinary OPTIONS");
}

#[test]
fn answers_and_refusals_may_be_read_by_the_page() {
    let setup = setup();
    let mut client = setup.connect();
    for (text, status) in [("hi", 200), ("status 5 gone", 404)] {
        let body = format!("{{\"text\":\"{text}\"}}");
        let answer = client.post("/v1/say", "origin: https://shop.example\r\n", &body);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
        assert!(answer.header("access-control-expose-headers").unwrap().ends_with(", x-from"));
        let answer = client.post("/v1/say", "origin: https://evil.example\r\n", &body);
        assert_eq!(
            (answer.header("access-control-allow-origin"), answer.header("vary")),
            (None, Some("origin"))
        );
    }
    // A path that another method would reach, too; an unknown one tells nobody anything.
    let answer = client.request("DELETE", "/v1/say", "origin: https://shop.example\r\n", "");
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    let answer = client.get("/nowhere", "origin: https://shop.example\r\n");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (404, None));
    let web = "origin: https://shop.example\r\ncontent-type: application/grpc-web-text\r\n";
    let answer = client.post("/test.v1.Echo/Say", web, "AAAAAAA=");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(answer.header("access-control-expose-headers").unwrap().starts_with("grpc-status, grpc-message"));
}

#[test]
fn without_cors_nothing_is_granted() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let asked = "origin: https://shop.example\r\naccess-control-request-method: POST\r\n";
    let answer = client.request("OPTIONS", "/v1/say", asked, "");
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, None));
    assert_eq!(client.post("/v1/say", asked, "{}").header("access-control-allow-origin"), None);
}
