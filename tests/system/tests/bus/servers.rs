//! Order, numbers and gaps of a stream whose server, publisher or reader does not live as long as the others.

use std::ops::Range;
use std::time::Duration;

use aqueduct_bus::jetstream::{Bus, Error, Options, Publisher, Reader};
use aqueduct_bus::{DedupId, Delivery, Draft, Publish as _, Subscribe as _};
use aqueduct_kit::Scratch;
use aqueduct_kit::nats::Nats;
use aqueduct_kit::process::within;
use aqueduct_runtime::task;
use tokio::time::timeout;

struct Site {
    nats: Nats,
    _scratch: Scratch,
}

impl Site {
    fn start(name: &str) -> Self {
        let scratch = Scratch::new(name);
        Self { nats: Nats::start(&scratch).unwrap(), _scratch: scratch }
    }

    fn options(&self) -> Options {
        Options { timeout: Duration::from_secs(2), ..Options::new(&self.nats.url(), "primary-0") }
    }

    async fn bus(&self) -> Bus {
        Bus::connect(self.options()).await.unwrap()
    }
}

fn drafts(numbers: Range<u64>) -> Vec<(DedupId, Draft)> {
    let draft = |number: u64| Draft::new("changes", format!("orders:{number}"), number.to_string());
    numbers.map(|number| (DedupId::new(format!("0-1-{number}/0")), draft(number))).collect()
}

async fn publish(publisher: &mut Publisher, numbers: Range<u64>) -> Range<u64> {
    timeout(within(60), publisher.publish(drafts(numbers))).await.expect("in time").unwrap()
}

async fn next(reader: &mut Reader) -> Delivery {
    timeout(within(60), reader.recv()).await.expect("a delivery in time").unwrap()
}

/// Epoch, number and content of the next record.
async fn record(reader: &mut Reader) -> (u64, u64, u64) {
    match next(reader).await {
        Delivery::Record(record) => {
            let text = std::str::from_utf8(&record.payload).unwrap();
            assert_eq!((&*record.topic, &*record.source), ("changes", "primary-0"));
            assert_eq!(record.key, format!("orders:{text}"));
            (record.epoch, record.seq, text.parse().unwrap())
        }
        gap @ Delivery::Gap { .. } => panic!("{gap:?}"),
    }
}

