//! Questions to a server before it is followed: whether it is the primary, which tables it has.

use mysql_async::prelude::Queryable as _;

use crate::change::TableName;
use crate::connect::{broken, dial, server};
use crate::error::Error;
use crate::heartbeat;
use crate::options::{Options, Watched};

/// Tables by their names, in which `*` stands for any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Of the database.
    pub database: String,
    /// Of the table.
    pub table: String,
    /// The version column of all of them.
    pub version: Option<String>,
}

/// Whether the server at `options` takes writes. Its replicas must have `read_only=1`.
pub async fn is_primary(options: &Options) -> Result<bool, Error> {
    let mut conn = dial(options).await?;
    let read_only: Option<bool> =
        conn.query_first("SELECT @@global.read_only").await.map_err(|error| broken(options, &error))?;
    Ok(read_only == Some(false))
}

/// The tables that are there now. A pattern without any is an error: it is misspelt, or the user may not see them.
pub async fn tables(options: &Options, patterns: &[Pattern]) -> Result<Vec<Watched>, Error> {
    let mut conn = dial(options).await?;
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
               ORDER BY TABLE_SCHEMA, TABLE_NAME";
    let there: Vec<(String, String)> = conn.query(sql).await.map_err(|error| broken(options, &error))?;
    let mut found: Vec<Watched> = Vec::new();
    let mut findings = Vec::new();
    for pattern in patterns {
        let fits = |(database, table): &&(String, String)| {
            matches(&pattern.database, database) && matches(&pattern.table, table)
        };
        let before = found.len();
        for (database, table) in there.iter().filter(fits) {
            let name = TableName { database: database.clone(), table: table.clone() };
            // The first pattern counts.
            if found.iter().all(|watched| *watched.name != name) {
                found.push(Watched { name: name.into(), version: pattern.version.clone() });
            }
        }
        if found.len() == before && !there.iter().any(|it| fits(&it)) {
            let Pattern { database, table, .. } = pattern;
            findings.push(format!(
                "there is no table {database}.{table}, or the user may not SELECT from it: create it, correct its name (case counts), or grant it"
            ));
        }
    }
    if findings.is_empty() { Ok(found) } else { Err(Error::Setup { server: server(options), findings }) }
}

/// Creates the heartbeat's table in `database` where it is missing.
pub async fn ensure_heartbeat(options: &Options, database: &str) -> Result<(), Error> {
    let mut conn = dial(options).await?;
    let sql =
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = BINARY ? AND TABLE_NAME = BINARY ?";
    let there: Option<u8> =
        conn.exec_first(sql, (database, heartbeat::TABLE)).await.map_err(|error| broken(options, &error))?;
    if there.is_some() {
        return Ok(());
    }
    let statement = heartbeat::create(database);
    conn.query_drop(&statement).await.map_err(|error| Error::Setup {
        server: server(options),
        findings: vec![format!("it has no heartbeat table, and it cannot be created ({error}): {statement}")],
    })
}

/// Whether `name` fits `pattern`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        let check = |pattern: &str, name: &str, expect: bool| {
            assert_eq!(matches(pattern, name), expect, "{pattern} {name}");
        };
        check("orders", "orders", true);
        check("orders", "orders_1", false);
        check("orders_*", "orders_00", true);
        check("orders_*", "order_events_00", false);
        check("*", "", true);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "acb", false);
        check("*_1", "orders_1", true);
    }
}
