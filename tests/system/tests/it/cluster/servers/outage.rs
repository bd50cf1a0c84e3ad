//! Everything below the first level is gone: what was read is answered as stale, with its age, until it is too old; and when the
//! servers are back, the clients that waited do not fall upon them.

use std::sync::{Arc, Barrier};
use std::thread;

use aqueduct_kit::process::within;
use aqueduct_kit::until;

use crate::cluster::{Below, figure, health, wait_health};
use crate::shop::{Shop, good, refused};
use crate::site::{Site, no_panic};

const ORDERS: usize = 12;
const CLIENTS: usize = 24;

/// The age of a stale answer, in seconds; `None` if it is not stale.
fn age(answer: &aqueduct_kit::Response) -> Option<f64> {
    let text = answer.header("x-aqueduct-stale")?;
    Some(text.strip_prefix("age=").unwrap().parse().unwrap())
}

#[test]
fn with_everything_below_gone_orders_are_stale_then_refused_and_come_back_without_a_herd() {
    let mut below = Below::start("outage");
    let site = Site::with_config("outage", &below.yaml("shop: { cache_soft: 2s, cache_hard: 20s }"));
    let process = site.up();
    wait_health(&site, "ok");
    let mut shop = site.shop();
    let orders: Vec<i64> = (0..ORDERS).map(|user| shop.create(i64::try_from(user).unwrap() + 1).id).collect();
    for id in &orders {
        assert_eq!(age(&shop.try_get(*id).unwrap()), None);
    }

    below.kill_all();
    let said = wait_health(&site, "degraded");
    assert_eq!(health(&site).0, 200, "{said}");
    let mut oldest = 0.0;
    let stale = until(within(30), || {
        let answer = shop.try_get(orders[0]).unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        oldest = age(&answer)?;
        Some(())
    });
    assert!(stale.is_some(), "never stale");
    let later = until(within(30), || {
        let answer = shop.try_get(orders[0]).unwrap();
        age(&answer).filter(|age| *age > oldest + 1.0)
    });
    assert!(later.is_some(), "the age does not grow");

    // Too old: refused in so many words, and promptly.
    let refusal = until(within(60), || {
        let answer = shop.try_get(orders[0]).unwrap();
        (answer.status() != 200).then_some(answer)
    });
    let answer = refusal.expect("refused at last");
    let status = refused(&answer, 503, 14);
    assert!(status["message"].as_str().unwrap().contains("database"), "{status}");
    assert!(wait_health(&site, "unavailable")["checks"]["mysql"]["ok"] == false);

    below.restart_all();
    wait_health(&site, "ok");
    let before = figure(&site, r#"aqueduct_cache_l2_loads_total{answer="primary"}"#);
    herd(&site, &orders);
    let loads = figure(&site, r#"aqueduct_cache_l2_loads_total{answer="primary"}"#) - before;
    // Some may have been loaded by what probed; none more than once, but for one refresh of what had become old meanwhile.
    assert!(loads <= 2 * ORDERS as u64, "{loads} loads of {ORDERS} orders by {CLIENTS} clients");
    let order = shop.create(1);
    assert_eq!(shop.get(order.id).version, 1);
    no_panic(&process);
}

/// All clients ask for all orders at once.
fn herd(site: &Site, orders: &[i64]) {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (edge, orders, barrier) = (site.edge(), orders.to_vec(), Arc::clone(&barrier));
            thread::spawn(move || {
                let mut shop = Shop::new(edge);
                barrier.wait();
                for id in orders {
                    good(&shop.try_get(id).unwrap());
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}
