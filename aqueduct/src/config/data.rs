//! The real servers below the caches, in the section `data`: MariaDB, Redis, the bus, and what is captured of changes. Secrets come
//! from the environment or a file, never from this one.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::auth::secret;
use super::edge::positive;
use super::report::Problems;
use super::tls;
use super::value::{Fields, Value};
use crate::trust::Trust;

/// Keys that only a file with real servers has.
const SERVERS: [&str; 5] = ["mysql", "redis", "bus", "cdc", "staleness"];

/// The real servers of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataFile {
    pub(crate) mysql: MysqlFile,
    /// Without it there is no second level of the cache.
    pub(crate) redis: Option<RedisFile>,
    pub(crate) bus: BusFile,
    pub(crate) cdc: CdcFile,
    /// How far an answer may be behind without saying so.
    pub(crate) staleness: Duration,
}

/// A login, if one is needed.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MysqlFile {
    pub(crate) login: Login,
    /// Without it the connections are not encrypted; likewise below.
    pub(crate) tls: Option<Trust>,
    /// That of shard 0 first.
    pub(crate) shards: Vec<ShardFile>,
}

/// One shard. Which server is the primary is asked, not configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardFile {
    pub(crate) database: String,
    pub(crate) servers: Vec<Server>,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Servers that hold the same databases: what a source of changes is. Its name is `primary-` and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceFile {
    pub(crate) name: String,
    pub(crate) servers: Vec<Server>,
    /// In the order of the shards.
    pub(crate) databases: Vec<String>,
}

/// The second level of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisFile {
    pub(crate) login: Login,
    pub(crate) tls: Option<Trust>,
    /// `host:port`.
    pub(crate) nodes: Vec<Server>,
}

impl RedisFile {
    /// The nodes as the client wants them, with the password.
    pub(crate) fn urls(&self) -> Vec<String> {
        let Login { user, password } = &self.login;
        let login = match (user, password) {
            (None, None) => String::new(),
            (user, password) => {
                let part = |part: &Option<String>| part.as_deref().map(percent).unwrap_or_default();
                format!("{}:{}@", part(user), part(password))
            }
        };
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        self.nodes.iter().map(|node| format!("{scheme}://{login}{node}")).collect()
    }
}

/// The bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BusFile {
    pub(crate) login: Login,
    pub(crate) tls: Option<Trust>,
    pub(crate) servers: Vec<Server>,
    /// On how many servers of a NATS cluster each record is.
    pub(crate) replicas: usize,
}

impl BusFile {
    /// The servers as the client wants them, with the password.
    pub(crate) fn url(&self) -> String {
        let Login { user, password } = &self.login;
        let login = match (user, password) {
            (Some(user), Some(password)) => format!("{}:{}@", percent(user), percent(password)),
            _ => String::new(),
        };
        let scheme = if self.tls.is_some() { "tls" } else { "nats" };
        let urls: Vec<_> = self.servers.iter().map(|server| format!("{scheme}://{login}{server}")).collect();
        urls.join(",")
    }
}

/// What is captured of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CdcFile {
    /// Whether `aqueduct up` captures the changes itself. Only one process of a system may: the others, or all where `aqueduct cdc` runs,
    /// say no.
    pub(crate) here: bool,
    /// Under which number the reader is known to the servers.
    pub(crate) server_id: u32,
    /// Empty: the shop's.
    pub(crate) tables: Vec<TableFile>,
}

/// Tables whose changes are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFile {
    /// `database.table`; a `*` stands for any characters of one of them.
    pub(crate) database: String,
    pub(crate) table: String,
    /// The version column.
    pub(crate) version: Option<String>,
}

