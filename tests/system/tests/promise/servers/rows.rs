//! The rows in the database: who changes them, and what the history knows of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_cdc::TableName;
use aqueduct_sim::history::{History, Key, Row, Table, What, Write};
use aqueduct_sim::random::Random;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, Pool};
use tokio::sync::{Mutex as Turn, MutexGuard};

pub(crate) const TABLES: [Table; 2] = [Table::Orders, Table::Items];

/// A row that nobody reads: when its change is everywhere, all before is.
pub(crate) const MARKER: Key = Key { table: Table::Orders, id: 0 };

/// Rows of a table that are read and written.
pub(crate) const KEYS: u64 = 5;

/// Tokens that readers choose from.
const TOKENS: usize = 8;

/// A table's name in the database.
pub(crate) fn name(table: Table) -> TableName {
    let table = match table {
        Table::Orders => "orders",
        Table::Items => "items",
        Table::Heartbeat => aqueduct_cdc::heartbeat::TABLE,
    };
    TableName { database: "shop".to_owned(), table: table.to_owned() }
}

/// The table of that name in the second level.
pub(crate) fn table(text: &str) -> Option<Table> {
    TABLES.into_iter().find(|table| name(*table).to_string() == text)
}

pub(crate) fn keys() -> impl Iterator<Item = Key> {
    TABLES.into_iter().flat_map(|table| (1..=KEYS).map(move |id| Key { table, id }))
}

/// What is known of a row by whoever has its turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    /// The last version it had.
    version: u64,
    row: Row,
}

/// A write that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) key: Key,
    /// The least version that has seen it.
    pub(crate) floor: u64,
    pub(crate) at: Duration,
}

pub(crate) struct Rows {
    history: Arc<History>,
    pool: Pool,
    turns: BTreeMap<Key, Turn<State>>,
    tokens: Mutex<VecDeque<Token>>,
    transactions: AtomicU64,
}

