//! An instance's heart and follower, with a real capture between them.

use std::time::Duration;

use aqueduct_bus::jetstream::{Bus, Options};
use aqueduct_cdc::feed::{Epochs, Master};
use aqueduct_cdc::follow::{Apply, Beats, Follower};
use aqueduct_cdc::heartbeat::{Heart, HeartOptions};
use aqueduct_cdc::{Change, EpochBump, KeyPart};
use aqueduct_kit::process::within;
use aqueduct_kit::until;
use aqueduct_runtime::task;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::whole::Whole;

/// What an instance knows.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    l1: Option<Instant>,
    l2: Option<Instant>,
    fenced: u64,
}

struct Tell(watch::Sender<Known>);

impl Apply for Tell {
    fn fence(&mut self, change: &Change, floor: u64) {
        if change.key == [KeyPart::Uint(1)] {
            self.0.send_modify(|known| known.fenced = floor);
        }
    }
    fn bump(&mut self, _: &EpochBump, _: u64) {}
    fn raise(&mut self, _: &Epochs) {}
    fn flush(&mut self) {}
    fn l1(&mut self, at: Instant) {
        self.0.send_modify(|known| known.l1 = known.l1.max(Some(at)));
    }
    fn l2(&mut self, at: Instant, _: &[Master]) {
        self.0.send_modify(|known| known.l2 = known.l2.max(Some(at)));
    }
    fn lost(&mut self) {
        self.0.send_modify(|known| (known.l1, known.l2) = (None, None));
    }
}

async fn wait(known: &mut watch::Receiver<Known>, what: &str, done: impl Fn(&Known) -> bool) -> Known {
    let waited = timeout(within(60), known.wait_for(|known| done(known))).await;
    *waited.unwrap_or_else(|_| panic!("{what}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_knows_up_to_when_it_has_heard_and_applied_everything() {
    let mut whole = Whole::start("cdc-instance");
    let bus =
        Bus::connect(Options::new(&format!("nats://{}", whole.nats.address()), "primary-0")).await.unwrap();
    let (beats, (sender, mut known)) = (Beats::default(), watch::channel(Known::default()));
    let follower = Follower::new(bus.subscribe().await.unwrap(), Tell(sender), 7, beats.clone());
    let _following = task::spawn("follow", async move { drop(follower.run().await) });
    let mut cdc = whole.cdc();
    let options = HeartOptions {
        host: "127.0.0.1".to_owned(),
        port: whole.mariadb.port(),
        user: "root".to_owned(),
        password: String::new(),
        tls: None,
        database: "shop".to_owned(),
        instance: 7,
        every: Duration::from_millis(20),
    };
    let heart = Heart::new(options, beats);
    let _beating = task::spawn("heart", async move { match heart.run().await {} });

    wait(&mut known, "both levels are dated", |known| known.l1.is_some() && known.l2.is_some()).await;
    // A watermark behind a commit has the commit.
    whole.sql("INSERT INTO orders (id, version) VALUES (1, 5)");
    let committed = Instant::now();
    let after = wait(&mut known, "L1 moves on", |known| known.l1 > Some(committed)).await;
    assert_eq!(after.fenced, 5);
    wait(&mut known, "L2 moves on", |known| known.l2 > Some(committed)).await;

    // Without Redis only the first level goes on.
    for node in &mut whole.redis.nodes {
        node.pause().unwrap();
    }
    whole.sql("UPDATE orders SET version=6");
    let committed = Instant::now();
    let without = wait(&mut known, "L1 goes on", |known| known.l1 > Some(committed)).await;
    assert_eq!(without.fenced, 6);
    assert!(without.l2 < Some(committed), "nothing was applied in Redis");
    for node in &mut whole.redis.nodes {
        node.resume().unwrap();
    }
    wait(&mut known, "L2 comes back", |known| known.l2 > Some(committed)).await;

    // Without a capture nothing moves; the next one begins an epoch, and what is known is known again.
    // It must have a checkpoint, or the next one would say only that all may be stale.
    until(within(60), || whole.saved()).unwrap();
    cdc.kill().unwrap();
    whole.sql("UPDATE orders SET version=7");
    let committed = Instant::now();
    let _cdc = whole.cdc();
    let again = wait(&mut known, "L1 is back", |known| known.l1 > Some(committed)).await;
    assert_eq!(again.fenced, 7);
}
