//! The statements of a batch.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aqueduct_fsm::{Locking, Word, Writes};
use aqueduct_shards::Route;

use super::NewRow;

/// Ids in one list. The server makes a subquery of one with 1,000 (`in_predicate_conversion_threshold`), which locks otherwise.
const IDS: usize = 500;
/// A statement is not made longer than about this, nor a message: far below what a server takes (`max_allowed_packet`, 16 MiB).
const LONG: usize = 512 << 10;

/// A statement, and how many rows it must change.
type Statement = (String, u64);

/// Ascending ids by their tables, in lists that are not too long.
fn by_table(keys: impl IntoIterator<Item = u64>) -> Vec<(Route, String)> {
    let mut tables: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for key in keys {
        tables.entry(Route::of_id(key).table()).or_default().push(key);
    }
    let lists = tables.values().flat_map(|ids| ids.chunks(IDS));
    lists.filter_map(|ids| Some((Route::of_id(*ids.first()?), listed(ids)))).collect()
}

fn listed(ids: &[u64]) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

/// Table by table, and in each along the primary key: every committer locks in the same order.
pub(super) fn lock(keys: &[u64], locking: Locking) -> Vec<String> {
    let skip = if locking == Locking::Skip { " SKIP LOCKED" } else { "" };
    let sql = |(route, ids): (Route, String)| {
        let orders = route.name("orders");
        format!(
            "SELECT id, state, version, body FROM {orders} FORCE INDEX (PRIMARY) WHERE id IN ({ids}) ORDER BY id FOR UPDATE{skip}"
        )
    };
    by_table(keys.iter().copied()).into_iter().map(sql).collect()
}

/// Without a lock.
pub(super) fn present(keys: &[u64]) -> Vec<String> {
    let sql = |(route, ids)| format!("SELECT id FROM {} WHERE id IN ({ids})", Route::name(route, "orders"));
    by_table(keys.iter().copied()).into_iter().map(sql).collect()
}

/// All events of each order: there are few, and they lie side by side.
pub(super) fn events(keys: &[u64]) -> Vec<String> {
    let sql = |(route, ids)| {
        let events = Route::name(route, "order_events");
        format!(
            "SELECT id, version, state, event, event_id FROM {events} FORCE INDEX (PRIMARY) \
             WHERE id IN ({ids}) AND event_id IS NOT NULL"
        )
    };
    by_table(keys.iter().copied()).into_iter().map(sql).collect()
}

/// All that a batch writes, in messages.
pub(super) fn write(writes: &Writes<'_, NewRow>) -> Vec<Vec<Statement>> {
    let mut statements = Statements::default();
    statements.create(writes);
    statements.moved(&writes.moved);
    statements.events(writes);
    statements.outbox(writes);
    statements.messages
}

#[derive(Default)]
struct Statements {
    messages: Vec<Vec<Statement>>,
    /// The bytes of the last message.
    bytes: usize,
}

impl Statements {
    fn push(&mut self, sql: String, changes: usize) {
        if self.messages.is_empty() || self.bytes + sql.len() > LONG {
            self.messages.push(Vec::new());
            self.bytes = 0;
        }
        self.bytes += sql.len();
        if let Some(message) = self.messages.last_mut() {
            message.push((sql, changes as u64));
        }
    }

    /// `INSERT INTO table (columns) VALUES row, row, …`, in as many statements as it takes.
    fn insert(&mut self, into: &str, rows: impl Iterator<Item = String>) {
        let begin = format!("INSERT INTO {into} VALUES ");
        let (mut sql, mut count) = (begin.clone(), 0);
        for row in rows {
            if count > 0 && sql.len() + row.len() > LONG {
                self.push(std::mem::replace(&mut sql, begin.clone()), count);
                count = 0;
            }
            if count > 0 {
                sql.push(',');
            }
            sql.push_str(&row);
            count += 1;
        }
        if count > 0 {
            self.push(sql, count);
        }
    }

    fn create(&mut self, writes: &Writes<'_, NewRow>) {
        let mut tables: BTreeMap<u8, Vec<&(u64, Word, &NewRow)>> = BTreeMap::new();
        for created in &writes.created {
            tables.entry(Route::of_id(created.0).table()).or_default().push(created);
        }
        for rows in tables.into_values() {
            let Some(route) = rows.first().map(|(id, ..)| Route::of_id(*id)) else { continue };
            let into = format!("{} (id, user_id, state, version, body)", route.name("orders"));
            let row = |(id, after, new): &(u64, Word, &NewRow)| {
                let (state, version) = (after.state(), after.version());
                format!("({id},{},{state},{version},{})", new.user, hex(&new.body))
            };
            self.insert(&into, rows.into_iter().map(row));
        }
    }

    /// One statement for all orders of a table that go the same way: there are few ways.
    fn moved(&mut self, moved: &[(u64, Word, Word)]) {
        let mut ways: BTreeMap<(u64, u64), Vec<u64>> = BTreeMap::new();
        for (id, before, after) in moved {
            ways.entry((before.bits(), after.bits())).or_default().push(*id);
        }
        for ((before, after), ids) in ways {
            let (Some(before), Some(after)) = (Word::from_bits(before), Word::from_bits(after)) else {
                continue;
            };
            for (route, ids) in by_table(ids) {
                let sql = format!(
                    "UPDATE {} SET state = {}, version = {} WHERE id IN ({ids}) AND version = {}",
                    route.name("orders"),
                    after.state(),
                    after.version(),
                    before.version()
                );
                let count = ids.bytes().filter(|byte| *byte == b',').count() + 1;
                self.push(sql, count);
            }
        }
    }

