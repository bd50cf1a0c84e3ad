//! Rate limits: what is refused, what the client is told, and what is counted.

use std::time::Duration;

use aqueduct_gateway::{LimitKey, RateLimit, RateLimitHeaders};

use crate::backend::{frame, message};
use crate::grpc;
use crate::setup::Setup;

/// This many, and then none for an hour.
fn once(name: &str, key: LimitKey, burst: u64) -> RateLimit {
    RateLimit { burst, keys: 64, ..RateLimit::new(name, key, 1, Duration::from_hours(1)) }
}

fn with(limits: &[RateLimit]) -> Setup {
    Setup::with(|options| options.rate_limits = limits.to_vec())
}

fn decisions(setup: &Setup, limit: &str, result: &str) -> u64 {
    setup.metric(&format!("aqueduct_gateway_limit_decisions_total{{limit=\"{limit}\",result=\"{result}\"}}"))
}

#[test]
fn a_client_is_told_what_is_left_and_then_refused() {
    let setup = with(&[once("per-client", LimitKey::Address, 2)]);
    let mut client = setup.connect();
    for (status, remaining) in [(200, "1"), (200, "0"), (429, "0")] {
        let answer = client.get("/v1/say/hi", "");
        assert_eq!(answer.status, status);
        assert_eq!(
            (answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")),
            (Some("2"), Some(remaining))
        );
        let reset: u64 = answer.header("ratelimit-reset").unwrap().parse().unwrap();
        assert!((3590..=7200).contains(&reset), "{reset}");
        let retry = answer.header("retry-after").map(|value| value.parse::<u64>().unwrap());
        assert_eq!(retry.is_some(), status == 429);
        assert!(retry.is_none_or(|retry| (3590..=3600).contains(&retry)), "{retry:?}");
        assert!(status == 200 || answer.body.contains(r#""code":8"#), "{}", answer.body);
    }
    assert_eq!(setup.backend.seen.headers.lock().unwrap().len(), 2, "a refusal costs the upstream nothing");
    assert_eq!(setup.metric(r#"aqueduct_gateway_rejects_total{stage="limit",reason="rate"}"#), 1);
    assert_eq!(
        (decisions(&setup, "per-client", "admitted"), decisions(&setup, "per-client", "refused")),
        (2, 1)
    );
    assert_eq!(client.get("/livez", "").status, 200, "probes are not charged");
}

#[test]
fn workers_share_a_limit() {
    let setup = Setup::with(|options| {
        options.workers = 4;
        options.rate_limits = vec![once("all", LimitKey::Global, 20)];
    });
    // The kernel spreads connections over the workers.
    let statuses = (0..40).map(|_| setup.connect().get("/v1/say/hi", "").status);
    assert_eq!(statuses.filter(|status| *status == 200).count(), 20);
}

#[test]
fn values_of_a_header_are_counted_apart_and_a_missing_one_by_address() {
    let setup = with(&[once("tenants", LimitKey::Header("x-tenant".parse().unwrap()), 1)]);
    let mut client = setup.connect();
    let mut status = |headers: &str| client.get("/v1/say/hi", headers).status;
    for (headers, expect) in
        [("x-tenant: a\r\n", 200), ("x-tenant: a\r\n", 429), ("x-tenant: b\r\n", 200), ("", 200), ("", 429)]
    {
        assert_eq!(status(headers), expect, "{headers:?}");
    }
}

#[test]
fn a_limit_holds_for_its_routes_alone() {
    let mut limit = once("says", LimitKey::Global, 1);
    limit.routes = vec!["test.v1.Echo/Say".into()];
    let setup = with(&[limit]);
    let mut client = setup.connect();
    assert_eq!([200, 429], [(); 2].map(|()| client.get("/v1/say/hi", "").status));
    let other = client.get("/v1/count/2", "");
    assert_eq!((other.status, other.header("ratelimit-limit")), (200, None));
}

#[test]
fn a_shadow_refuses_nobody() {
    let setup = with(&[RateLimit { shadow: true, ..once("trial", LimitKey::Global, 1) }]);
    let mut client = setup.connect();
    for _ in 0..3 {
        let answer = client.get("/v1/say/hi", "");
        assert_eq!((answer.status, answer.header("ratelimit-limit")), (200, None));
    }
    assert_eq!((decisions(&setup, "trial", "admitted"), decisions(&setup, "trial", "shadow")), (1, 2));
}

#[test]
fn what_clients_are_told_can_be_switched_off() {
    for (headers, admitted, refused) in [
        (RateLimitHeaders::All, true, true),
        (RateLimitHeaders::Refusals, false, true),
        (RateLimitHeaders::Off, false, false),
    ] {
        let setup = Setup::with(|options| {
            options.rate_limits = vec![once("one", LimitKey::Global, 1)];
            options.rate_limit_headers = headers;
        });
        let mut client = setup.connect();
        let told = [(); 2].map(|()| client.get("/v1/say/hi", "").header("ratelimit-limit").is_some());
        assert_eq!(told, [admitted, refused], "{headers:?}");
    }
}

#[tokio::test]
async fn grpc_clients_get_a_status_and_the_same_as_metadata() {
    let setup = with(&[once("one", LimitKey::Route, 1)]);
    let mut client = grpc::connect(&setup).await;
    let mut call = async || {
        let head = grpc::request("/test.v1.Echo/Say").body(()).unwrap();
        grpc::call(&mut client, head, frame(&message("hi", 0))).await.1
    };
    assert_eq!(call().await["grpc-status"], "0");
    let refused = call().await;
    assert_eq!(
        (&refused["grpc-status"], &refused["ratelimit-remaining"]),
        (&"8".parse().unwrap(), &"0".parse().unwrap())
    );
    assert!(refused.contains_key("retry-after"));
    let head = grpc::request("/test.v1.Echo/Chat").body(()).unwrap();
    let (_, other) = grpc::call(&mut client, head, frame(b"x")).await;
    assert_eq!(other["grpc-status"], "0", "each method has its own");
}
