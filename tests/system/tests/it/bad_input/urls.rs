//! Paths, methods, queries and headers that lead nowhere.

use super::JSON;
use crate::shop::{good, refused};
use crate::site::Site;

#[test]
fn paths_methods_and_queries_are_refused_clearly() {
    let site = Site::new("paths");
    let _process = site.up();
    let mut shop = site.shop();
    let (id, other) = (shop.create(1).id, shop.create(1).id);
    for path in ["/", "/v1", "/v1/order", "/v1/orders/", "/v1/orders/1/2", "/v2/orders"] {
        refused(&shop.client.get(path).unwrap(), 404, 5);
    }
    for (method, path, allow) in [
        ("DELETE", format!("/v1/orders/{id}"), vec!["GET"]),
        ("PUT", "/v1/orders".to_owned(), vec!["GET", "POST"]),
        ("GET", format!("/v1/orders/{id}:pay"), vec!["POST"]),
    ] {
        let answer = shop.client.request(method, &path, &[], b"").unwrap();
        refused(&answer, 405, 12);
        let allowed = answer.header("allow").unwrap();
        for method in allow {
            assert!(allowed.split(", ").any(|one| one == method), "{method} {path}: {allowed}");
        }
    }
    for query in [
        "userId=1&userId=2",
        "userId=1&user_id=1",
        "userId=x",
        "userId=1.5",
        "userId=9223372036854775808",
        "userId=1&pageSize=x",
        "userId=1&color=red",
        "userId=%zz",
        "userId=%ff",
        "userId=1&pageToken=garbage",
        "pageSize=3",
        "userId=1&pageSize=-1",
    ] {
        refused(&shop.client.get(&format!("/v1/orders?{query}")).unwrap(), 400, 3);
    }
    for path in [
        &format!("/v1/orders/{id}:fly"),
        "/v1/orders/x",
        "/v1/orders/9223372036854775808",
        "/v1/orders/1.5",
        "/v1/orders/%ff",
        "/v1/orders/%zz",
    ] {
        let answer = shop.client.get(path).unwrap();
        assert_eq!(answer.status(), 400, "{path}: {}", answer.text());
    }
    // With `body: "*"` everything that is not in the path is in the body.
    let all_in_body = shop.client.request("POST", "/v1/orders?note=x", &[JSON], b"{}").unwrap();
    refused(&all_in_body, 400, 3);
    // A path variable is what the path says, whatever else says otherwise.
    let queried = shop.client.get(&format!("/v1/orders/{id}?id={other}")).unwrap();
    assert!(queried.status() == 400 || good(&queried).id == id, "{}", queried.text());
    let body = format!(r#"{{"id": "{other}"}}"#);
    let in_body =
        shop.client.request("POST", &format!("/v1/orders/{id}:pay"), &[JSON], body.as_bytes()).unwrap();
    assert!(in_body.status() == 400 || good(&in_body).id == id, "{}", in_body.text());
    assert_eq!(shop.get(other).version, 1, "the path decides which order is paid");
}

#[test]
fn timeouts_that_are_none_are_refused_and_good_ones_hold() {
    let site = Site::new("timeouts");
    let _process = site.up();
    let mut shop = site.shop();
    let path = format!("/v1/orders/{}", shop.create(1).id);
    for (name, value) in [
        ("grpc-timeout", "soon"),
        ("grpc-timeout", "1"),
        ("grpc-timeout", "S"),
        ("grpc-timeout", "-1S"),
        ("grpc-timeout", "123456789S"),
        ("x-request-timeout", "1 hour"),
        ("x-request-timeout", "-1"),
    ] {
        let status = refused(&shop.client.request("GET", &path, &[(name, value)], b"").unwrap(), 400, 3);
        assert!(status["message"].as_str().unwrap().contains(name), "{status}");
    }
    for (name, value) in [("grpc-timeout", "5S"), ("x-request-timeout", "5s"), ("x-request-timeout", "2.5")] {
        good(&shop.client.request("GET", &path, &[(name, value)], b"").unwrap());
    }
}