    /// The step to version 1 is the order itself.
    fn events(&mut self, writes: &Writes<'_, NewRow>) {
        let mut tables: BTreeMap<u8, (Route, Vec<String>)> = BTreeMap::new();
        for step in &writes.steps {
            let Some((event, event_id)) = step.event else { continue };
            let route = Route::of_id(step.key);
            let (id, state, version) = (step.key, step.after.state(), step.after.version());
            let row = format!("({id},{version},{state},{event},{})", hex(event_id.as_bytes()));
            tables.entry(route.table()).or_insert_with(|| (route, Vec::new())).1.push(row);
        }
        for (route, rows) in tables.into_values() {
            let into = format!("{} (id, version, state, event, event_id)", route.name("order_events"));
            self.insert(&into, rows.into_iter());
        }
    }

    fn outbox(&mut self, writes: &Writes<'_, NewRow>) {
        let row = |step: &aqueduct_fsm::Step| {
            format!("({},{},{})", step.key, step.after.version(), step.after.state())
        };
        self.insert("order_outbox (id, version, state)", writes.steps.iter().map(row));
    }
}

/// As a literal.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(3 + 2 * bytes.len());
    text.push_str("x'");
    for byte in bytes {
        // A String takes everything.
        _ = write!(text, "{byte:02x}");
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use aqueduct_fsm::{EventId, Step};

    use super::*;

    /// The `n`-th id of a table.
    const fn id(table: u64, n: u64) -> u64 {
        table << 15 | n
    }

    fn word(state: u8, version: u64) -> Word {
        Word::new(state, version).unwrap()
    }

    #[test]
    fn rows_are_locked_table_by_table_along_the_key() {
        let keys = [id(2, 1), id(2, 5), id(3, 2)];
        let sql = lock(&keys, Locking::Wait);
        assert_eq!(
            sql,
            [
                "SELECT id, state, version, body FROM orders_02 FORCE INDEX (PRIMARY) WHERE id IN (65537,65541) ORDER BY id FOR UPDATE",
                "SELECT id, state, version, body FROM orders_03 FORCE INDEX (PRIMARY) WHERE id IN (98306) ORDER BY id FOR UPDATE",
            ]
        );
        assert!(lock(&keys, Locking::Skip)[0].ends_with("FOR UPDATE SKIP LOCKED"));
        let many: Vec<u64> = (0..1200).map(|n| id(7, n)).collect();
        assert_eq!(lock(&many, Locking::Wait).len(), 3, "no list of 1,000");
    }

    #[test]
    fn a_batch_is_a_few_statements_a_table() {
        let new = NewRow { user: -7, body: vec![0, b'\'', 0xff] };
        let event = |text: &str| EventId::new(text).unwrap();
        let step = |key, after, event| Step { key, after, event };
        let writes = Writes {
            created: vec![(id(0, 1), word(1, 1), &new)],
            moved: vec![
                (id(2, 1), word(1, 1), word(2, 2)),
                (id(2, 2), word(1, 1), word(3, 3)),
                (id(2, 3), word(1, 1), word(2, 2)),
            ],
            steps: vec![
                step(id(2, 3), word(2, 2), Some((1, event("a'")))),
                step(id(0, 1), word(1, 1), None),
                step(id(2, 1), word(2, 2), Some((1, event("b")))),
                step(id(2, 2), word(2, 2), Some((1, event("c")))),
                step(id(2, 2), word(3, 3), Some((2, event("d")))),
            ],
        };
        let messages = write(&writes);
        assert_eq!(messages.len(), 1);
        let wanted: [(&str, u64); 5] = [
            ("INSERT INTO orders_00 (id, user_id, state, version, body) VALUES (1,-7,1,1,x'0027ff')", 1),
            ("UPDATE orders_02 SET state = 2, version = 2 WHERE id IN (65537,65539) AND version = 1", 2),
            ("UPDATE orders_02 SET state = 3, version = 3 WHERE id IN (65538) AND version = 1", 1),
            (
                "INSERT INTO order_events_02 (id, version, state, event, event_id) VALUES \
                 (65539,2,2,1,x'6127'),(65537,2,2,1,x'62'),(65538,2,2,1,x'63'),(65538,3,3,2,x'64')",
                4,
            ),
            (
                "INSERT INTO order_outbox (id, version, state) VALUES \
                 (65539,2,2),(1,1,1),(65537,2,2),(65538,2,2),(65538,3,3)",
                5,
            ),
        ];
        assert_eq!(messages[0], wanted.map(|(sql, rows)| (sql.to_owned(), rows)));
    }

    #[test]
    fn what_is_long_goes_in_several_messages() {
        let new = NewRow { user: 7, body: vec![1; 100 << 10] };
        let keys: Vec<u64> = (1..=12).map(|n| id(4, n)).collect();
        let steps = keys.iter().map(|key| Step { key: *key, after: word(1, 1), event: None });
        let created = keys.iter().map(|key| (*key, word(1, 1), &new)).collect();
        let messages = write(&Writes { created, moved: Vec::new(), steps: steps.collect() });
        let rows: Vec<Vec<u64>> =
            messages.iter().map(|message| message.iter().map(|(_, rows)| *rows).collect()).collect();
        assert_eq!(rows, [vec![2], vec![2], vec![2], vec![2], vec![2], vec![2, 12]]);
    }
}
