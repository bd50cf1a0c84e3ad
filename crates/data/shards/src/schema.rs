//! The tables that a program needs, compared with those that are there: before the first request, and all findings at once.

use std::collections::{HashMap, HashSet};

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};

use crate::error::Error;
use crate::route::{TABLES, table_name};
use crate::session::read;
use crate::shards::Shards;

/// Names are compared as MariaDB does: those of tables by case, those of columns not.
const COLUMNS: &str =
    "SELECT table_name, LOWER(column_name) FROM information_schema.columns WHERE table_schema = DATABASE()";
/// Findings told; a schema that lacks everything would fill the screen.
const TOLD: usize = 8;

/// A table that a program needs, and which of its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Its name. One that ends in `{table}` stands for 16 tables, as in a [`Migration`](crate::Migration): `orders_{table}`.
    pub table: &'static str,
    /// Columns that are read or written by name.
    pub columns: &'static [&'static str],
}

impl Shards {
    /// Compares the schema of every shard's primary with what the program needs. Migrations tell what was run once; this
    /// tells what is there now.
    ///
    /// # Errors
    /// [`Error::Schema`], which names what one shard lacks; and the errors of connections.
    pub async fn check_schema(&self, needed: &[Needed]) -> Result<(), Error> {
        for (_, pool) in self.primaries()? {
            let mut conn = pool.open_alone().await?;
            let present = columns(&mut conn, &pool.name).await?;
            drop(conn.disconnect().await);
            let lacking = lacking(needed, &present);
            if !lacking.is_empty() {
                return Err(Error::Schema { server: pool.name.clone(), message: told(&lacking) });
            }
        }
        Ok(())
    }
}

/// The columns of every table.
async fn columns(conn: &mut Conn, server: &str) -> Result<HashMap<String, HashSet<String>>, Error> {
    let rows: Vec<Row> = conn.query(COLUMNS).await.map_err(|error| Error::statement(server, error))?;
    let mut present: HashMap<String, HashSet<String>> = HashMap::new();
    for row in rows {
        let (table, column) = read(server, row)?;
        present.entry(table).or_default().insert(column);
    }
    Ok(present)
}

/// What is missing, a few words each.
fn lacking(needed: &[Needed], present: &HashMap<String, HashSet<String>>) -> Vec<String> {
    let mut lacking = Vec::new();
    for need in needed {
        let names: Vec<String> = match need.table.strip_suffix("_{table}") {
            Some(kind) => (0..TABLES).map(|table| table_name(kind, table).to_string()).collect(),
            None => vec![need.table.to_owned()],
        };
        for name in names {
            match present.get(&name) {
                None => lacking.push(format!("table {name}")),
                Some(columns) => {
                    let absent =
                        need.columns.iter().filter(|column| !columns.contains(&column.to_lowercase()));
                    lacking.extend(absent.map(|column| format!("column {name}.{column}")));
                }
            }
        }
    }
    lacking
}

fn told(lacking: &[String]) -> String {
    let shown = lacking.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    match lacking.len().checked_sub(TOLD) {
        None | Some(0) => format!("it lacks {shown}"),
        Some(more) => format!("it lacks {shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Needed, lacking, told};
    use std::collections::HashMap;

    #[test]
    fn what_is_missing_is_named_and_counted() {
        let present = (0..15).map(|table| {
            let columns: &[&str] = if table == 3 { &["id"] } else { &["id", "version"] };
            (format!("orders_{table:02}"), columns.iter().map(|column| (*column).to_owned()).collect())
        });
        let present: HashMap<_, _> = present.collect();
        let orders = Needed { table: "orders_{table}", columns: &["id", "Version"] };
        assert_eq!(lacking(&[orders], &present), ["column orders_03.Version", "table orders_15"]);
        assert_eq!(lacking(&[Needed { table: "beats", columns: &[] }], &present), ["table beats"]);

        let all = lacking(&[orders], &HashMap::new());
        assert_eq!(all.len(), 16);
        assert!(told(&all).ends_with("table orders_07 and 8 more"), "{}", told(&all));
        assert_eq!(told(&all[..8]).matches("table").count(), 8);
        assert!(!told(&all[..8]).contains("more"));
    }
}