impl Rows {
    pub(crate) fn new(history: Arc<History>, port: u16) -> Arc<Self> {
        let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).user(Some("root"));
        let pool = Pool::new(options.db_name(Some("shop")).prefer_socket(false));
        let turns = keys().chain([MARKER]).map(|key| (key, Turn::default())).collect();
        Arc::new(Self { history, pool, turns, tokens: Mutex::default(), transactions: AtomicU64::new(0) })
    }

    pub(crate) async fn connect(&self) -> Conn {
        self.pool.get_conn().await.unwrap()
    }

    /// What a loader reads at the primary.
    pub(crate) async fn load(&self, key: Key, locked: bool) -> Result<Row, String> {
        let lock = if locked { " LOCK IN SHARE MODE" } else { "" };
        let sql = format!("SELECT version FROM {} WHERE id = ?{lock}", name(key.table));
        let mut conn = self.pool.get_conn().await.map_err(|error| error.to_string())?;
        conn.exec_first(sql, (key.id,)).await.map_err(|error| error.to_string())
    }

    /// One that was acknowledged lately.
    pub(crate) fn token(&self, random: &Random) -> Option<Token> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        (!tokens.is_empty()).then(|| tokens[usize::try_from(random.range(0..tokens.len() as u64)).unwrap()])
    }

    /// Changes a row in one of many ways.
    pub(crate) async fn change(&self, conn: &mut Conn, key: Key, random: &Random) -> Option<Token> {
        let mut state = self.turns[&key].lock().await;
        let table = name(key.table);
        // A row that is created again begins two above the one that was deleted, since the tombstone is one above.
        let version = state.version + 1;
        let roll = random.range(0..100);
        if roll < 10 && state.row.is_some() {
            let other = Key { id: random.range(1..KEYS + 1), ..key };
            // Nobody waits for two turns the other way round.
            if let Ok(mut target) = self.turns[&other].try_lock()
                && target.row.is_none()
            {
                return Some(self.rename(conn, (key, &mut state), (other, &mut target)).await);
            }
        }
        let (sql, write) = match state.row {
            None => (format!("INSERT INTO {table} (version, id) VALUES (?, ?)"), row(key, version)),
            Some(_) if roll < 20 => {
                let write = Write::Row { key, version: state.version, tombstone: true };
                (format!("DELETE FROM {table} WHERE version < ? AND id = ?"), write)
            }
            Some(_) => (format!("UPDATE {table} SET version = ? WHERE id = ?"), row(key, version)),
        };
        self.begins(vec![write]);
        conn.exec_drop(sql, (version, key.id)).await.unwrap();
        assert_eq!(conn.affected_rows(), 1, "{key:?} is not what it should be");
        Some(self.acknowledged(write, &mut state))
    }

    async fn rename(
        &self,
        conn: &mut Conn,
        (from, state): (Key, &mut State),
        (to, target): (Key, &mut State),
    ) -> Token {
        let version = state.version.max(target.version) + 1;
        let gone = Write::Row { key: from, version: state.version, tombstone: true };
        let new = row(to, version);
        self.begins(vec![gone, new]);
        let sql = format!("UPDATE {} SET id = ?, version = ? WHERE id = ?", name(from.table));
        conn.exec_drop(sql, (to.id, version, from.id)).await.unwrap();
        self.acknowledged(gone, state);
        self.acknowledged(new, target)
    }

    /// From now on this may be the newest.
    fn begins(&self, writes: Vec<Write>) {
        let gtid = self.transactions.fetch_add(1, Relaxed);
        self.history.add(What::Committed { source: 0, gtid, prepared: None, writes });
    }

    /// From now on it is.
    fn acknowledged(&self, write: Write, state: &mut State) -> Token {
        let Write::Row { key, version, tombstone } = write else { unreachable!("a row was changed") };
        *state = State { version, row: (!tombstone).then_some(version) };
        self.history.add(What::Visible(key, state.row));
        let token = Token { key, floor: version + u64::from(tombstone), at: self.history.now() };
        // The next version of the row is above that.
        state.version = token.floor;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push_back(token);
        if tokens.len() > TOKENS {
            tokens.pop_front();
        }
        token
    }

    /// Has all turns, so that nobody else changes anything.
    async fn all(&self, table: Table) -> BTreeMap<Key, MutexGuard<'_, State>> {
        let mut all = BTreeMap::new();
        for (key, turn) in &self.turns {
            if key.table == table {
                all.insert(*key, turn.lock().await);
            }
        }
        all
    }

    /// Empties a table, the marker included.
    pub(crate) async fn truncate(&self, table: Table) {
        let mut conn = self.connect().await;
        let mut all = self.all(table).await;
        let rows = all.iter().filter(|(_, state)| state.row.is_some());
        let rows: Vec<_> = rows
            .map(|(key, state)| Write::Row { key: *key, version: state.version, tombstone: true })
            .collect();
        self.begins([&rows[..], &[Write::Table(table)]].concat());
        conn.query_drop(format!("TRUNCATE {}", name(table))).await.unwrap();
        for write in rows {
            let Write::Row { key, .. } = write else { continue };
            self.acknowledged(write, all.get_mut(&key).unwrap());
        }
    }

    /// A statement that changes no row, but must be told.
    pub(crate) async fn ddl(&self, table: Table, sql: &str) {
        self.begins(vec![Write::Table(table)]);
        self.connect().await.query_drop(sql).await.unwrap();
    }

    /// Changes `others` rows besides, and with them all that are there, in one transaction.
    pub(crate) async fn big_transaction(&self, table: Table, others: u64) {
        let mut conn = self.connect().await;
        let mut all = self.all(table).await;
        let name = name(table);
        let version = all.values().map(|state| state.version).max().unwrap_or_default() + 1;
        conn.query_drop("BEGIN").await.unwrap();
        let insert = format!("INSERT INTO {name} (id, version) SELECT 1000 + seq, 1 FROM seq_1_to_{others}");
        conn.query_drop(insert).await.unwrap();
        conn.query_drop(format!("UPDATE {name} SET version = {version} WHERE id <= {KEYS}")).await.unwrap();
        let there = all.iter().filter(|(_, state)| state.row.is_some());
        let writes: Vec<_> = there.map(|(key, _)| row(*key, version)).collect();
        self.begins([&writes[..], &[Write::Table(table)]].concat());
        conn.query_drop("COMMIT").await.unwrap();
        for write in writes {
            let Write::Row { key, .. } = write else { continue };
            self.acknowledged(write, all.get_mut(&key).unwrap());
        }
    }

    /// Changes the marker: its version now.
    pub(crate) async fn mark(&self) -> u64 {
        let mut state = self.turns[&MARKER].lock().await;
        let version = state.version + 1;
        let sql = format!("REPLACE INTO {} (id, version) VALUES (?, ?)", name(MARKER.table));
        self.begins(vec![row(MARKER, version)]);
        self.connect().await.exec_drop(sql, (MARKER.id, version)).await.unwrap();
        self.acknowledged(row(MARKER, version), &mut state);
        self.forget(MARKER);
        version
    }

    fn forget(&self, key: Key) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).retain(|token| token.key != key);
    }

    /// A history that begins now knows the rows; nobody changes them meanwhile.
    pub(crate) async fn tell(&self) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for (key, turn) in &self.turns {
            self.history.add(What::Visible(*key, turn.lock().await.row));
        }
    }

    /// The least version of each row that is not stale.
    pub(crate) async fn floors(&self) -> BTreeMap<Key, u64> {
        let mut floors = BTreeMap::new();
        for (key, turn) in &self.turns {
            floors.insert(*key, turn.lock().await.version);
        }
        floors
    }

    pub(crate) async fn end(&self) {
        self.pool.clone().disconnect().await.unwrap();
    }
}

fn row(key: Key, version: u64) -> Write {
    Write::Row { key, version, tombstone: false }
}
