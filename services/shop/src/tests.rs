//! What only the inside can arrange: a disk that fails or hangs, a clock that is set back, time that has passed.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use aqueduct_fsm::Word;
use aqueduct_ids::Clock;
use aqueduct_runtime::context::Context;
use aqueduct_runtime::task;
use aqueduct_shards::Token;
use aqueduct_telemetry::health::{Health, Status};
use aqueduct_telemetry::metrics::{Format, Registry};
use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::book::{Book, Embedded};
use crate::caller::Caller;
use crate::changes::{Change, Publisher};
use crate::order::Event;
use crate::orders::watch::Changes;
use crate::orders::{create, get, list, transition, watch};
use crate::proto::shop::{CreateOrderRequest, GetOrderRequest, Item, ListOrdersRequest, Order};
use crate::refuse::Refusal;
use crate::store::{NewOrder, Writer};
use crate::{Options, Shop};

/// A shop whose handlers are called directly.
struct Inside {
    shop: Shop,
    health: Health,
    registry: Registry,
}

fn open(folder: &TempDir, change: impl FnOnce(&mut Options), store: impl FnOnce(Writer) -> Writer) -> Inside {
    let mut options = Options { data_dir: folder.path().join("data"), ..Options::default() };
    change(&mut options);
    let (health, registry) = (Health::new(), Registry::new());
    let shop = Shop::open_with(&options, &registry, &health, store).unwrap();
    health.set_started();
    assert_eq!(health.status(), Status::Ok);
    Inside { shop, health, registry }
}

fn plain(folder: &TempDir) -> Inside {
    open(folder, |_| (), |writer| writer)
}

impl Inside {
    async fn create(&self) -> Result<Order, Refusal> {
        let items = vec![Item { sku: "tea".into(), quantity: 1, price_cents: 100 }];
        let request = CreateOrderRequest { user_id: 1, items, note: String::new() };
        Ok(create::handle(&self.shop.orders, request, &nobody()).await?.into_inner())
    }

    async fn get(&self, id: i64) -> Result<Order, Refusal> {
        Ok(get::handle(&self.shop.orders, &GetOrderRequest { id }, &nobody()).await?.into_inner())
    }

    async fn apply(&self, id: i64, event: Event) -> Result<Order, Refusal> {
        Ok(transition::handle(&self.shop.orders, id, event, "", &nobody()).await?.into_inner())
    }

    async fn all(&self) -> Vec<Order> {
        let request = ListOrdersRequest { user_id: 1, page_size: 0, page_token: String::new() };
        list::handle(&self.shop.orders, &request, &nobody()).await.unwrap().into_inner().orders
    }

    async fn watch(&self, id: i64) -> Changes {
        let context = Context::new_root(false);
        watch::handle(&self.shop.orders, id, context).await.unwrap().into_inner()
    }

    fn embedded(&self) -> &Embedded {
        match &*self.shop.orders.book {
            Book::Embedded(store) => store,
            Book::Sharded(_) => panic!("opened on a folder"),
        }
    }
}

/// A caller who demands nothing.
fn nobody() -> Caller {
    Caller { context: Context::new_root(false), token: Token::default() }
}

/// Resolves once nobody uses the data folder any more.
async fn unlocked(folder: &TempDir) {
    let lock = File::open(folder.path().join("data/LOCK")).unwrap();
    while lock.try_lock().is_err() {
        tokio::task::yield_now().await;
    }
}

async fn version(changes: &mut Changes) -> i64 {
    changes.next().await.unwrap().unwrap().version
}

