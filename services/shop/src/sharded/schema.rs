//! The tables of the shop on each shard, and the steps that make them.

use aqueduct_saga::barrier::mysql as barrier;
use aqueduct_saga::mysql as saga;
use aqueduct_shards::{Migration, Needed};

use crate::ledger::sharded::sql::ACCOUNTS;

/// Never changed once released; a change is another step.
///
/// `orders_NN.body` is `shop.v1.Order` without what the other columns say. `order_events_NN` keeps each change once: by its version,
/// and by its event id, which makes a repeated call harmless and tells whether a commit was made whose reply was lost. `order_outbox`
/// holds what is not on the bus yet, and `order_relay` who brings it there. `accounts` and `saga_barrier` are the ledger; `saga` and
/// `saga_log` have the transfers of the whole system, and only those of shard 0 are used.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "orders",
        statements: &[
            "CREATE TABLE IF NOT EXISTS orders_{table} (
            id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
            user_id BIGINT NOT NULL,
            state TINYINT UNSIGNED NOT NULL,
            version BIGINT UNSIGNED NOT NULL,
            body BLOB NOT NULL,
            KEY by_user (user_id, id)
        ) ENGINE = InnoDB",
            "CREATE TABLE IF NOT EXISTS order_events_{table} (
            id BIGINT UNSIGNED NOT NULL,
            version BIGINT UNSIGNED NOT NULL,
            state TINYINT UNSIGNED NOT NULL,
            event TINYINT UNSIGNED NOT NULL,
            event_id VARBINARY(64) NULL,
            attempt BINARY(16) NOT NULL,
            PRIMARY KEY (id, version),
            UNIQUE KEY by_event (id, event_id)
        ) ENGINE = InnoDB",
            "CREATE TABLE IF NOT EXISTS aqueduct_heartbeat (
            instance BIGINT UNSIGNED NOT NULL PRIMARY KEY,
            beat BIGINT UNSIGNED NOT NULL
        ) ENGINE = InnoDB",
        ],
    },
    Migration {
        version: 2,
        name: "outbox",
        statements: &[
            "CREATE TABLE IF NOT EXISTS order_outbox (
            seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
            id BIGINT UNSIGNED NOT NULL,
            version BIGINT UNSIGNED NOT NULL,
            state TINYINT UNSIGNED NOT NULL
        ) ENGINE = InnoDB",
            "CREATE TABLE IF NOT EXISTS order_relay (
            name VARCHAR(32) CHARACTER SET ascii NOT NULL PRIMARY KEY,
            holder BIGINT UNSIGNED NOT NULL,
            until DATETIME(3) NOT NULL
        ) ENGINE = InnoDB",
            // Every event has an id now.
            "ALTER TABLE order_events_{table} DROP COLUMN IF EXISTS attempt",
        ],
    },
    Migration {
        version: 3,
        name: "accounts",
        statements: &[ACCOUNTS, barrier::TABLE, saga::TABLES[0], saga::TABLES[1]],
    },
];

/// What this program reads and writes. A migration that was run may have been undone by hand since.
pub(crate) const NEEDED: &[Needed] = &[
    Needed { table: "orders_{table}", columns: &["id", "user_id", "state", "version", "body"] },
    Needed { table: "order_events_{table}", columns: &["id", "version", "state", "event", "event_id"] },
    Needed { table: "order_outbox", columns: &["seq", "id", "version", "state"] },
    Needed { table: "order_relay", columns: &["name", "holder", "until"] },
    Needed { table: "aqueduct_heartbeat", columns: &["instance", "beat"] },
    Needed { table: "accounts", columns: &["id", "opening", "balance", "held", "version"] },
    Needed { table: "saga_barrier", columns: &["saga", "step", "op", "outcome", "detail", "at"] },
    Needed {
        table: "saga",
        columns: &[
            "id",
            "status",
            "epoch",
            "seq",
            "due_at",
            "created_at",
            "deadline_at",
            "finished_at",
            "fingerprint",
            "definition",
            "reason",
        ],
    },
    Needed { table: "saga_log", columns: &["id", "seq", "data"] },
];
