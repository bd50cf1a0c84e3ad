//! One shop: opened on a data folder, served on a listener, and closed so that nothing is left behind.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_bus::Log;
use aqueduct_cache::Builder;
use aqueduct_fsm::{Failure, Fsm};
use aqueduct_ids::{Generator, Lease, LeaseError, LeaseOptions};
use aqueduct_ids_service::Keeper;
use aqueduct_runtime::task::{self, Owned};
use aqueduct_runtime::{clock, drain::Drain};
use aqueduct_telemetry::health::{Health, OnFailure};
use aqueduct_telemetry::metrics::Registry;
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::bank::{Bank, Runner};
use crate::bank_service::BankService;
use crate::book::{Book, Embedded};
use crate::changes::{self, Publisher};
use crate::cluster::audit;
use crate::error::{OpenError, ServeError};
use crate::folder::Folder;
use crate::health::HealthService;
use crate::ledger;
use crate::metrics::{self, Metrics};
use crate::options::Options;
use crate::order;
use crate::orders::{OrderCache, Orders};
use crate::periodic::Periodic;
use crate::proto::shop::Order;
use crate::proto::shop::account_service_server::AccountServiceServer;
use crate::proto::shop::order_service_server::OrderServiceServer;
use crate::proto::shop::transfer_service_server::TransferServiceServer;
use crate::server;
use crate::service::Service;
use crate::store::{ReadError, Tables, Writer};
use crate::transfers::seats::Seats;
use crate::vitals::{Failed, Monitor, Vitals};
use crate::watchers::{News, Watchers};

/// How long the start waits for a clock that is behind the ids minted before it. A crash leaves it at most half a second
/// behind; what is longer was set back by someone, and the health check tells.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How often the watchman looks.
pub(crate) const WATCH_EVERY: Duration = Duration::from_millis(500);

/// A shop on one data folder, which is its own until it is closed or dropped.
#[derive(Debug)]
pub struct Shop {
    pub(crate) orders: Arc<Orders>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) jobs: Vec<Periodic>,
    /// End when the bus is closed.
    pub(crate) followers: Vec<JoinHandle<()>>,
    /// End with the shop.
    pub(crate) background: Vec<Owned>,
    /// Of a lease that no job renews.
    pub(crate) keeper: Option<Keeper>,
    /// Where no store holds it.
    pub(crate) folder: Option<Folder>,
    /// Accounts and transfers, and the sagas that are being run.
    pub(crate) bank: (Arc<Bank>, Runner),
}

impl Shop {
    /// Opens a data folder, and starts what works for it: the committer, the lease's renewal, the store's watchman, and
    /// the tasks that follow the bus. Blocks on the disk for as long as the journal takes to be read; must be called
    /// within a tokio runtime.
    ///
    /// Its metrics appear in `registry`, its state as the check `store` in `health`.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing is left running.
    pub fn open(options: &Options, registry: &Registry, health: &Health) -> Result<Self, OpenError> {
        Self::open_with(options, registry, health, |writer| writer)
    }

