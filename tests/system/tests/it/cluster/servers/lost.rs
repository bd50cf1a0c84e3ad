//! The reply to a COMMIT is lost: the caller is told what became of his change, and it counts once.

use std::collections::BTreeMap;

use aqueduct_kit::process::within;
use aqueduct_kit::until;

use crate::cluster::events::{Events, check_order};
use crate::cluster::proxy::{Loss, Proxy};
use crate::cluster::{Below, figure, wait_health};
use crate::site::{Site, no_panic};

const RESOLVED: &str = r#"aqueduct_shop_broken_commits_total{outcome="resolved"}"#;

#[test]
fn a_change_whose_reply_is_lost_is_answered_and_counts_once() {
    let below = Below::start("lost");
    let proxy = Proxy::start(below.primary.port());
    let site = Site::with_config("lost", &below.yaml_at("", &[proxy.port()]));
    let events = Events::listen(&below);
    let process = site.up();
    wait_health(&site, "ok");
    let mut shop = site.shop();
    let mut wanted = BTreeMap::new();
    for (user, loss) in (1..).zip([Loss::Reply, Loss::Commit]) {
        let before = figure(&site, RESOLVED);
        proxy.lose(loss);
        let id = shop.create(user).id;
        // Without an event id of his own, and with one.
        for (version, event, event_id) in [(2, "pay", ""), (3, "ship", "parcel-1"), (4, "complete", "")] {
            proxy.lose(loss);
            assert_eq!(shop.event(id, event, event_id).version, version, "{loss:?}");
            assert!(proxy.has_lost(), "{event}");
        }
        assert_eq!(figure(&site, RESOLVED) - before, 4, "{loss:?}");
        assert_eq!(shop.get(id).version, 4);
        let again = shop.event(id, "ship", "parcel-1");
        assert_eq!(again.version, 4, "a repeated call answers what is there now");
        assert_eq!(below.history(id), [(2, 2, 1), (3, 3, 2), (4, 4, 3)]);
        wanted.insert(id, 4);
    }
    check_order(&events.wait_for(&wanted));
    // What is on the bus does not stay in the outbox.
    let emptied = until(within(30), || {
        let left = |shard| below.primary.sql(&format!("SELECT COUNT(*) FROM shop_{shard}.order_outbox"));
        (0..4).all(|shard| left(shard).unwrap() == "0").then_some(())
    });
    assert!(emptied.is_some());
    no_panic(&process);
}