#[tokio::test]
async fn a_disk_that_fails_acknowledges_nothing_and_is_told_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&broken);
    let inside = open(
        &folder,
        |_| (),
        |writer| {
            writer.with_sync(Box::new(move |batch| {
                if switch.load(Relaxed) {
                    return Err("no space left on device".into());
                }
                Ok(batch.commit()?)
            }))
        },
    );
    let order = inside.create().await.unwrap();
    let mut changes = inside.watch(order.id).await;
    assert_eq!(version(&mut changes).await, 1);

    broken.store(true, Relaxed);
    for refusal in [inside.apply(order.id, Event::Pay).await.unwrap_err(), inside.create().await.unwrap_err()]
    {
        assert_eq!(tonic::Status::from(refusal).code(), Code::Unavailable);
    }
    assert_eq!(inside.shop.failed().await.reason(), "no space left on device");
    assert_eq!(inside.health.status(), Status::Unavailable);
    let detail = String::from_utf8(inside.health.healthz().body.to_vec()).unwrap();
    assert!(detail.contains(r#""store":{"ok":false,"detail":"no space left on device""#), "{detail}");
    assert_eq!(changes.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(changes.next().await.is_none());
    // What was acknowledged can still be read, and only that.
    assert_eq!(inside.get(order.id).await.unwrap(), order);
    assert_eq!(inside.all().await, std::slice::from_ref(&order));
    drop(changes);
    assert!(inside.shop.close().await.is_err());
    // A failed committer is not waited for; its thread lets the store go when it can.
    unlocked(&folder).await;
    let inside = plain(&folder);
    assert_eq!(inside.all().await, [order]);
    inside.shop.close().await.unwrap();
}

/// A commit waits for as long as `gate` is not told to let it go.
fn gated(writer: Writer) -> (Writer, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (reached, at_gate) = mpsc::channel();
    let (gate, opened) = mpsc::channel();
    let writer = writer.with_sync(Box::new(move |batch| {
        reached.send(()).unwrap();
        opened.recv().unwrap();
        Ok(batch.commit()?)
    }));
    (writer, at_gate, gate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_refuses_what_exceeds_the_queue_and_acknowledges_after_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut gates = None;
    let inside = open(
        &folder,
        |options| options.queue = 1,
        |writer| {
            let (writer, at_gate, gate) = gated(writer);
            gates = Some((at_gate, gate));
            writer
        },
    );
    let (at_gate, gate) = gates.unwrap();
    let inside = Arc::new(inside);
    let create = || {
        let inside = Arc::clone(&inside);
        task::spawn("create", async move { inside.create().await })
    };
    let first = create();
    at_gate.recv().unwrap();
    assert!(!first.is_finished());
    assert!(inside.all().await.is_empty(), "visible before it is durable");

    let second = create();
    while inside.embedded().fsm.stats().queued == 0 {
        tokio::task::yield_now().await;
    }
    let status = tonic::Status::from(inside.create().await.unwrap_err());
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());

    gate.send(()).unwrap();
    let first = first.await.unwrap().unwrap();
    at_gate.recv().unwrap();
    gate.send(()).unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!(inside.all().await, [second, first]);
    Arc::into_inner(inside).unwrap().shop.close().await.unwrap();
}

/// A renewal that is late has not reserved the present time, as after a jump of the clock. It comes, so orders wait.
#[tokio::test]
async fn a_late_renewal_delays_new_orders_and_refuses_none() {
    let folder = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(aqueduct_runtime::clock::now_unix_ms()));
    let clock = Arc::clone(&now);
    let inside =
        open(&folder, |options| options.clock = Clock::from_fn(move || clock.load(Relaxed)), |writer| writer);
    for _ in 0..3 {
        now.fetch_add(10_000, Relaxed);
        assert_eq!(inside.create().await.unwrap().version, 1);
    }
    inside.shop.close().await.unwrap();
}

#[tokio::test]
async fn a_clock_set_back_refuses_new_orders_until_it_has_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(1_800_000_000_000));
    let clock = Arc::clone(&now);
    let inside =
        open(&folder, |options| options.clock = Clock::from_fn(move || clock.load(Relaxed)), |writer| writer);
    let before = inside.create().await.unwrap();
    now.fetch_sub(60_000, Relaxed);
    let status = tonic::Status::from(inside.create().await.unwrap_err());
    assert_eq!(status.code(), Code::Unavailable);
    let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((Duration::from_secs(55)..=Duration::from_mins(1)).contains(&delay), "{delay:?}");
    // Orders that exist are served all the while.
    assert_eq!(inside.apply(before.id, Event::Pay).await.unwrap().version, 2);

    // The next renewal tells, and the one after the clock has caught up takes it back.
    let mut status = inside.health.subscribe();
    status.wait_for(|status| *status == Status::Unavailable).await.unwrap();
    now.fetch_add(60_000, Relaxed);
    status.wait_for(|status| *status == Status::Ok).await.unwrap();
    assert!(inside.create().await.unwrap().id > before.id);
    inside.shop.close().await.unwrap();
}

#[tokio::test]
async fn an_order_that_was_asked_for_too_early_is_found_once_it_exists() {
    let folder = tempfile::tempdir().unwrap();
    let inside = plain(&folder);
    for id in 1..100 {
        assert!(matches!(inside.get(id).await, Err(Refusal::NotFound(_))));
        let body = Order { user_id: 1, ..Order::default() };
        inside.embedded().fsm.create(id.cast_unsigned(), NewOrder::new(&body)).await.unwrap();
        assert_eq!(inside.get(id).await.unwrap().version, 1);
    }
    inside.shop.close().await.unwrap();
}

/// With nobody following the bus, what the committer does by itself is all there is.
#[tokio::test]
async fn the_committer_fences_the_cache_before_it_acknowledges() {
    let folder = tempfile::tempdir().unwrap();
    let inside = plain(&folder);
    inside.shop.followers.iter().for_each(JoinHandle::abort);
    for _ in 0..20 {
        let id = inside.create().await.unwrap().id;
        assert_eq!(inside.get(id).await.unwrap().version, 1);
        inside.apply(id, Event::Pay).await.unwrap();
        assert_eq!(inside.get(id).await.unwrap().version, 2);
    }
    inside.shop.close().await.unwrap();
}

