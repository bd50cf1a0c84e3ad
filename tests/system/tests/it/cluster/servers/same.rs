//! Orders on the shards are as orders on the embedded store, to the byte.

use aqueduct_kit::Response;
use serde_json::Value;

use crate::cluster::{Below, wait_health};
use crate::shop::{EVENTS, Shop, good};
use crate::site::{Site, no_panic};

/// Everything that can be done to an order, and what each step was answered.
fn story(site: &Site) -> Vec<String> {
    let mut shop = site.shop();
    let mut told = Vec::new();
    let placed = shop.try_create(7).unwrap();
    let id = good(&placed).id;
    let mut tell = |what: &str, answer: &Response| {
        // The entries of a map have no order in JSON; a Value has.
        let json: Vec<Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let text = serde_json::to_string(&json).unwrap().replace(&id.to_string(), "ID");
        told.push(format!("{what}: {} {text}", answer.status()));
    };
    tell("place", &placed);
    tell("read", &shop.try_get(id).unwrap());
    tell("read again", &shop.try_get(id).unwrap());
    tell("too early", &shop.try_event(id, "ship", "early").unwrap());
    tell("pay", &shop.try_event(id, "pay", "charge-1").unwrap());
    tell("read paid", &shop.try_get(id).unwrap());
    tell("pay again", &shop.try_event(id, "pay", "charge-1").unwrap());
    tell("reuse", &shop.try_event(id, "ship", "charge-1").unwrap());
    tell("too long", &shop.try_event(id, "ship", &"x".repeat(65)).unwrap());
    tell("ship", &shop.try_event(id, "ship", "").unwrap());
    tell("complete", &shop.try_event(id, "complete", "done").unwrap());
    tell("pay once more", &shop.try_event(id, "pay", "charge-1").unwrap());
    tell("illegal", &shop.try_event(id, "pay", "").unwrap());
    tell("watch", &shop.client.get(&format!("/v1/orders/{id}:watch")).unwrap());
    tell("list", &shop.client.get("/v1/orders?userId=7").unwrap());
    tell("nobody's", &shop.client.get("/v1/orders?userId=8").unwrap());
    for unknown in [1, 0, -1, i64::MAX] {
        tell("unknown", &shop.try_get(unknown).unwrap());
        tell("pay unknown", &shop.try_event(unknown, "pay", "").unwrap());
        tell("watch unknown", &shop.client.get(&format!("/v1/orders/{unknown}:watch")).unwrap());
    }
    told
}

#[test]
fn orders_are_answered_as_on_the_embedded_store() {
    let below = Below::start("same");
    let embedded = Site::new("same-embedded");
    let sharded = Site::with_config("same-sharded", &below.yaml(""));
    let (one, other) = (embedded.up(), sharded.up());
    let said = wait_health(&sharded, "ok");
    for check in ["mysql", "redis", "bus", "cdc", "saga"] {
        assert_eq!(said["checks"][check]["ok"], true, "{said}");
    }
    assert_eq!(story(&embedded), story(&sharded));

    lists(&mut sharded.shop());
    watch(&sharded);
    no_panic(&one);
    no_panic(&other);
}

/// Pages, over two users of different shards.
fn lists(shop: &mut Shop) {
    for user in [21, 22, 23] {
        let mut placed: Vec<i64> = (0..7).map(|_| shop.create(user).id).collect();
        placed.reverse();
        for size in [1, 3, 7, 50] {
            let found: Vec<i64> = shop.list(user, size).iter().map(|order| order.id).collect();
            assert_eq!(found, placed, "by pages of {size}");
        }
    }
}

/// Every version in order, each before the next event is sent: it comes from the binlog.
fn watch(site: &Site) {
    let mut shop = site.shop();
    let id = shop.create(1).id;
    let mut lines = site.client().lines(&format!("/v1/orders/{id}:watch"), &[]).unwrap();
    let mut version = || {
        let line: Value = serde_json::from_str(&lines.next_line().unwrap().expect("another line")).unwrap();
        crate::shop::Order::read(&line).version
    };
    for (at, event) in EVENTS.into_iter().enumerate() {
        assert_eq!(version(), at + 1);
        shop.event(id, event, "");
    }
    assert_eq!(version(), 4);
    assert_eq!(lines.next_line().unwrap(), None);
}
