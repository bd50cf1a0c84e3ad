//! The schema on all shards, each step once.

use crate::site::{Site, put};
use aqueduct_runtime::task;
use aqueduct_shards::{Error, MigrateError, Migrated, Migration, Progress, Shards};

const ORDERS: Migration = Migration {
    version: 1,
    name: "orders",
    statements: &[
        "CREATE TABLE IF NOT EXISTS orders_{table} (id BIGINT PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS runs (id INT AUTO_INCREMENT PRIMARY KEY)",
    ],
};
/// Not repeatable, so that running it twice shows.
const COUNT: Migration = Migration { version: 2, name: "count", statements: &["INSERT INTO runs VALUES ()"] };

async fn migrate(shards: &Shards, migrations: &[Migration]) -> (Result<Migrated, Error>, Vec<Progress>) {
    let mut seen = Vec::new();
    let migrated = shards.migrate(migrations, &mut |progress| seen.push(progress)).await;
    (migrated, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shard_gets_every_table_once_and_progress_is_told() {
    let site = Site::start("shards-migrate");
    let shards = site.connect().await;
    let (migrated, seen) = migrate(&shards, &[ORDERS]).await;
    assert_eq!(migrated.unwrap(), Migrated { applied: 4, present: 0 });
    assert_eq!(seen.len(), 4 * 17);
    assert_eq!(seen[0], Progress { shard: 0, version: 1, name: "orders", done: 1, of: 17 });
    assert_eq!(seen[67], Progress { shard: 3, version: 1, name: "orders", done: 17, of: 17 });

    let (migrated, seen) = migrate(&shards, &[ORDERS, COUNT]).await;
    assert_eq!(migrated.unwrap(), Migrated { applied: 4, present: 4 });
    assert_eq!(seen.len(), 4);
    let (migrated, seen) = migrate(&shards, &[ORDERS, COUNT]).await;
    assert_eq!((migrated.unwrap(), seen), (Migrated { applied: 0, present: 8 }, Vec::new()));

    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE 'orders\\___'";
    assert_eq!(site.primary.sql(tables).unwrap(), "64");
    site.catch_up();
    assert_eq!(site.replica.sql(tables).unwrap(), "64");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_starters_at_once_run_each_step_once() {
    let site = Site::start("shards-migrate-twice");
    let (one, two) = (site.connect().await, site.connect().await);
    let all = [ORDERS, COUNT];
    let (one, two) = tokio::join!(migrate(&one, &all), migrate(&two, &all));
    assert_eq!(one.0.unwrap().applied + two.0.unwrap().applied, 8);
    for shard in 0..4 {
        assert_eq!(site.primary.sql(&format!("SELECT COUNT(*) FROM shop_{shard}.runs")).unwrap(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starter_waits_for_the_lock() {
    let site = Site::start("shards-migrate-lock");
    let shards = site.connect().await;
    migrate(&shards, &[]).await.0.unwrap();
    // A lock is its connection's, which the client keeps for as long as its last statement sleeps.
    let name = "CONCAT('aqueduct/', LEFT(SHA2(DATABASE(), 256), 40))";
    let hold = format!("USE shop_0; DO GET_LOCK({name}, 0); DO SLEEP(60)");
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| site.primary.sql(&hold));
        let sleeper = "SELECT id FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%'";
        let id = aqueduct_kit::until(aqueduct_kit::process::within(30), || {
            Some(site.primary.sql(sleeper).unwrap()).filter(|id| !id.is_empty())
        });
        let migrating = task::spawn("migrating", async move { migrate(&shards, &[ORDERS]).await.0 });
        let waits = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'";
        aqueduct_kit::until(aqueduct_kit::process::within(30), || {
            (site.primary.sql(waits).unwrap() == "1").then_some(())
        })
        .unwrap();
        assert!(!migrating.is_finished());
        site.primary.sql(&format!("KILL {}", id.unwrap())).unwrap();
        assert!(holder.join().unwrap().is_err());
        let migrated = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(migrating));
        assert_eq!(migrated.unwrap().unwrap().applied, 4);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_migration_is_refused() {
    let site = Site::start("shards-migrate-changed");
    let shards = site.connect().await;
    migrate(&shards, &[ORDERS]).await.0.unwrap();
    let changed = Migration { statements: &["CREATE TABLE IF NOT EXISTS orders (id INT)"], ..ORDERS };
    let error = migrate(&shards, &[changed, COUNT]).await.0.unwrap_err();
    assert!(matches!(error, Error::Migrate(MigrateError::Changed { version: 1, .. })), "{error}");
    assert!(error.to_string().contains("/shop_0 with other statements than this program has"), "{error}");
    let error = migrate(&shards, &[]).await.0.unwrap_err();
    assert!(error.to_string().contains("run a newer one"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_in_the_middle_is_begun_anew() {
    let site = Site::start("shards-migrate-fails");
    let shards = site.connect().await;
    // Shard 2 has something in the way.
    site.primary.sql("CREATE VIEW shop_2.runs AS SELECT 1 AS id").unwrap();
    let add = Migration {
        version: 2,
        name: "note",
        statements: &[
            "CREATE TABLE IF NOT EXISTS extra (id INT)",
            "ALTER TABLE runs ADD COLUMN IF NOT EXISTS note VARCHAR(9)",
        ],
    };
    let error = migrate(&shards, &[ORDERS, add]).await.0.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("migration 2 (note) fails on") && text.contains("shop_2 at statement 2 of 2"),
        "{text}"
    );
    site.primary.sql("DROP VIEW shop_2.runs; CREATE TABLE shop_2.runs (id INT)").unwrap();
    let migrated = migrate(&shards, &[ORDERS, add]).await.0.unwrap();
    assert_eq!(migrated, Migrated { applied: 3, present: 5 });
    put(&shards, 1, "still here").await.unwrap();
}