/// As another node will hear of it.
#[tokio::test]
async fn a_change_on_the_bus_invalidates_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let inside = plain(&folder);
    let id = inside.create().await.unwrap().id;
    inside.get(id).await.unwrap();
    let cache = &inside.shop.orders.cache;
    let before = cache.stats();
    let word = Word::new(2, 7).unwrap();
    Publisher::new(inside.shop.orders.bus.clone().unwrap())
        .publish([Change { order: id, word }].into_iter())
        .unwrap();
    while cache.stats().fences == before.fences {
        tokio::task::yield_now().await;
    }
    // Version 7 is announced, and the store that is asked now is behind it.
    let status = tonic::Status::from(inside.get(id).await.unwrap_err());
    assert_eq!(status.code(), Code::Unavailable);
    inside.shop.close().await.unwrap();
}

#[tokio::test]
async fn a_stale_answer_tells_its_age() {
    let folder = tempfile::tempdir().unwrap();
    let inside = plain(&folder);
    let id = inside.create().await.unwrap().id;
    inside.get(id).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(20)).await;
    let request = GetOrderRequest { id };
    let stale = get::handle(&inside.shop.orders, &request, &nobody()).await.unwrap();
    let age: u64 = stale.metadata().get("x-aqueduct-age-ms").unwrap().to_str().unwrap().parse().unwrap();
    assert!(age >= 20_000, "{age}");
    // The refresh that it began is done by the next turn of the runtime.
    while inside.shop.orders.cache.stats().refreshes == 0 || inside.shop.orders.cache.stats().loads < 2 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let fresh = get::handle(&inside.shop.orders, &request, &nobody()).await.unwrap();
    assert_eq!(fresh.metadata().get("x-aqueduct-age-ms"), None);
    tokio::time::resume();
    inside.shop.close().await.unwrap();
}

#[tokio::test]
async fn a_watcher_that_missed_changes_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let inside = plain(&folder);
    let id = inside.create().await.unwrap().id;
    let mut changes = inside.watch(id).await;
    assert_eq!(version(&mut changes).await, 1);
    // As after a gap on the bus, before and after the change that fell into it.
    inside.shop.orders.watchers.missed();
    inside.apply(id, Event::Pay).await.unwrap();
    assert_eq!(version(&mut changes).await, 2);
    inside.apply(id, Event::Ship).await.unwrap();
    inside.shop.orders.watchers.missed();
    assert_eq!(version(&mut changes).await, 3);
    inside.apply(id, Event::Complete).await.unwrap();
    assert_eq!(version(&mut changes).await, 4);
    assert!(changes.next().await.is_none());
    drop(changes);
    assert_eq!(inside.shop.orders.watchers.alive(), 0);
    inside.shop.close().await.unwrap();
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inside = open(&folder, |options| options.max_watches = 1, |writer| writer);
    let id = inside.create().await.unwrap().id;
    let only = inside.watch(id).await;
    let context = Context::new_root(false);
    let refused = watch::handle(&inside.shop.orders, id, context).await.err().unwrap();
    assert_eq!(tonic::Status::from(refused).code(), Code::ResourceExhausted);
    drop(only);
    drop(inside.watch(id).await);
    inside.shop.close().await.unwrap();
}

#[tokio::test]
async fn a_shop_that_is_dropped_lets_its_folder_go() {
    let folder = tempfile::tempdir().unwrap();
    let inside = plain(&folder);
    let order = inside.create().await.unwrap();
    drop(inside.shop);
    unlocked(&folder).await;
    // As after a crash, the clock may have to pass the time that was reserved; what exists is there at once.
    let inside = plain(&folder);
    assert_eq!(inside.all().await, [order]);
    inside.shop.close().await.unwrap();
}

#[tokio::test]
async fn the_figures_of_the_parts_are_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let inside = plain(&folder);
    let id = inside.create().await.unwrap().id;
    inside.apply(id, Event::Pay).await.unwrap();
    inside.get(id).await.unwrap();
    inside.get(id).await.unwrap();
    let page = inside.registry.encode(Format::default());
    for line in [
        r#"aqueduct_cache_reads_total{answer="hit"} 1"#,
        r#"aqueduct_cache_reads_total{answer="miss"} 1"#,
        r#"aqueduct_fsm_changes_total{kind="create"} 1"#,
        r#"aqueduct_fsm_changes_total{kind="transition"} 1"#,
        "aqueduct_fsm_commits_total 2",
        "aqueduct_fsm_sync_seconds_count 2",
        "aqueduct_fsm_batch_size_sum 2",
        "aqueduct_bus_published_total 2",
        "aqueduct_shop_watches 0",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    inside.shop.close().await.unwrap();
    assert!(
        !inside.registry.encode(Format::default()).contains("aqueduct_fsm"),
        "the registry holds the shop"
    );
}
