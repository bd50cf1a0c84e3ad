//! What is wrong is told, with where and with what to do.

use crate::site::{Site, options, put};
use aqueduct_kit::Port;
use aqueduct_shards::{Error, Freshness, Needed, Options, Shards};

#[track_caller]
fn says(error: &Error, kind: &str, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
    assert!(!text.contains("secret"), "{text}");
}

async fn refused(options: Options) -> Error {
    Shards::connect(options).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_tells_what_is_wrong() {
    let site = Site::start("shards-bad");
    let port = site.primary.port();
    let here = format!("127.0.0.1:{port}/shop_0");

    let mut wrong = site.options();
    wrong.password = "secret?".to_owned();
    says(&refused(wrong).await, "login", &[&here, "refuses user \"shop\"", "check user and password"]);

    let mut wrong = site.options();
    wrong.shards[2].database = "shop_9".to_owned();
    says(&refused(wrong).await, "no_database", &["/shop_9 has no such database", "create it"]);

    let mut wrong = site.options();
    wrong.shards[3].database = "mysql".to_owned();
    says(&refused(wrong).await, "login", &["/mysql", "what the user is granted there"]);

    let nobody = Port::free();
    let error = refused(options(&[nobody.number()])).await;
    says(
        &error,
        "no_primary",
        &["shard 0", &format!("cannot reach 127.0.0.1:{}/shop_0", nobody.number()), "check that it runs"],
    );

    let mut wrong = site.options();
    wrong.shards.truncate(3);
    says(&refused(wrong).await, "options", &["there are 3 shards"]);

    // A replica that is down is reported, and stops nothing.
    let (shards, warm) = Shards::connect(options(&[port, nobody.number()])).await.unwrap();
    assert_eq!((warm.opened, warm.wanted, warm.errors.len()), (8, 16, 4));
    put(&shards, 1, "new").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_does_not_fit_is_told() {
    let site = Site::start("shards-schema");
    let shards = site.connect().await;
    put(&shards, 1, "new").await.unwrap();
    let mut read = shards.read(0, Freshness::Primary, None).await.unwrap();
    let error = read.rows::<String>("SELECT colour FROM notes", ()).await.unwrap_err();
    says(&error, "schema", &["/shop_0", "run its migrations", "colour"]);
    let error = read.rows::<String>("SELECT text FROM papers", ()).await.unwrap_err();
    says(&error, "schema", &["run its migrations", "papers"]);
    let error = read.rows::<i32>("SELECT text FROM notes", ()).await.unwrap_err();
    says(&error, "row", &["/shop_0", "text", "wanted i32"]);
    let error = read.rows::<i32>("SELECT id FROM notes WHERE id = ?", ()).await.unwrap_err();
    says(&error, "row", &["takes 1 parameters but 0"]);
    let mut read = shards.read(0, Freshness::Primary, None).await.unwrap();
    let error = read.rows::<i32>("SELEC 1", ()).await.unwrap_err();
    says(&error, "statement", &["refuses the statement", "SELEC"]);
    assert!(matches!(shards.read(4, Freshness::Any, None).await, Err(Error::NoSuchShard(4))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_schema_lacks_is_told_before_the_first_request() {
    const NOTES: Needed = Needed { table: "notes", columns: &["id", "TEXT"] };
    let site = Site::start("shards-lacks");
    let shards = site.connect().await;
    for shard in 1..4 {
        site.primary
            .sql(&format!("CREATE TABLE IF NOT EXISTS shop_{shard}.notes LIKE shop_0.notes"))
            .unwrap();
    }
    shards.check_schema(&[NOTES]).await.unwrap();

    site.primary.sql("ALTER TABLE shop_2.notes DROP COLUMN text").unwrap();
    let error = shards.check_schema(&[NOTES]).await.unwrap_err();
    says(&error, "schema", &["/shop_2", "it lacks column notes.TEXT)", "run its migrations"]);
    let orders = Needed { table: "orders_{table}", columns: &["id"] };
    let error = shards.check_schema(&[orders]).await.unwrap_err();
    says(&error, "schema", &["/shop_0", "table orders_00, table orders_01", "and 8 more"]);
}