#[tokio::test]
async fn every_reader_has_the_whole_stream_from_when_it_subscribed_and_in_order() {
    let site = Site::start("bus-order");
    let bus = site.bus().await;
    let mut publisher = bus.publisher().await.unwrap();
    assert_eq!(publish(&mut publisher, 0..10).await, 1..11);
    let (mut one, mut two) = (bus.subscribe().await.unwrap(), bus.subscribe().await.unwrap());
    assert_eq!(publish(&mut publisher, 10..500).await, 11..501);
    let epoch = publisher.epoch();
    for reader in [&mut one, &mut two] {
        for number in 10..500 {
            assert_eq!(record(reader).await, (epoch, number + 1, number));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_between_loses_nothing_and_repeats_nothing() {
    let mut site = Site::start("bus-kill");
    let bus = site.bus().await;
    let mut publisher = bus.publisher().await.unwrap();
    let epoch = publisher.epoch();
    let mut reader = bus.subscribe().await.unwrap();
    let batches = 40;
    let publishing = task::spawn("publish", async move {
        for batch in 0..batches {
            publish(&mut publisher, batch * 50..(batch + 1) * 50).await;
        }
        publisher.epoch()
    });
    for number in 0..batches * 50 {
        assert_eq!(record(&mut reader).await, (epoch, number + 1, number));
        if number == 300 || number == 1200 {
            site.nats.kill9().unwrap();
            site.nats.restart().unwrap();
        }
    }
    assert_eq!(publishing.await.unwrap(), epoch);
}

#[tokio::test]
async fn a_publisher_that_another_has_followed_is_told_so() {
    let site = Site::start("bus-two");
    let mut first = site.bus().await.publisher().await.unwrap();
    publish(&mut first, 0..5).await;
    let mut second = site.bus().await.publisher().await.unwrap();
    assert!(second.epoch() > first.epoch());
    let mut reader = site.bus().await.subscribe().await.unwrap();
    assert_eq!(publish(&mut second, 5..10).await, 1..6);
    let refused = first.publish(drafts(5..10)).await.unwrap_err();
    assert!(matches!(refused, Error::Superseded { .. }), "{refused}");
    assert_eq!(publish(&mut second, 10..11).await, 6..7);
    for number in 5..11 {
        assert_eq!(record(&mut reader).await, (second.epoch(), number - 4, number));
    }
}

#[tokio::test]
async fn a_stream_that_went_back_begins_an_epoch_and_readers_are_told() {
    let site = Site::start("bus-back");
    let bus = site.bus().await;
    let mut publisher = bus.publisher().await.unwrap();
    let mut reader = bus.subscribe().await.unwrap();
    publish(&mut publisher, 0..20).await;
    let before = publisher.epoch();
    for number in 0..20 {
        assert_eq!(record(&mut reader).await, (before, number + 1, number));
    }
    let client = async_nats::connect(site.nats.url()).await.unwrap();
    async_nats::jetstream::new(client).delete_stream("aqueduct-primary-0").await.unwrap();
    assert_eq!(publish(&mut publisher, 20..25).await, 1..6);
    assert!(publisher.epoch() > before);
    // The gap that it tells comes before the records of the new epoch, or what is left of them.
    assert_eq!(next(&mut reader).await, Delivery::Gap { missed: 1 });
    publish(&mut publisher, 25..26).await;
    loop {
        let (epoch, _, number) = record(&mut reader).await;
        assert_eq!(epoch, publisher.epoch());
        if number == 25 {
            break;
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_too_far_behind_has_a_gap() {
    let site = Site::start("bus-bound");
    let options = Options { max_bytes: 64 << 10, ..site.options() };
    let bus = Bus::connect(options).await.unwrap();
    let mut publisher = bus.publisher().await.unwrap();
    let mut reader = bus.subscribe().await.unwrap();
    publish(&mut publisher, 0..1).await;
    assert_eq!(record(&mut reader).await.1, 1);
    // A reader's buffer would hold these: it must be cut off to be behind.
    drop(reader);
    let mut reader = bus.subscribe().await.unwrap();
    publish(&mut publisher, 1..2000).await;
    let mut missed = 0;
    let mut seq = 1;
    while seq < 2000 {
        match next(&mut reader).await {
            Delivery::Record(record) => {
                assert!(record.seq > seq);
                assert!(record.seq == seq + 1 || missed > 0, "nothing is missed in silence");
                (seq, missed) = (record.seq, 0);
            }
            Delivery::Gap { missed: more } => missed += more,
        }
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_clearly() {
    let site = Site::start("bus-bad");
    let bad = |change: fn(&mut Options)| {
        let mut options = site.options();
        change(&mut options);
        async move { Bus::connect(options).await.unwrap_err().to_string() }
    };
    let error = bad(|options| options.source = "a.b".to_owned()).await;
    assert!(error.contains("\"a.b\" cannot be the name"), "{error}");
    let error = bad(|options| options.url = "nats://user:secret@127.0.0.1:1".to_owned()).await;
    assert!(error.contains("nats://127.0.0.1:1") && !error.contains("secret"), "{error}");
    let client = async_nats::connect(site.nats.url()).await.unwrap();
    let config = async_nats::jetstream::stream::Config {
        name: "aqueduct-queue".to_owned(),
        subjects: vec!["aqueduct.queue.>".to_owned()],
        retention: async_nats::jetstream::stream::RetentionPolicy::WorkQueue,
        ..Default::default()
    };
    async_nats::jetstream::new(client).create_stream(config).await.unwrap();
    let error = bad(|options| options.source = "queue".to_owned()).await;
    assert!(error.contains("aqueduct-queue") && error.contains("retention"), "{error}");
}
