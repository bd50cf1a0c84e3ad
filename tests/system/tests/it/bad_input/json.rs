//! Bodies that are not JSON, or not the JSON of the message.

use serde_json::{Value, json};

use super::{nested, post};
use crate::shop::{Shop, good, refused};
use crate::site::{Site, no_panic};

/// A good order with one thing changed.
fn basket_with(pointer: &str, value: Value) -> Vec<u8> {
    let mut basket = Shop::basket(1);
    *basket.pointer_mut(pointer).unwrap() = value;
    basket.to_string().into_bytes()
}

#[test]
fn every_prefix_of_a_body_is_refused() {
    let site = Site::new("truncated");
    let process = site.up();
    let mut shop = site.shop();
    let body = Shop::basket(1).to_string();
    for end in 1..body.len() {
        refused(&post(&mut shop, &body.as_bytes()[..end]), 400, 3);
    }
    // Nothing at all is an empty message: no syntax error, but no order either.
    refused(&post(&mut shop, b""), 400, 3);
    assert_eq!(shop.list(1, 10), [], "none of them was an order");
    no_panic(&process);
}

#[test]
fn a_wrong_type_in_any_field_is_refused_and_named() {
    let site = Site::new("types");
    let process = site.up();
    let mut shop = site.shop();
    let (object, array) = (json!({"a": 1}), json!([1]));
    let int64 = [
        json!(true),
        json!("x"),
        json!(""),
        json!(" 1"),
        json!("1 "),
        json!("0x1"),
        json!(1.5),
        json!("1.5"),
    ];
    let too_big = [json!("9223372036854775808"), json!(9_223_372_036_854_775_808_u64), json!(1e300)];
    let int32 =
        [json!(true), json!("x"), json!(1.5), json!(2_147_483_648_u64), json!("2147483648"), json!(-1e10)];
    let text = [json!(true), json!(1), object.clone(), array.clone()];
    let with = |some: &[Value]| [some, &[object.clone(), array.clone()]].concat();
    let table: [(&str, &str, Vec<Value>); 8] = [
        ("/userId", "userId", with(&int64)),
        ("/userId", "userId", too_big.to_vec()),
        ("/note", "note", text.to_vec()),
        ("/items", "items", vec![json!(true), json!("x"), json!(1), object.clone()]),
        ("/items/1", "items[1]", vec![json!(true), json!("x"), json!(1), json!(null), array.clone()]),
        ("/items/1/sku", "items[1].sku", text.to_vec()),
        ("/items/1/quantity", "items[1].quantity", with(&int32)),
        ("/items/1/priceCents", "items[1].priceCents", [with(&int64), too_big.to_vec()].concat()),
    ];
    for (pointer, field, values) in table {
        for value in values {
            let status = refused(&post(&mut shop, &basket_with(pointer, value.clone())), 400, 3);
            let message = status["message"].as_str().unwrap();
            assert!(
                message.starts_with(&format!("{field}: ")) || message.starts_with(&format!("{field}[")),
                "{field} = {value}: {message}"
            );
        }
    }
    for root in ["true", "1", "\"x\"", "[]", "null"] {
        refused(&post(&mut shop, root.as_bytes()), 400, 3);
    }
    assert_eq!(shop.list(1, 10), []);
    no_panic(&process);
}

#[test]
fn int64_may_be_a_number_or_a_string_and_null_is_the_default() {
    let site = Site::new("int64");
    let _process = site.up();
    let mut shop = site.shop();
    for user in [json!(1), json!("1"), json!(1.0), json!("1e0")] {
        good(&post(&mut shop, &basket_with("/userId", user)));
    }
    for price in [json!(i64::MAX), json!(i64::MAX.to_string())] {
        let answer = post(
            &mut shop,
            &basket_with("/items", json!([{"sku": "x", "quantity": "1", "priceCents": price}])),
        );
        assert_eq!(answer.json()["totalCents"], i64::MAX.to_string());
    }
    assert_eq!(good(&post(&mut shop, &basket_with("/note", Value::Null))).version, 1);
    // Both names of a field are read.
    let snake = br#"{"user_id": 1, "items": [{"sku": "x", "quantity": 1, "price_cents": 5}]}"#;
    assert_eq!(post(&mut shop, snake).json()["totalCents"], "5");
    // A total beyond int64 is no total.
    let over = json!([{"sku": "x", "quantity": 2, "priceCents": i64::MAX}]);
    refused(&post(&mut shop, &basket_with("/items", over)), 400, 3);
}

#[test]
fn malformed_json_is_refused() {
    let site = Site::new("json");
    let process = site.up();
    let mut shop = site.shop();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("unknown field", br#"{"userId": 1, "color": "red"}"#.to_vec()),
        ("unknown field in an item", br#"{"userId": 1, "items": [{"size": 1}]}"#.to_vec()),
        ("the same key twice", br#"{"userId": 1, "userId": 1}"#.to_vec()),
        ("the same key in both casings", br#"{"userId": 1, "user_id": 1}"#.to_vec()),
        ("two values", b"{} {}".to_vec()),
        ("a comma too many", br#"{"userId": 1,}"#.to_vec()),
        ("no quotes", b"{userId: 1}".to_vec()),
        ("single quotes", b"{'userId': 1}".to_vec()),
        ("a comment", b"{/* */}".to_vec()),
        ("NaN", br#"{"userId": NaN}"#.to_vec()),
        ("leading zero", br#"{"userId": 01}"#.to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("invalid UTF-8 in a value", b"{\"note\": \"\xff\xfe\"}".to_vec()),
        ("invalid UTF-8 in a key", b"{\"\xc3\x28\": 1}".to_vec()),
        ("an overlong encoding", b"{\"note\": \"\xc0\xaf\"}".to_vec()),
        ("a surrogate as UTF-8", b"{\"note\": \"\xed\xa0\x80\"}".to_vec()),
        ("half a surrogate pair", br#"{"note": "\ud800"}"#.to_vec()),
        ("a raw control character", b"{\"note\": \"a\x00b\"}".to_vec()),
        ("arrays 5,000 deep", nested("[", 5_000, "]")),
        ("objects 5,000 deep", nested("{\"items\":", 5_000, "}")),
        ("5,000 opened and none closed", nested("[", 5_000, "")),
        ("5,000 deep in a field", [br#"{"items":"#.as_slice(), &nested("[{\"items\":", 2_500, "")].concat()),
        ("5,000 deep in an unknown field", [br#"{"x":"#.as_slice(), &nested("[", 5_000, "]"), b"}"].concat()),
    ];
    for (what, body) in bodies {
        let answer = post(&mut shop, &body);
        assert_eq!(answer.status(), 400, "{what}: {}", answer.text());
        refused(&answer, 400, 3);
    }
    let text = shop.client.request("POST", "/v1/orders", &[("content-type", "text/plain")], b"{}").unwrap();
    refused(&text, 415, 3);
    no_panic(&process);
}
