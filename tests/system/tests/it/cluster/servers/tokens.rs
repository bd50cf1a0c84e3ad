//! What a write answers with is honoured by later reads, and what is not current says so.

use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::until;

use crate::cluster::{Below, awhile, figure, wait_health};
use crate::shop::{good, refused};
use crate::site::Site;

const TOKEN: &str = "x-aqueduct-token";

/// How old an unmarked answer may be, and a little more.
const DELTA: Duration = Duration::from_millis(1050);

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
    below.replica.wait_caught_up(&below.primary, within(60)).unwrap();
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
    // The replica is as far as an old one, and may answer it for as long as it is not too old itself.
    awhile(DELTA);
    let path = format!("/v1/orders/{id}");
    let old = shop.client.request("GET", &path, &[(TOKEN, &first)], b"").unwrap();
    assert_eq!(good(&old).version, 2, "an unmarked answer that is older than it may be");
    let old = shop.client.request("GET", "/v1/orders?userId=7", &[(TOKEN, &first)], b"").unwrap();
    assert_eq!(old.json()["orders"][0]["version"], "2");
    // Of another shard it says nothing, and so does not make a replica of that good enough.
    let other =
        (8..1000).map(|user| shop.create(user).id).find(|other| other >> 19 & 3 != id >> 19 & 3).unwrap();
    let read = shop.client.request("GET", &format!("/v1/orders/{other}"), &[(TOKEN, &first)], b"").unwrap();
    assert_eq!(good(&read).version, 1);
    // Once it replicates again, it is asked again.
    below.replica.sql("START SLAVE SQL_THREAD").unwrap();
    below.replica.wait_caught_up(&below.primary, within(60)).unwrap();
    let by_replicas = || {
        let shard = id >> 19 & 3;
        let server = format!("127.0.0.1:{}/shop_{shard}", below.replica.port());
        figure(&site, &format!("aqueduct_mysql_replica_reads_total{{shard=\"{shard}\",server=\"{server}\"}}"))
    };
    let before = by_replicas();
    let asked = until(within(30), || {
        let read = shop.client.request("GET", &path, &[(TOKEN, &second)], b"").unwrap();
        assert_eq!(good(&read).version, 2);
        (by_replicas() > before).then_some(())
    });
    assert!(asked.is_some(), "the replica answers nothing: {}", site.metrics());

    let wrong = shop.client.request("GET", &format!("/v1/orders/{id}"), &[(TOKEN, "nonsense")], b"").unwrap();
    refused(&wrong, 400, 3);
}