impl DataFile {
    /// The sources of changes.
    pub(crate) fn sources(&self) -> Vec<SourceFile> {
        let mut sources: Vec<SourceFile> = Vec::new();
        for shard in &self.mysql.shards {
            let same = |source: &&mut SourceFile| source.servers.iter().any(|it| shard.servers.contains(it));
            match sources.iter_mut().find(same) {
                Some(source) => {
                    let new = shard.servers.iter().filter(|it| !source.servers.contains(it));
                    let new: Vec<_> = new.cloned().collect();
                    source.servers.extend(new);
                    source.databases.push(shard.database.clone());
                }
                None => sources.push(SourceFile {
                    name: format!("primary-{}", sources.len()),
                    servers: shard.servers.clone(),
                    databases: vec![shard.database.clone()],
                }),
            }
        }
        sources
    }
}

/// Reads the keys of real servers out of the section `data`; `None` when it has none of them.
pub(super) fn read(fields: &mut Fields<'_>, base: &Path, problems: &Problems) -> Option<DataFile> {
    let any = fields.has_any(&SERVERS);
    let mysql = fields.get("mysql");
    let redis = fields.get("redis").and_then(|value| redis(&value, base));
    let bus = fields.get("bus");
    let cdc = fields.get("cdc").map_or_else(|| Some(CdcFile::default()), |value| cdc(&value));
    let mut staleness = Duration::from_secs(1);
    fields.set("staleness", &mut staleness, positive);
    if !any {
        return None;
    }
    for (name, is) in [("mysql", mysql.is_some()), ("bus", bus.is_some())] {
        if !is {
            let message = format!("`{name}` is missing: with real servers it is needed");
            problems.add_later(format!("data.{name}"), message);
        }
    }
    let mysql = mysql.and_then(|value| self::mysql(&value, base));
    let bus = bus.and_then(|value| self::bus(&value, base));
    Some(DataFile { mysql: mysql?, redis, bus: bus?, cdc: cdc?, staleness })
}

impl Default for CdcFile {
    fn default() -> Self {
        Self { here: true, server_id: 4_200_001, tables: Vec::new() }
    }
}

fn mysql(value: &Value<'_>, base: &Path) -> Option<MysqlFile> {
    const SHARD: &str = "{ database: shop_0, servers: [\"127.0.0.1:3306\"] }";
    let mut fields =
        value.fields("{ user: shop, shards: [{ database: shop_0, servers: [\"127.0.0.1:3306\"] }] }")?;
    let login = login(&mut fields, base);
    if login.user.is_none() && !fields.has_any(&["user"]) {
        value.problem("`user` is missing: who logs in to the databases");
    }
    let tls = encryption(&mut fields, base);
    let shards: Option<Vec<ShardFile>> = fields
        .require("shards")
        .and_then(|list| list.items(&format!("[{SHARD}]")).iter().map(|item| shard(item, SHARD)).collect());
    fields.finish();
    let shards = shards?;
    if shards.is_empty() {
        value.problem("`shards` is empty: name at least one database");
    }
    Some(MysqlFile { login, tls, shards })
}

fn shard(value: &Value<'_>, example: &str) -> Option<ShardFile> {
    let mut fields = value.fields(example)?;
    let database = fields.require("database").and_then(|value| value.parsed(name));
    let servers = fields.require("servers").and_then(|value| servers(&value, "127.0.0.1:3306"));
    fields.finish();
    Some(ShardFile { database: database?, servers: servers? })
}

fn redis(value: &Value<'_>, base: &Path) -> Option<RedisFile> {
    let mut fields = value.fields("{ nodes: [\"127.0.0.1:7000\"] }")?;
    let login = login(&mut fields, base);
    let tls = encryption(&mut fields, base);
    let nodes = fields.require("nodes").and_then(|value| servers(&value, "127.0.0.1:7000"));
    fields.finish();
    Some(RedisFile { login, tls, nodes: nodes? })
}

