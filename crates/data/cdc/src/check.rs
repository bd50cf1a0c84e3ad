//! What is asked of a server before its binlog is read: all findings together.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, Row};

use crate::options::Watched;

/// The sentences of what must change; none when all is well.
pub(crate) async fn findings(conn: &mut Conn, tables: &[Watched]) -> Result<Vec<String>, Error> {
    let mut found = server(conn).await?;
    if tables.is_empty() {
        found.push("no table is watched: name at least one".to_owned());
    }
    for table in tables {
        columns(conn, table, &mut found).await?;
    }
    Ok(found)
}

async fn server(conn: &mut Conn) -> Result<Vec<String>, Error> {
    let version: Option<String> = conn.query_first("SELECT @@version").await?;
    let version = version.unwrap_or_default();
    if !version.contains("MariaDB") {
        return Ok(vec![format!("it is {version}: only MariaDB is supported, MySQL's positions differ")]);
    }
    let sql = "SELECT @@global.log_bin, @@global.binlog_format, @@global.binlog_row_image, \
               @@global.binlog_row_metadata";
    let settings: Option<(bool, String, String, String)> = conn.query_first(sql).await?;
    let Some((log, format, image, metadata)) = settings else { return Ok(Vec::new()) };
    if !log {
        return Ok(vec!["it writes no binlog: start it with --log-bin".to_owned()]);
    }
    let mut found = Vec::new();
    for (name, is, must) in [
        ("binlog_format", format, "ROW"),
        ("binlog_row_image", image, "FULL"),
        ("binlog_row_metadata", metadata, "FULL"),
    ] {
        if is != must {
            found.push(format!("its {name} is {is}: SET GLOBAL {name}={must}, and in its configuration"));
        }
    }
    Ok(found)
}

async fn columns(conn: &mut Conn, watched: &Watched, found: &mut Vec<String>) -> Result<(), Error> {
    let name = &watched.name;
    let sql = "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_KEY, COALESCE(COLLATION_NAME, '') FROM information_schema.COLUMNS \
               WHERE TABLE_SCHEMA = BINARY ? AND TABLE_NAME = BINARY ?";
    let columns: Vec<(String, String, String, String)> =
        conn.exec(sql, (&name.database, &name.table)).await?;
    if columns.is_empty() {
        found.push(format!(
            "there is no table {name}, or the user may not SELECT from it: create it, correct its name (case counts), or grant it"
        ));
        return Ok(());
    }
    if let Some(version) = &watched.version {
        match columns.iter().find(|column| column.0.eq_ignore_ascii_case(version)) {
            None => found.push(format!(
                "{name} has no column {version}: add it, or watch the table without a version"
            )),
            Some((_, kind, ..)) if !integer(kind) => {
                found.push(format!("the version {version} of {name} is {kind}: it must be an integer"));
            }
            Some(_) => {}
        }
    }
    let key: Vec<_> = columns.iter().filter(|column| column.2 == "PRI").collect();
    if key.is_empty() {
        found.push(format!("{name} has no primary key: add one"));
    }
    for (column, kind, _, collation) in key {
        let exact = kind == "varbinary" || kind == "varchar" && collation.ends_with("nopad_bin");
        if !integer(kind) && !exact {
            found.push(format!(
                "{column} in the primary key of {name} is {kind} {collation}: only integers, VARBINARY and VARCHAR with a collation \
                 that ends in nopad_bin have one spelling for one key"
            ));
        }
    }
    cascades(conn, watched, found).await
}

fn integer(kind: &str) -> bool {
    matches!(kind, "tinyint" | "smallint" | "mediumint" | "int" | "bigint")
}

/// Rows that a foreign key changes are in no event. The statement shows the keys to all who may SELECT, which
/// information_schema does not.
async fn cascades(conn: &mut Conn, watched: &Watched, found: &mut Vec<String>) -> Result<(), Error> {
    let quote = |name: &str| format!("`{}`", name.replace('`', "``"));
    let name = &watched.name;
    let sql = format!("SHOW CREATE TABLE {}.{}", quote(&name.database), quote(&name.table));
    let row: Option<Row> = conn.query_first(sql).await?;
    let text: String = row.and_then(|row| row.get(1)).unwrap_or_default();
    for line in text.lines().filter(|line| line.contains(" FOREIGN KEY ")) {
        if ["CASCADE", "SET NULL", "SET DEFAULT"].iter().any(|rule| line.contains(rule)) {
            found.push(format!(
                "{name} has a cascading foreign key, whose changes are in no binlog: make it RESTRICT ({})",
                line.trim().trim_end_matches(',')
            ));
        }
    }
    Ok(())
}