    /// As [`open`](Self::open), with a store that a test may have spoilt.
    pub(crate) fn open_with(
        options: &Options,
        registry: &Registry,
        health: &Health,
        store: impl FnOnce(Writer) -> Writer,
    ) -> Result<Self, OpenError> {
        let (folder, lease) = lease(options)?;
        let ids = lease.generator();
        let tables = Tables::open(folder, options.store_cache_bytes)
            .map_err(|source| OpenError::Store { folder: options.data_dir.clone(), source })?;
        let cache = cache(options, |builder| builder)?;
        let bus = Log::new(aqueduct_bus::Options {
            source: "shop".into(),
            epoch: clock::now_unix_ms(),
            ..Default::default()
        });
        let writer = store(Writer::new(tables.clone(), cache.clone(), Publisher::new(bus.clone())));
        let committer = aqueduct_fsm::Options {
            name: "shop-committer".into(),
            queue: options.queue,
            ..Default::default()
        };
        let embedded = Embedded { fsm: Fsm::start(writer, &committer)?, tables };
        let monitor = Arc::new(Monitor::new(health.check("store", OnFailure::Unavailable)));
        let (bank, sagas) = Bank::open(options, &embedded.tables, (&ids, &monitor), Seats::open(options)?)?;
        let bank = Arc::new(bank);
        let watchers = Watchers::new(options.max_watches);
        let followers = follow(&embedded, &monitor, (&cache, &watchers, &bus));
        let fsm = embedded.fsm.clone();
        // The lease and the store share a disk: what one cannot write, the other will not either.
        let failed = move |error: LeaseError| fsm.fail(&error.to_string());
        let jobs = vec![
            renew(lease, &monitor, failed).map_err(OpenError::Thread)?,
            watch(&embedded).map_err(OpenError::Thread)?,
            ledger::server::watch("shop-accounts", bank.seats.here()).map_err(OpenError::Thread)?,
        ];
        // All stores end together: only a restart tells what is in any of them.
        let fsm = embedded.fsm.clone();
        let runner = bank.run(sagas, health, move |reason| fsm.fail(reason))?;
        let book = Arc::new(Book::Embedded(embedded));
        let orders = Arc::new(Orders {
            ids,
            book,
            cache,
            watchers,
            monitor,
            bus: Some(bus),
            auditor: audit::auditor(0),
        });
        metrics::collect(registry, &orders);
        metrics::collect_sagas(registry, &bank);
        Ok(Self {
            metrics: Metrics::new(registry),
            jobs,
            followers,
            background: Vec::new(),
            keeper: None,
            folder: None,
            bank: (bank, runner),
            orders,
        })
    }

    /// Serves gRPC on `listener` (orders, accounts, transfers, health, reflection) until `drain` starts and all that is in flight is answered.
    /// Streams end with UNAVAILABLE then. Holds a guard of the drain meanwhile.
    pub fn serve(
        &self,
        listener: TcpListener,
        drain: Drain,
    ) -> impl Future<Output = Result<(), ServeError>> + Send + use<> {
        let (orders, metrics) = (Arc::clone(&self.orders), Arc::clone(&self.metrics));
        let bank = Arc::clone(&self.bank.0);
        let guard = drain.guard();
        async move {
            await_clock(&orders.ids).await;
            let health = HealthService::new(&NAMES, &orders.monitor);
            let monitor = Arc::clone(&orders.monitor);
            let started = async {
                drain.started().await;
                monitor.stop();
            };
            let served = server::serve(listener, started, routes(orders, bank, metrics), health).await;
            drop(guard);
            served
        }
    }

    /// Resolves with the reason once the store or the lease of the ids has failed; never otherwise. From then on nothing is accepted, and the
    /// process should exit: only a restart reads back what reached the disk, or takes another lease.
    pub async fn failed(&self) -> Failed {
        self.orders.monitor.failed().await
    }

    /// Commits what is queued, stores the exact end of the ids, and waits for every thread and task. Comes after the
    /// drain: a request that still runs is refused.
    ///
    /// # Errors
    /// [`Failure`], when the store has failed. Its threads are not waited for long: they may never return.
    pub async fn close(self) -> Result<(), Failure> {
        self.orders.monitor.stop();
        let (bank, runner) = self.bank;
        runner.stop().await;
        drop(bank);
        let committed = self.orders.book.close().await;
        if let Some(bus) = &self.orders.bus {
            bus.close();
        }
        drop(self.background);
        for follower in self.followers {
            // Its panic has been logged by the runtime.
            drop(follower.await);
        }
        let jobs = self.jobs;
        let stopped = tokio::task::spawn_blocking(move || jobs.into_iter().for_each(Periodic::stop));
        // The threads wait for the disk, and a failed one may never answer.
        let limit = if committed.is_ok() { Duration::MAX } else { MAX_WAIT };
        drop(tokio::time::timeout(limit, stopped).await);
        if let Some(keeper) = self.keeper {
            keeper.stop().await;
        }
        drop(self.folder);
        committed
    }
}

/// What gRPC health can be asked for.
const NAMES: [&str; 6] =
    ["", "shop.v1.OrderService", "store", "shop.v1.AccountService", "shop.v1.TransferService", "saga"];

fn routes(orders: Arc<Orders>, bank: Arc<Bank>, metrics: Arc<Metrics>) -> Routes {
    let service = Service { orders, metrics: Arc::clone(&metrics) };
    let service = OrderServiceServer::new(service).max_decoding_message_size(server::MAX_REQUEST);
    let routes = Routes::new(service);
    let bank = BankService { bank, metrics };
    routes.add_service(AccountServiceServer::new(bank.clone())).add_service(TransferServiceServer::new(bank))
}

