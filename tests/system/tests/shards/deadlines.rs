//! Statements end in time, on the server too, and slow ones are logged.

use crate::site::{Site, get, put, stats, text};
use aqueduct_shards::{Error, Freshness, Shards};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const SLEEPERS: &str =
    "SELECT COUNT(*) FROM information_schema.processlist WHERE user='shop' AND info LIKE '%SLEEP%'";

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gives_a_statement_up_before_its_deadline() {
    let site = Site::start("shards-deadline");
    let shards = site.connect().await;
    let deadline = Instant::now() + Duration::from_millis(1500);
    let mut read = shards.read(0, Freshness::Primary, Some(deadline)).await.unwrap();
    let error = read.rows::<i32>("SELECT SLEEP(?)", (50,)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    drop(read);
    // It answered, so the connection lives on.
    let [primary, _] = stats(&shards);
    assert_eq!((primary.deadlines, primary.discarded), (1, 0));
    assert_eq!(site.primary.sql(SLEEPERS).unwrap(), "0");

    let late = shards.read(0, Freshness::Primary, Some(Instant::now())).await;
    let error = match late {
        Ok(mut read) => read.rows::<i32>("SELECT 1", ()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_costs_the_connection_and_not_the_caller() {
    let mut site = Site::start("shards-paused");
    let shards = site.connect().await;
    let token = put(&shards, 1, "old").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut write = shards.write(0, Some(deadline)).await.unwrap();
    write.exec("UPDATE notes SET text = 'new'", ()).await.unwrap();
    site.primary.pause().unwrap();
    let error = write.commit().await.unwrap_err();
    // Neither yes nor no.
    assert!(matches!(error, Error::Unknown { .. }) && !error.is_retryable(), "{error}");
    assert_eq!((stats(&shards)[0].discarded, stats(&shards)[0].taken), (1, 0));
    // The replica still answers, with what the token asks for.
    assert_eq!(get(&shards, 1, Freshness::After(&token)).await, (Some("old".to_owned()), false));
    site.primary.resume().unwrap();
    put(&shards, 1, "newer").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_answer_is_passed_over() {
    let mut site = Site::start("shards-stuck");
    let shards = site.connect().await;
    let token = put(&shards, 1, "new").await.unwrap();
    site.catch_up();
    site.replica.pause().unwrap();
    assert_eq!(get(&shards, 1, Freshness::After(&token)).await, (Some("new".to_owned()), true));
    let [_, replica] = stats(&shards);
    assert_eq!((replica.unable, replica.behind, replica.discarded), (1, 0, 1));
    site.replica.resume().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_accepts_no_connection_leaves_time_for_the_primary() {
    let mut site = Site::start("shards-mute");
    let mut options = site.options();
    options.min_connections = 0;
    let shards = Shards::connect(options).await.unwrap().0;
    put(&shards, 1, "new").await.unwrap();
    site.replica.pause().unwrap();
    let deadline = Instant::now() + Duration::from_secs(4);
    let mut read = shards.read(0, Freshness::Any, Some(deadline)).await.unwrap();
    assert!(read.is_from_primary());
    assert_eq!(text(&mut read, 1).await.as_deref(), Some("new"));
    drop(read);
    // Once its silence is known, nobody waits for it.
    let mut impatient = site.options();
    impatient.connect_timeout = Duration::from_millis(300);
    let (shards, warm) = Shards::connect(impatient).await.unwrap();
    assert_eq!((warm.opened, warm.wanted), (8, 16));
    assert_eq!(get(&shards, 1, Freshness::Any).await, (Some("new".to_owned()), true));
    assert_eq!((stats(&shards)[1].unable, stats(&shards)[1].taken), (0, 0));
    site.replica.resume().unwrap();
    shards.refresh().await.unwrap();
    site.catch_up();
    assert_eq!(get(&shards, 1, Freshness::Any).await, (Some("new".to_owned()), false));
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_slow_statement_is_logged_with_its_wait_apart() {
    let site = Site::start("shards-slow");
    let mut options = site.options();
    options.slow = Duration::from_millis(200);
    let shards = Shards::connect(options).await.unwrap().0;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let logging = tracing::subscriber::set_default(subscriber);
    let mut read = shards.read(0, Freshness::Primary, None).await.unwrap();
    read.rows::<i32>("SELECT SLEEP(0), ?", ("quick",)).await.unwrap_err();
    read.rows::<i32>("SELECT SLEEP(?)", ("0.25",)).await.unwrap();
    drop(logging);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("slow statement")).unwrap();
    assert!(line.contains("pool_wait_us=0") && line.contains("SELECT SLEEP(?)"), "{line}");
    let took = line.split("execution_us=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(took.parse::<u64>().unwrap() >= 250_000, "{line}");
    assert!(!line.contains("0.25"), "values are not logged: {line}");
    assert_eq!(text.matches("slow statement").count(), 1, "{text}");
    let [primary, _] = stats(&shards);
    assert_eq!((primary.slow, primary.statements), (1, 2));
}
