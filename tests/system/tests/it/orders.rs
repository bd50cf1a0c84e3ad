//! Every order route over real HTTP, through the gateway and the service to the store and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use serde_json::{Value, json};

use crate::http2;
use crate::load::Faults;
use crate::shop::{EVENTS, Order, STATUSES, Shop, detail, good, refused};
use crate::site::{Site, no_panic};

#[test]
fn an_order_is_placed_and_read_as_the_protobuf_mapping_says() {
    let site = Site::new("place");
    let process = site.up();
    let mut shop = site.shop();
    let created = shop.try_create(7).unwrap();
    let order = good(&created);
    assert!(order.id > 0);
    let expect = json!({
        "id": order.id.to_string(),
        "userId": "7",
        "status": "CREATED",
        "version": "1",
        "items": [
            {"sku": "tea", "quantity": 2, "priceCents": "450"},
            {"sku": "bag", "quantity": 1, "priceCents": "5"},
        ],
        "totalCents": "905",
        "note": "by the door",
    });
    assert_eq!(created.json(), expect);
    assert_eq!(created.header("content-type"), Some("application/json"));
    assert_eq!(shop.try_get(order.id).unwrap().json(), expect);
    // Twice: the second answer comes from the cache.
    assert_eq!(shop.try_get(order.id).unwrap().json(), expect);
    let head = shop.client.request("HEAD", &format!("/v1/orders/{}", order.id), &[], b"").unwrap();
    assert_eq!((head.status(), head.body.len()), (200, 0));
    no_panic(&process);
}

#[test]
fn json_over_http_2_is_answered_as_over_http_1() {
    let site = Site::new("http2");
    let _process = site.up();
    let placed = http2::post(site.edge(), "/v1/orders", &Shop::basket(1).to_string());
    assert_eq!(placed.status(), 200);
    let placed: Value = serde_json::from_slice(placed.body()).unwrap();
    let id = Order::read(&placed).id;
    assert_eq!(site.shop().try_get(id).unwrap().json(), placed);
    let illegal = http2::post(site.edge(), &format!("/v1/orders/{id}:ship"), "{}");
    assert_eq!(illegal.status(), 400);
    let over_1 = site.shop().try_event(id, "ship", "").unwrap();
    // The entries of a map have no order.
    let illegal: Value = serde_json::from_slice(illegal.body()).unwrap();
    assert_eq!(illegal, over_1.json());
}

#[test]
fn an_order_goes_its_way_with_and_without_event_ids() {
    let site = Site::new("way");
    let _process = site.up();
    let mut shop = site.shop();
    for with_ids in [false, true] {
        let mut order = shop.create(1);
        for (at, event) in EVENTS.into_iter().enumerate() {
            let event_id = if with_ids { format!("{event}-1") } else { String::new() };
            let moved = shop.event(order.id, event, &event_id);
            assert_eq!((moved.version, moved.status.as_str()), (at + 2, STATUSES[at + 1]));
            assert_eq!(shop.get(order.id), moved);
            order = moved;
        }
    }
    // `body: "*"` without a body is an empty message.
    let order = shop.create(1);
    let paid = shop.client.request("POST", &format!("/v1/orders/{}:pay", order.id), &[], b"").unwrap();
    assert_eq!(good(&paid).version, 2);
}

#[test]
fn the_same_event_again_changes_nothing_and_another_under_its_id_is_refused() {
    let site = Site::new("again");
    let _process = site.up();
    let mut shop = site.shop();
    let id = shop.create(1).id;
    let paid = shop.event(id, "pay", "charge-1");
    assert_eq!(shop.event(id, "pay", "charge-1"), paid);
    shop.event(id, "ship", "parcel-1");
    // Answered with the order as it is, however far it has come since.
    assert_eq!(shop.event(id, "pay", "charge-1").version, 3);
    let reused = refused(&shop.try_event(id, "complete", "charge-1").unwrap(), 400, 3);
    assert_eq!(detail(&reused, "BadRequest")["fieldViolations"][0]["field"], "eventId");
    assert_eq!(shop.get(id).version, 3);
    // The same id of another order is another event.
    let other = shop.create(1).id;
    assert_eq!(shop.event(other, "pay", "charge-1").version, 2);
}

#[test]
fn an_illegal_transition_is_a_failed_precondition_that_tells_the_state() {
    let site = Site::new("illegal");
    let _process = site.up();
    let mut shop = site.shop();
    let id = shop.create(1).id;
    for version in 1..=4 {
        for (at, event) in EVENTS.into_iter().enumerate().filter(|(at, _)| at + 1 != version) {
            let status = refused(&shop.try_event(id, event, &format!("early-{at}")).unwrap(), 400, 9);
            let state = STATUSES[version - 1];
            assert!(status["message"].as_str().unwrap().contains(state), "{status}");
            let violation = &detail(&status, "PreconditionFailure")["violations"][0];
            assert_eq!(violation["subject"], id.to_string());
            assert!(violation["description"].as_str().unwrap().contains(state), "{status}");
            let info = detail(&status, "ErrorInfo");
            assert_eq!(info["metadata"]["state"], state);
            assert_eq!(info["metadata"]["version"], version.to_string());
            assert_eq!(shop.get(id).version, version, "nothing was changed");
        }
        if version < 4 {
            shop.event(id, EVENTS[version - 1], "");
        }
    }
}

