//! The coordinator of transfers on the shards: its store is the database of shard 0, which all processes share, and whichever has a
//! saga's lease drives it.
//!
//! The store has connections to one server. When another one becomes the primary, the coordinator is dropped, which is as good as a
//! crash, and opened anew there: what it had under way is claimed when its leases end.

use std::time::Duration;

use aqueduct_runtime::task::{self, Owned};
use aqueduct_saga::mysql::Mysql;
use aqueduct_saga::typed::{Definitions, InvalidDefinition};
use aqueduct_saga::{Coordinator, Filter, Options, StoreError};
use aqueduct_shards::{Address, Shards};
use aqueduct_telemetry::health::Check;
use futures_util::future::{FutureExt as _, Shared};
use mysql_async::{OptsBuilder, Pool, PoolConstraints, PoolOpts, SslOpts};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::transfers::definition;
use crate::transfers::seats::Seats;

/// The shard whose database has the sagas.
const SHARD: u8 = 0;
/// How long the database may take to let us in.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// From question to question: whether the database answers, and whether it is still the primary.
const EVERY: Duration = Duration::from_millis(500);
/// Connections kept, and the most: the writer has some, and whoever reads takes one each time.
const CONNECTIONS: (usize, usize) = (2, 16);
/// Those beyond are closed when they were idle for so long.
const IDLE: Duration = Duration::from_mins(1);
/// A process that stands still in the middle of a transaction keeps its locks for no longer, so that others can take over.
const STANDSTILL: &str = "SET SESSION idle_transaction_timeout = 5";

/// Who logs in, and where to.
pub(crate) struct Place {
    pub(crate) shards: Shards,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) tls: Option<SslOpts>,
}

impl Place {
    pub(super) fn new(shards: &Shards, configured: &aqueduct_shards::Options) -> Self {
        let database = configured.shards.get(usize::from(SHARD)).map(|shard| shard.database.clone());
        Self {
            shards: shards.clone(),
            database: database.unwrap_or_default(),
            user: configured.user.clone(),
            password: configured.password.clone(),
            tls: configured.tls.clone(),
        }
    }

    fn pool(&self, Address { host, port }: Address) -> Pool {
        let constraints = PoolConstraints::new(CONNECTIONS.0, CONNECTIONS.1).unwrap_or_default();
        let pool = PoolOpts::default().with_constraints(constraints).with_inactive_connection_ttl(IDLE);
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(&self.user))
            .pass(Some(&self.password))
            .db_name(Some(&self.database))
            .ssl_opts(self.tls.clone())
            .prefer_socket(false)
            .setup(vec![STANDSTILL])
            .pool_opts(pool);
        Pool::new(options)
    }
}

/// What drives the sagas of this process.
pub(crate) struct Runner {
    pub(crate) place: Place,
    pub(crate) options: Options,
    pub(crate) seats: Seats,
    pub(crate) told: watch::Sender<Option<Coordinator<Mysql>>>,
    pub(crate) check: Check,
}

impl Runner {
    /// Until `stopped` resolves and the calls that are under way by then are answered.
    pub(crate) async fn run(self, stopped: oneshot::Receiver<()>) {
        let stopped = stopped.map(drop).shared();
        while let Err(why) = self.once(&stopped).await {
            self.told.send_replace(None);
            tracing::warn!(%why, "transfers rest; trying again");
            self.check.failed(why.to_string());
            tokio::select! {
                biased;
                () = stopped.clone() => break,
                () = sleep(EVERY) => {}
            }
        }
        self.told.send_replace(None);
    }

    /// On the primary of now, for as long as it is that.
    async fn once(&self, stopped: &Shared<impl Future<Output = ()>>) -> Result<(), Stopped> {
        let primary = self.place.shards.primary(SHARD)?;
        let opened = timeout(OPEN_WITHIN, Mysql::open(self.place.pool(primary.clone())));
        let (store, writing) = tokio::select! {
            biased;
            () = stopped.clone() => return Ok(()),
            opened = opened => opened.map_err(|_| Stopped::Late)??,
        };
        let _writing = Owned::from(task::spawn("shop-saga-writer", writing.run()));
        let coordinator = Coordinator::open(store, self.options.clone())?;
        let definitions = Definitions::new().with(definition::transfer(&self.seats)?)?;
        self.told.send_replace(Some(coordinator.clone()));
        tracing::debug!(%primary, "transfers are driven");
        let mut run = Box::pin(coordinator.run(definitions, stopped.clone()));
        tokio::select! {
            biased;
            ended = &mut run => Ok(ended?),
            () = self.watch(&coordinator) => Ok(()),
            () = self.moved(&primary) => Err(Stopped::Moved),
        }
    }

    /// Tells whether the store answers.
    async fn watch(&self, coordinator: &Coordinator<Mysql>) {
        loop {
            match coordinator.list(Filter { limit: 1, ..Filter::default() }).await {
                Ok(_) => self.check.ok(""),
                Err(error) => self.check.failed(error.to_string()),
            }
            sleep(EVERY).await;
        }
    }

    /// Resolves when another server is the primary. Where there is none at the moment, the old one may come back.
    async fn moved(&self, from: &Address) {
        while self.place.shards.primary(SHARD).map_or(true, |now| now == *from) {
            sleep(EVERY).await;
        }
    }
}

/// Why a coordinator is opened anew.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    NoPrimary(#[from] aqueduct_shards::Error),
    #[error("the database of the transfers does not answer")]
    Late,
    #[error("another server has become the primary")]
    Moved,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Options(#[from] aqueduct_saga::InvalidOptions),
    #[error(transparent)]
    Definition(#[from] InvalidDefinition),
}
