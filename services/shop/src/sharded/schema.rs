//! The tables of the shop on each shard, and the steps that make them.

use aqueduct_shards::{Migration, Needed};

/// Never changed once released; a change is another step.
///
/// `orders_NN.body` is `shop.v1.Order` without what the other columns say. `order_events_NN` keeps each change once: by its version,
/// which is what decides between two nodes, and by its event id, which makes a repeated call harmless. `attempt` tells who made
/// it.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
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
}];

/// What this program reads and writes. A migration that was run may have been undone by hand since.
pub(crate) const NEEDED: &[Needed] = &[
    Needed { table: "orders_{table}", columns: &["id", "user_id", "state", "version", "body"] },
    Needed {
        table: "order_events_{table}",
        columns: &["id", "version", "state", "event", "event_id", "attempt"],
    },
    Needed { table: "aqueduct_heartbeat", columns: &["instance", "beat"] },
];
