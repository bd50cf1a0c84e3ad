//! The lease that IDs are minted under, taken as the section `data` says.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_ids::shared::etcd::Etcd;
use aqueduct_ids::shared::mysql::Mysql;
use aqueduct_ids::shared::{SharedLease, SharedOptions};
use aqueduct_ids_service::Held;
use aqueduct_shards::{Address, Shards};
use mysql_async::{Conn, OptsBuilder};

use crate::config::{IdsFile, LeaseFile, MysqlFile};
use crate::trust::Trust;

/// A server that is away when this one starts is waited for so long.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Takes a shared lease; `None` where the lease is in the data folder.
pub(crate) async fn shared(ids: &IdsFile, databases: Option<(&MysqlFile, &Shards)>) -> Result<Option<Held>> {
    let options =
        SharedOptions { term: ids.term, worker: ids.worker, name: name(), ..SharedOptions::default() };
    let held = match (&ids.lease, databases) {
        (LeaseFile::Etcd { servers, prefix }, _) => {
            let urls: Vec<_> = servers.iter().map(|server| format!("http://{server}")).collect();
            let register = Etcd::new(&urls, prefix)?;
            let claimed = Box::pin(SharedLease::claim(register, options)).await;
            Held::Etcd(claimed.context("take a worker number for ids")?)
        }
        (LeaseFile::Mysql, Some((file, shards))) => {
            let claimed = Box::pin(SharedLease::claim(register(file, shards), options)).await;
            Held::Mysql(claimed.context("take a worker number for ids")?)
        }
        (LeaseFile::Folder | LeaseFile::Mysql, _) => return Ok(None),
    };
    tracing::info!(worker = held.generator().worker(), "this process has a worker number for ids");
    Ok(Some(held))
}

/// In the database of shard 0, wherever its primary is each time.
fn register(file: &MysqlFile, shards: &Shards) -> Mysql {
    let database = file.shards.first().map(|shard| shard.database.clone()).unwrap_or_default();
    let (login, shards) = (file.login.clone(), shards.clone());
    let tls = file.tls.as_ref().map(Trust::mysql);
    let place = format!("the database {database}");
    Mysql::with(place, move || {
        let options = |Address { host, port }: Address| {
            OptsBuilder::default()
                .ip_or_hostname(host)
                .tcp_port(port)
                .user(login.user.clone())
                .pass(login.password.clone())
                .db_name(Some(database.clone()))
                .ssl_opts(tls.clone())
                // A socket would not be where it was asked to connect to.
                .prefer_socket(false)
        };
        let options = shards.primary(0).map(options);
        async move {
            let options = options.map_err(|error| mysql_async::Error::Other(Box::new(error)))?;
            let late =
                |_| mysql_async::Error::Other(format!("no connection within {CONNECT_WITHIN:?}").into());
            tokio::time::timeout(CONNECT_WITHIN, Conn::new(options)).await.map_err(late)?
        }
    })
}

/// Who has a number, as operators see it.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), std::process::id())
}