/// The first level, with what `more` sets.
pub(crate) fn cache(
    options: &Options,
    more: impl FnOnce(Builder<i64, Arc<Order>, ReadError>) -> Builder<i64, Arc<Order>, ReadError>,
) -> Result<OrderCache, OpenError> {
    let builder = OrderCache::builder()
        .capacity_bytes(options.cache_bytes)
        .soft(options.cache_soft)
        .hard(options.cache_hard)
        .seed(clock::now_unix_ms())
        .weigher(|_, order| order.map_or(0, |order| order::heap_bytes(order)));
    Ok(more(builder).build(Arc::new(|load| drop(task::spawn("shop-load", load))))?)
}

/// The data folder, and the lease of the ids in it.
pub(crate) fn lease(options: &Options) -> Result<(Folder, Lease), OpenError> {
    let folder = Folder::open(&options.data_dir)?;
    let lease =
        LeaseOptions { worker: options.worker, clock: options.clock.clone(), ..LeaseOptions::default() };
    let lease = Lease::open(folder.ids(), lease)?;
    Ok((folder, lease))
}

/// Renews the lease, and tells whether ids can be minted. What keeps it from being renewed is for `failed`.
fn renew(
    lease: Lease,
    monitor: &Arc<Monitor>,
    failed: impl Fn(LeaseError) + Send + 'static,
) -> io::Result<Periodic> {
    let (monitor, ids) = (Arc::clone(monitor), lease.generator());
    let tick = move |lease: &mut Lease| {
        if let Err(error) = lease.renew() {
            failed(error);
        }
        monitor.ids(ids.ready());
    };
    let end = |lease: Lease| {
        if let Err(error) = lease.close() {
            tracing::warn!(%error, "the next start will wait for the clock");
        }
    };
    Periodic::start("shop-lease", lease.renew_every(), lease, tick, end)
}

/// Looks whether the database still takes writes. Its own threads can fail, on a full disk, while nobody writes, or while
/// the committer waits for them.
fn watch(store: &Embedded) -> io::Result<Periodic> {
    let (tables, fsm) = (store.tables.clone(), store.fsm.clone());
    let tick = move |tables: &mut Tables| {
        if let Err(error) = tables.probe() {
            fsm.fail(&error.to_string());
        }
    };
    Periodic::start("shop-watchman", WATCH_EVERY, tables, tick, drop)
}

/// The tasks that bring news from the committer to those who wait for them.
fn follow(
    store: &Embedded,
    monitor: &Arc<Monitor>,
    (cache, watchers, bus): (&OrderCache, &Arc<Watchers>, &Log),
) -> Vec<JoinHandle<()>> {
    // Weak: a shop that is dropped and not closed must end these tasks, and its committer, all the same.
    let (fsm, mut vitals, monitor) = (store.fsm.clone(), monitor.subscribe(), Arc::downgrade(monitor));
    let (cache, watchers) = (cache.clone(), Arc::clone(watchers));
    let (for_cache, for_watchers) = (bus.subscribe(), bus.subscribe());
    vec![
        task::spawn("shop-invalidate", async move {
            // In one process the committer has fenced already; a node that hears of a change only here relies on it.
            changes::follow(for_cache, |change| match change {
                Some(change) => cache.fence(&change.order, change.word.version()),
                None => cache.flush(),
            })
            .await;
        }),
        task::spawn("shop-watchers", async move {
            changes::follow(for_watchers, |change| match change {
                Some(change) => watchers.changed(change.order, News::Word(change.word)),
                None => watchers.missed(),
            })
            .await;
        }),
        task::spawn("shop-failure", async move {
            tokio::select! {
                failure = fsm.failed() => {
                    if let Some(monitor) = monitor.upgrade() {
                        monitor.fail(failure);
                    }
                }
                _ = vitals.wait_for(Vitals::ending) => {}
            }
        }),
    ]
}

/// After a crash the reserved time is ahead of the clock: waits until ids can be minted, but not for ever.
async fn await_clock(ids: &Generator) {
    let wait = ids.ready_in();
    if !wait.is_zero() {
        tracing::info!(?wait, "waiting for the clock to pass the ids minted before the start");
        tokio::time::sleep(wait.min(MAX_WAIT)).await;
    }
}