#[test]
fn an_order_that_does_not_exist_is_not_found_by_any_route() {
    let site = Site::new("unknown");
    let _process = site.up();
    let mut shop = site.shop();
    for id in [1, 0, -1, i64::MAX, i64::MIN] {
        let mut answers = vec![shop.try_get(id).unwrap()];
        answers.push(shop.client.get(&format!("/v1/orders/{id}:watch")).unwrap());
        for event in EVENTS {
            answers.push(shop.try_event(id, event, "").unwrap());
        }
        for answer in &answers {
            let status = refused(answer, 404, 5);
            assert_eq!(detail(&status, "ResourceInfo")["resourceName"], id.to_string());
        }
    }
    let list = shop.client.get("/v1/orders?userId=77").unwrap();
    assert_eq!((list.status(), list.text().as_str()), (200, "{}"), "nobody's orders are none");
}

#[test]
fn a_list_has_every_order_once_while_others_are_placed() {
    let site = Site::new("list");
    let _process = site.up();
    let mut shop = site.shop();
    let before: Vec<i64> = (0..60).map(|_| shop.create(5).id).collect();
    let (first, mut token) = shop.page(5, 7, "");
    let mut found: Vec<i64> = first.iter().map(|order| order.id).collect();
    while let Some(next) = token {
        // Newer than everything listed so far, on the same user and on another.
        shop.create(5);
        shop.create(6);
        let (page, next) = shop.page(5, 7, &next);
        found.extend(page.iter().map(|order| order.id));
        token = next;
    }
    let expect: Vec<i64> = before.iter().rev().copied().collect();
    assert_eq!(found, expect, "newest first, none twice, none missing, none that came later");
    assert_eq!(shop.list(5, 500).len(), 60 + 8);
    assert_eq!(shop.list(5, 0).len(), 60 + 8, "pages of the default size");

    let (_, token) = shop.page(5, 7, "");
    let foreign = shop.client.get(&format!("/v1/orders?userId=6&pageToken={}", token.unwrap())).unwrap();
    let status = refused(&foreign, 400, 3);
    assert_eq!(detail(&status, "BadRequest")["fieldViolations"][0]["field"], "pageToken");
}

#[test]
fn a_watch_shows_every_version_in_order_and_ends() {
    let site = Site::new("watch");
    let _process = site.up();
    let mut shop = site.shop();
    let id = shop.create(1).id;
    let path = format!("/v1/orders/{id}:watch");
    let mut early = site.client().lines(&path, &[]).unwrap();
    assert_eq!(early.head().status, 200);
    assert_eq!(early.head().header("content-type"), Some("application/x-ndjson"));
    for (at, event) in EVENTS.into_iter().enumerate() {
        // Shown before the next event is sent: a stream, and not an answer at the end.
        assert_eq!(version_of(early.next_line().unwrap()), at + 1);
        shop.event(id, event, "");
    }
    assert_eq!(version_of(early.next_line().unwrap()), 4);
    assert_eq!(early.next_line().unwrap(), None);

    let late = site.client().get(&path).unwrap();
    assert_eq!(late.text().lines().count(), 1);
    assert_eq!(version_of(late.text().lines().next().map(str::to_owned)), 4);
    // Other forms of a stream are not there yet, and are not answered with a form that was not asked for.
    let image = site.client().request("GET", &path, &[("accept", "image/png")], b"").unwrap();
    refused(&image, 406, 3);
}

fn version_of(line: Option<String>) -> usize {
    let json: Value = serde_json::from_str(&line.expect("another line")).unwrap();
    Order::read(&json).version
}

#[test]
fn a_watch_ends_at_its_deadline_with_a_status_as_its_last_line() {
    let site = Site::new("watch-end");
    let _process = site.up();
    let id = site.shop().create(1).id;
    let path = format!("/v1/orders/{id}:watch");
    let mut lines = site.client().lines(&path, &[("x-request-timeout", "200ms")]).unwrap();
    assert_eq!(version_of(lines.next_line().unwrap()), 1);
    let last: Value = serde_json::from_str(&lines.next_line().unwrap().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], 4, "{last}");
    assert_eq!(lines.next_line().unwrap(), None);
}

/// Readers hammer an order while it is paid. Once the answer to `:pay` is there, nobody who asks after that may be told
/// CREATED, whichever connection (and so whichever worker) he asks on.
#[test]
fn a_read_after_the_answer_to_pay_never_shows_created() {
    let site = Site::new("hammer");
    let _process = site.up();
    let faults = Arc::new(Faults::default());
    for _ in 0..30 {
        let id = site.shop().create(1).id;
        let paid = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (edge, faults, paid, stop) =
                    (site.edge(), Arc::clone(&faults), Arc::clone(&paid), Arc::clone(&stop));
                thread::spawn(move || {
                    let mut shop = Shop::new(edge);
                    while !stop.load(Relaxed) {
                        let was_paid = paid.load(Relaxed);
                        let seen = shop.get(id);
                        if was_paid && seen.version < 2 {
                            faults.add(format!("{seen:?} after it was paid"));
                        }
                    }
                })
            })
            .collect();
        let mut payer = site.shop();
        for _ in 0..3 {
            payer.get(id);
        }
        payer.event(id, "pay", "");
        paid.store(true, Relaxed);
        for _ in 0..10 {
            let seen = payer.get(id);
            if seen.version < 2 {
                faults.add(format!("{seen:?} to the one who paid"));
            }
        }
        stop.store(true, Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    }
    faults.assert_none();
}
