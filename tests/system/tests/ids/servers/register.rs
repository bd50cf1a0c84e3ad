//! What a register promises, of both real ones: compare-and-swap, versions that never come again, and nothing lost by kill -9.

use aqueduct_ids::shared::etcd::Etcd;
use aqueduct_ids::shared::mysql::Mysql;
use aqueduct_ids::shared::{Register, Row, Settings, SharedError, SharedLease, SharedOptions};
use aqueduct_kit::Scratch;

use super::Store;

const SETTINGS: Settings = Settings { sequence_bits: 8, epoch_ms: 1_000 };

fn row(holder: &str, mark: u64) -> Row {
    Row { holder: holder.to_owned(), mark }
}

async fn keeps<R: Register>(register: &R, store: &mut Store) {
    assert_eq!(register.settings(SETTINGS).await.unwrap(), SETTINGS);
    let other = Settings { epoch_ms: 2_000, ..SETTINGS };
    assert_eq!(register.settings(other).await.unwrap(), SETTINGS, "the first ones stay");
    assert_eq!(register.read().await.unwrap(), []);

    let first = register.swap(127, 0, row("höst ' 1", 5)).await.unwrap().unwrap();
    assert_eq!(register.swap(127, 0, row("b", 6)).await.unwrap(), None, "it is there");
    assert_eq!(register.swap(3, first, row("b", 6)).await.unwrap(), None, "it is not there");
    let second = register.swap(127, first, row("höst ' 1", 1 << 42)).await.unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(register.swap(127, first, row("b", 6)).await.unwrap(), None, "it has changed");
    // The same content is another version all the same, or a holder that renews would look dead.
    let third = register.swap(127, second, row("höst ' 1", 1 << 42)).await.unwrap().unwrap();
    assert_ne!(second, third);
    assert!(register.swap(0, 0, row("", 0)).await.unwrap().is_some());

    store.server().kill9().unwrap();
    assert!(register.read().await.is_err());
    store.server().restart().unwrap();
    let mut rows = match register.read().await {
        Ok(rows) => rows,
        // The connection may have been found dead only now.
        Err(_) => register.read().await.unwrap(),
    };
    rows.sort_by_key(|(worker, _)| *worker);
    assert_eq!(rows.iter().map(|(worker, _)| *worker).collect::<Vec<_>>(), [0, 127]);
    assert_eq!((rows[1].1.version, &rows[1].1.row), (third, &row("höst ' 1", 1 << 42)));
    assert_eq!(register.settings(other).await.unwrap(), SETTINGS);
}

#[tokio::test]
async fn mysql_keeps_what_a_register_promises() {
    let scratch = Scratch::new("ids-register");
    let mut store = Store::mysql(&scratch);
    let [_, url] = store.args();
    keeps(&Mysql::new(mysql_async::Opts::from_url(&url).unwrap()), &mut store).await;
}

#[tokio::test]
async fn etcd_keeps_what_a_register_promises() {
    let scratch = Scratch::new("ids-register");
    let mut store = Store::etcd(&scratch);
    let [_, url] = store.args();
    keeps(&Etcd::new(&[url], "/x/").unwrap(), &mut store).await;
}

/// Of three endpoints two are nobody's: the third is asked.
#[tokio::test]
async fn etcd_is_asked_wherever_it_answers() {
    let scratch = Scratch::new("ids-endpoints");
    let store = Store::etcd(&scratch);
    let nobody = [aqueduct_kit::Port::free(), aqueduct_kit::Port::free()];
    let [_, url] = store.args();
    let urls = [format!("http://{}", nobody[0].address()), url, format!("http://{}", nobody[1].address())];
    let lease = SharedLease::claim(Etcd::new(&urls, "/x/").unwrap(), SharedOptions::default()).await.unwrap();
    lease.close().await.unwrap();
}

/// A server that is away, or is none, is told in one line that names it.
#[tokio::test]
async fn a_server_that_is_away_is_told() {
    let nobody = aqueduct_kit::Port::free();
    let check = |error: SharedError, expect: &[&str]| {
        let message = error.to_string();
        assert!(expect.iter().all(|part| message.contains(part)) && !message.contains('\n'), "{message}");
    };
    let address = nobody.address().to_string();
    let mysql = Mysql::new(mysql_async::Opts::from_url(&format!("mysql://root@{address}/ids")).unwrap());
    let error = SharedLease::claim(mysql, SharedOptions::default()).await.unwrap_err();
    check(error, &["register of id workers cannot be used", &address, "refused"]);
    let etcd = Etcd::new(&[format!("http://{address}")], "/x/").unwrap();
    let error = SharedLease::claim(etcd, SharedOptions::default()).await.unwrap_err();
    check(error, &["register of id workers cannot be used: etcd", "refused"]);
    assert!(Etcd::new(&[], "/x/").is_err());
}
