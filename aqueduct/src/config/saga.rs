//! The section `saga`: the coordinator that `aqueduct saga serve` runs.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::data::{Login, Server, encryption, login, name, server};
use super::edge::address_text;
use super::value::{Fields, Value};
use crate::trust::Trust;

const MYSQL: &str = "{ server: \"127.0.0.1:3306\", database: sagas, user: saga }";
/// No saga is kept for longer.
const LONGEST_RETENTION: Duration = Duration::from_hours(24 * 3650);

/// Of one participant: as many as sagas may be under way.
const MOST_CONNECTIONS: usize = 16_384;

/// What the file says; `None` leaves it to a flag, and else to the default.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SagaFile {
    pub(crate) address: Option<SocketAddr>,
    /// Without it the sagas are in an embedded store.
    pub(crate) mysql: Option<SagaMysql>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) most_attempts: Option<u32>,
    pub(crate) connections: Option<usize>,
    pub(crate) retention: Option<Duration>,
    pub(crate) lease: Option<Duration>,
}

/// The database of the sagas, which any number of coordinators may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SagaMysql {
    pub(crate) login: Login,
    /// Without it the connections are not encrypted.
    pub(crate) tls: Option<Trust>,
    pub(crate) server: Server,
    pub(crate) database: String,
}

/// Reads the section.
pub(super) fn read(fields: &mut Fields<'_>, base: &Path) -> SagaFile {
    let mut saga = SagaFile::default();
    fields.set("address", &mut saga.address, |value| value.parsed(address_text).map(Some));
    fields.set("attempt_timeout", &mut saga.attempt_timeout, |value| {
        value.duration(Duration::from_millis(1)..=Duration::from_hours(1)).map(Some)
    });
    fields.set("most_attempts", &mut saga.most_attempts, |value| {
        value.integer(1..=1_000_000).and_then(|most| u32::try_from(most).ok()).map(Some)
    });
    fields.set("connections", &mut saga.connections, |value| value.integer(1..=MOST_CONNECTIONS).map(Some));
    fields.set("retention", &mut saga.retention, |value| {
        value.duration(Duration::ZERO..=LONGEST_RETENTION).map(Some)
    });
    fields.set("lease", &mut saga.lease, |value| {
        value.duration(Duration::from_millis(100)..=Duration::from_hours(1)).map(Some)
    });
    saga.mysql = fields.get("mysql").and_then(|value| mysql(&value, base));
    saga
}

fn mysql(value: &Value<'_>, base: &Path) -> Option<SagaMysql> {
    let mut fields = value.fields(MYSQL)?;
    let login = login(&mut fields, base);
    if login.user.is_none() && !fields.has_any(&["user"]) {
        value.problem("`user` is missing: who logs in to the database");
    }
    let tls = encryption(&mut fields, base);
    let server =
        fields.require("server").and_then(|value| value.parsed(|text| server(text, "127.0.0.1:3306")));
    let database = fields.require("database").and_then(|value| value.parsed(name));
    fields.finish();
    Some(SagaMysql { login, tls, server: server?, database: database? })
}
