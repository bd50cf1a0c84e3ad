//! What a reader refuses, and what its message says.

use aqueduct_cdc::{Error, Watched};

use super::{Follower, Site};

async fn refused(site: &Site, parts: &[&str]) {
    let message = site.connect().await.unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn settings_and_tables_that_hide_changes_are_refused_all_together() {
    let mut site = Site::start_with(
        "cdc-settings",
        &["--binlog-format=MIXED", "--binlog-row-image=MINIMAL", "--binlog-row-metadata=MINIMAL"],
    );
    site.sql(
        "CREATE TABLE child (id INT PRIMARY KEY, parent BIGINT UNSIGNED, name VARCHAR(9), \
           FOREIGN KEY (parent) REFERENCES orders (id) ON DELETE CASCADE); \
         CREATE TABLE keyless (id INT); CREATE TABLE text (name VARCHAR(9) PRIMARY KEY)",
    );
    for (table, version) in [("child", "name"), ("keyless", "version"), ("absent", "version")] {
        site.options.tables.push(Watched::exact("shop", table, version));
    }
    site.options.tables.push(Watched::bounded("shop", "text"));
    refused(
        &site,
        &[
            "binlog_format is MIXED",
            "binlog_row_image is MINIMAL",
            "binlog_row_metadata is MINIMAL",
            "shop.child has a cascading foreign key",
            "version name of shop.child is varchar",
            "shop.keyless has no primary key",
            "shop.keyless has no column version",
            "no table shop.absent",
            "name in the primary key of shop.text",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_user_without_rights_is_told_which_to_grant() {
    let mut site = Site::start("cdc-rights");
    site.options.user = "cdc".into();
    site.options.password = "secret".into();
    refused(&site, &["refuses user \"cdc\"", "REPLICATION SLAVE"]).await;
    site.sql("CREATE USER cdc IDENTIFIED BY 'secret'; GRANT SELECT ON shop.* TO cdc");
    refused(&site, &["refuses user \"cdc\"", "REPLICATION SLAVE"]).await;
    site.sql("GRANT REPLICATION SLAVE ON *.* TO cdc");
    site.follow().await.drop_reader().await;
}

#[tokio::test]
async fn a_damaged_checkpoint_is_refused_by_name() {
    let site = Site::start("cdc-damaged");
    site.follow().await.drop_reader().await;
    let text = std::fs::read_to_string(&site.checkpoint).unwrap();
    std::fs::write(&site.checkpoint, text.replace("0-", "1-")).unwrap();
    refused(&site, &["is damaged", "checksum", site.checkpoint.to_str().unwrap()]).await;
}

#[tokio::test]
async fn a_second_reader_with_the_same_number_ends_the_first_with_a_clear_error() {
    let site = Site::start("cdc-same-id");
    let mut first = site.follow().await;
    // It streams once it has told something.
    site.sql("INSERT INTO orders (id, version) VALUES (1, 1)");
    first.changes().await;
    let second: Follower = site.follow().await;
    let error = first.error().await;
    assert!(matches!(error, Error::SameServerId { .. }), "{error}");
    second.drop_reader().await;
}
