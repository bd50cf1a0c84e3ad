//! What a write answers with is honoured by later reads, and what is not current says so.

use crate::cluster::{Below, wait_health};
use crate::shop::{good, refused};
use crate::site::Site;

const TOKEN: &str = "x-aqueduct-token";

#[test]
fn a_write_answers_with_a_token_that_later_reads_honour() {
    let below = Below::start("tokens");
    let site = Site::with_config("tokens", &below.yaml(""));
    let _process = site.up();
    wait_health(&site, "ok");
    let mut shop = site.shop();
    let placed = shop.try_create(7).unwrap();
    let id = good(&placed).id;
    let first = placed.header(TOKEN).expect("a token").to_owned();
    assert!(!first.is_empty());

    // The replica hears nothing more, so only the primary can know of what follows.
    below.replica.wait_caught_up(&below.primary, aqueduct_kit::process::within(60)).unwrap();
    below.replica.sql("STOP SLAVE SQL_THREAD").unwrap();
    let path = format!("/v1/orders/{id}:pay");
    let paid = shop.client.request("POST", &path, &[(TOKEN, &first)], b"{}").unwrap();
    assert_eq!(good(&paid).version, 2);
    let second = paid.header(TOKEN).expect("a token").to_owned();
    assert_ne!(first, second);
    let read = shop.client.request("GET", &format!("/v1/orders/{id}"), &[(TOKEN, &second)], b"").unwrap();
    assert_eq!(good(&read).version, 2);
    let list = shop.client.request("GET", "/v1/orders?userId=7", &[(TOKEN, &second)], b"").unwrap();
    assert_eq!(list.json()["orders"][0]["version"], "2");
    // An old one is honoured by the replica, which is as far as that.
    let old = shop.client.request("GET", "/v1/orders?userId=7", &[(TOKEN, &first)], b"").unwrap();
    assert_eq!(old.json()["orders"][0]["version"], "1");

    let wrong = shop.client.request("GET", &format!("/v1/orders/{id}"), &[(TOKEN, "nonsense")], b"").unwrap();
    refused(&wrong, 400, 3);
}