fn bus(value: &Value<'_>, base: &Path) -> Option<BusFile> {
    let mut fields = value.fields("{ servers: [\"127.0.0.1:4222\"] }")?;
    let login = login(&mut fields, base);
    let tls = encryption(&mut fields, base);
    let servers = fields.require("servers").and_then(|value| servers(&value, "127.0.0.1:4222"));
    let mut replicas = 1;
    fields.set("replicas", &mut replicas, |value| value.integer(1..=5));
    fields.finish();
    Some(BusFile { login, tls, servers: servers?, replicas })
}

fn cdc(value: &Value<'_>) -> Option<CdcFile> {
    const TABLE: &str = "{ table: shop_0.orders, version: version }";
    let mut fields = value.fields(&format!("{{ tables: [{TABLE}] }}"))?;
    let mut cdc = CdcFile::default();
    fields.set("here", &mut cdc.here, Value::boolean);
    fields.set("server_id", &mut cdc.server_id, |value| {
        value.integer(1..=u32::MAX as usize).and_then(|id| u32::try_from(id).ok())
    });
    fields.set("tables", &mut cdc.tables, |value| {
        Some(value.items(&format!("[{TABLE}]")).iter().filter_map(|item| table(item, TABLE)).collect())
    });
    fields.finish();
    Some(cdc)
}

fn table(value: &Value<'_>, example: &str) -> Option<TableFile> {
    let mut fields = value.fields(example)?;
    let names = fields.require("table").and_then(|value| {
        value.parsed(|text| match text.split_once('.') {
            Some((database, table)) => Ok((name(database)?, name(table)?)),
            None => Err("`database.table` is wanted here, such as `shop_*.orders_*`".to_owned()),
        })
    });
    let version = fields.get("version").and_then(|value| value.parsed(name));
    fields.finish();
    let (database, table) = names?;
    Some(TableFile { database, table, version })
}

/// The names of databases, tables and columns that this system creates or caches: what needs no quotes, and `*`.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = |char: char| char.is_alphanumeric() || matches!(char, '_' | '$' | '-' | '*');
    if !text.is_empty() && text.chars().count() <= 64 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no name: at most 64 letters, digits, `_`, `-` and `$`"))
    }
}

/// `user`, and `password: { env }` or `{ file }`.
pub(super) fn login(fields: &mut Fields<'_>, base: &Path) -> Login {
    let user = fields.get("user").and_then(|value| value.text().map(str::to_owned));
    let password = fields.get("password").and_then(|value| {
        let mut inner = value.fields("{ env: DB_PASSWORD }")?;
        let bytes = secret(&value, &mut inner, (base, true));
        inner.finish();
        let text = String::from_utf8(bytes?);
        text.map_err(|_| value.problem("the password is not UTF-8")).ok()
    });
    Login { user, password }
}

/// `tls`, if it is not off.
pub(super) fn encryption(fields: &mut Fields<'_>, base: &Path) -> Option<Trust> {
    fields.get("tls").and_then(|value| tls::servers(&value, base))
}

pub(super) fn servers(value: &Value<'_>, example: &str) -> Option<Vec<Server>> {
    let items = value.items(&format!("[\"{example}\"]"));
    if items.is_empty() {
        value.problem("at least one server is wanted here");
        return None;
    }
    items.iter().map(|item| item.parsed(|text| server(text, example))).collect()
}

pub(super) fn server(text: &str, example: &str) -> Result<Server, String> {
    if text.contains("://") || text.contains('@') {
        return Err(format!(
            "`host:port` is wanted here, such as `{example}`: logins have keys of their own, `user` and `password`"
        ));
    }
    let parts = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => text.split_once(':').filter(|(_, port)| !port.contains(':')),
    };
    let parsed = parts.and_then(|(host, port)| {
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | ':');
        (!host.is_empty() && host.chars().all(fits)).then(|| Server { host: host.to_owned(), port })
    });
    parsed.ok_or_else(|| format!("`{text}` is no `host:port`, such as `{example}`"))
}

/// As a part of a URL.
fn percent(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
