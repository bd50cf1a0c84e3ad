//! Which lease IDs are minted under: the key `ids` of the section `data`.

use std::time::Duration;

use super::data::{Server, servers};
use super::report::Problems;
use super::value::{Fields, Value};

/// The lease of the IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdsFile {
    pub(crate) lease: LeaseFile,
    /// The number that a shared lease is asked for; any if there is none.
    pub(crate) worker: Option<u16>,
    /// For how long a shared lease is granted.
    pub(crate) term: Duration,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeaseFile {
    /// In the data folder, on the number in `shop.worker`.
    Folder,
    /// In the database of shard 0.
    Mysql,
    /// In etcd.
    Etcd { servers: Vec<Server>, prefix: String },
}

impl Default for IdsFile {
    fn default() -> Self {
        Self { lease: LeaseFile::Folder, worker: None, term: Duration::from_secs(10) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Mysql,
    Etcd,
}

/// Reads the key; with databases the lease is there unless told.
pub(super) fn read(fields: &mut Fields<'_>, problems: &Problems) -> IdsFile {
    let with_mysql = fields.has_any(&["mysql"]);
    let mut ids = IdsFile::default();
    if with_mysql {
        ids.lease = LeaseFile::Mysql;
    }
    let Some(mut section) = fields.get("ids").and_then(|value| value.fields("{ lease: mysql }")) else {
        return ids;
    };
    let etcd = section.get("etcd");
    let kind = section.get("lease").and_then(|value| {
        value.one_of(&[("folder", Kind::Folder), ("mysql", Kind::Mysql), ("etcd", Kind::Etcd)])
    });
    let default = if with_mysql { Kind::Mysql } else { Kind::Folder };
    let kind = kind.unwrap_or(if etcd.is_some() { Kind::Etcd } else { default });
    section.set("worker", &mut ids.worker, worker);
    let terms = Duration::from_secs(1)..=Duration::from_hours(1);
    section.set("term", &mut ids.term, |value| value.duration(terms));
    section.finish();
    ids.lease = match (kind, etcd) {
        (Kind::Etcd, Some(value)) => self::etcd(&value).unwrap_or(LeaseFile::Folder),
        (kind, etcd) => {
            if let Some(value) = etcd {
                value.problem("is not used: `lease` says that the lease is elsewhere");
            }
            match kind {
                Kind::Mysql if !with_mysql => {
                    let message = "`lease: mysql` needs the databases in `data.mysql`";
                    problems.add_later("data.ids.lease".to_owned(), message.to_owned());
                }
                Kind::Etcd => {
                    let message = "`lease: etcd` needs `etcd: { servers: [\"127.0.0.1:2379\"] }`";
                    problems.add_later("data.ids.lease".to_owned(), message.to_owned());
                }
                Kind::Folder | Kind::Mysql => {}
            }
            if kind == Kind::Folder { LeaseFile::Folder } else { LeaseFile::Mysql }
        }
    };
    ids
}

/// `shop.worker` and `data.ids.worker` are for different leases.
pub(super) fn agree(ids: &IdsFile, shop_worker: u16, problems: &Problems) {
    if ids.lease != LeaseFile::Folder && shop_worker != 0 {
        let message = "is for a lease in the data folder: with one that is shared leave it out, or ask for a number with `data.ids.worker`";
        problems.add_later("shop.worker".to_owned(), message.to_owned());
    }
    if let Some(worker) = ids.worker.filter(|_| ids.lease == LeaseFile::Folder) {
        let message =
            format!("is for a lease that is shared: for one in the data folder `shop.worker: {worker}` is");
        problems.add_later("data.ids.worker".to_owned(), message);
    }
}

/// `any`, or a number.
#[expect(clippy::option_option, reason = "the outer one: whether it could be read")]
fn worker(value: &Value<'_>) -> Option<Option<u16>> {
    value.parsed(|text| match text {
        "any" => Ok(None),
        text => {
            let number = text.parse().ok().filter(|number| *number <= 127);
            number
                .map(Some)
                .ok_or_else(|| format!("`any` or a number from 0 to 127 is wanted here, not `{text}`"))
        }
    })
}

fn etcd(value: &Value<'_>) -> Option<LeaseFile> {
    let mut fields = value.fields("{ servers: [\"127.0.0.1:2379\"] }")?;
    let servers = fields.require("servers").and_then(|value| servers(&value, "127.0.0.1:2379"));
    let mut prefix = "/aqueduct/ids/".to_owned();
    fields.set("prefix", &mut prefix, |value| {
        value.parsed(|text| match text.strip_suffix('/') {
            Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
            _ => Err(format!("a prefix ends in `/`, such as `/aqueduct/ids/`; `{text}` does not")),
        })
    });
    fields.finish();
    Some(LeaseFile::Etcd { servers: servers?, prefix })
}
