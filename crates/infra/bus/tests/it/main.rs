//! The log as publishers and readers meet it: order, gaps, cancellation, closing.

mod interleavings;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use aqueduct_bus::{Closed, Delivery, Draft, Header, Log, Options, Reader, Record, Stats};
use bytes::Bytes;

fn log(capacity_records: usize) -> Log {
    Log::new(Options { source: "orders".into(), epoch: 7, capacity_records, ..Options::default() })
}

fn draft(payload: u64) -> Draft {
    Draft::new("t", "key", payload.to_be_bytes().to_vec())
}

/// Polls once, as a task that is then dropped would.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// What is there already.
fn take(reader: &mut Reader) -> Option<Delivery> {
    match poll_once(reader.recv()) {
        Poll::Ready(delivery) => delivery,
        Poll::Pending => None,
    }
}

fn seq(delivery: Option<Delivery>) -> Option<u64> {
    match delivery {
        Some(Delivery::Record(record)) => Some(record.seq),
        Some(Delivery::Gap { .. }) | None => None,
    }
}

#[test]
fn a_record_arrives_whole_and_shares_its_payload() {
    let log = log(8);
    let mut reader = log.subscribe();
    let payload = Bytes::from(vec![9; 100]);
    let headers = vec![Header { name: "traceparent".into(), value: Bytes::from_static(b"00") }];
    let sent = Draft { headers: headers.clone(), ..Draft::new("order.changed", "42", payload.clone()) };
    assert_eq!(log.publish(sent), Ok(1));

    let Some(Delivery::Record(record)) = take(&mut reader) else { panic!("no record") };
    let expected = Record {
        topic: "order.changed".into(),
        key: Bytes::from_static(b"42"),
        source: "orders".into(),
        epoch: 7,
        seq: 1,
        headers,
        payload: payload.clone(),
    };
    assert_eq!(*record, expected);
    assert_eq!(record.payload.as_ptr(), payload.as_ptr(), "the payload was copied");
}

#[test]
fn each_reader_sees_everything_since_it_subscribed() {
    let log = log(8);
    let mut first = log.subscribe();
    log.publish(draft(0)).unwrap();
    let mut second = log.subscribe();
    assert_eq!(log.publish_all([draft(1), draft(2)]), Ok(2..4));

    assert_eq!([(); 4].map(|()| seq(take(&mut first))), [Some(1), Some(2), Some(3), None]);
    assert_eq!(second.lag(), 2);
    assert_eq!([(); 3].map(|()| seq(take(&mut second))), [Some(2), Some(3), None]);
    assert_eq!((second.position(), second.lag()), (4, 0));
}

#[test]
fn a_slow_reader_gets_a_gap_and_a_quick_one_does_not() {
    let log = log(3);
    let (mut slow, mut quick) = (log.subscribe(), log.subscribe());
    for n in 1..=10 {
        log.publish(draft(n)).unwrap();
        assert_eq!(seq(take(&mut quick)), Some(n));
    }
    assert_eq!(take(&mut slow), Some(Delivery::Gap { missed: 7 }));
    assert_eq!([(); 4].map(|()| seq(take(&mut slow))), [Some(8), Some(9), Some(10), None]);
    assert_eq!(log.stats().missed, 7);
}

#[test]
fn without_readers_records_are_numbered_but_neither_built_nor_kept() {
    let log = log(8);
    let unread = (0..1000).map(|_| -> Draft { panic!("built for nobody") });
    assert_eq!(log.publish_all(unread), Ok(1..1001));
    assert_eq!(log.stats(), Stats { published: 1000, ..Stats::default() });

    let mut reader = log.subscribe();
    log.publish(draft(0)).unwrap();
    assert_eq!(log.stats().held_records, 1);
    assert_eq!(seq(take(&mut reader)), Some(1001));
    let other = log.subscribe();
    drop(reader);
    assert_eq!(log.stats().held_records, 1, "another reader still reads");
    drop(other);
    assert_eq!(log.stats(), Stats { published: 1001, ..Stats::default() });
}

#[test]
fn a_publisher_that_publishes_from_its_own_iterator_does_not_deadlock() {
    let log = log(8);
    let mut reader = log.subscribe();
    let nested = log.publish_all([5].into_iter().map(|n| {
        log.publish(draft(n)).unwrap();
        draft(n)
    }));
    assert_eq!(nested, Ok(2..3));
    assert_eq!([(); 3].map(|()| seq(take(&mut reader))), [Some(1), Some(2), None]);
}

/// A future dropped while it waited, or after it was woken, has taken nothing.
#[test]
fn recv_is_cancel_safe() {
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let woken = Arc::new(Woken(0.into()));
    let log = log(8);
    let mut reader = log.subscribe();
    {
        let mut waiting = pin!(reader.recv());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        log.publish_all([draft(1), draft(2)]).unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "woken once, without a poll");
    }
    let mut batch = Vec::new();
    drop(reader.recv_many(&mut batch, 8));
    assert_eq!([(); 3].map(|()| seq(take(&mut reader))), [Some(1), Some(2), None]);
}

#[test]
fn recv_many_takes_what_is_there_up_to_its_limit() {
    let log = log(8);
    let mut reader = log.subscribe();
    log.publish_all((1..=5).map(draft).collect::<Vec<_>>()).unwrap();
    let mut batch = Vec::new();
    assert_eq!(poll_once(reader.recv_many(&mut batch, 3)), Poll::Ready(3));
    assert_eq!(poll_once(reader.recv_many(&mut batch, 0)), Poll::Ready(1), "at least one");
    assert_eq!(poll_once(reader.recv_many(&mut batch, 3)), Poll::Ready(1));
    assert!(poll_once(reader.recv_many(&mut batch, 3)).is_pending());
    assert_eq!(batch.into_iter().filter_map(|d| seq(Some(d))).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_closed_log_is_read_to_its_end() {
    let log = log(8);
    let mut reader = log.subscribe();
    let mut waiting = log.subscribe();
    log.publish(draft(1)).unwrap();
    waiting.recv().await;
    tokio::join!(async { assert_eq!(waiting.recv().await, None) }, async { log.close() });

    assert_eq!(log.publish(draft(2)), Err(Closed));
    assert_eq!(seq(reader.recv().await), Some(1));
    assert_eq!(reader.recv().await, None);
    assert_eq!(reader.recv_many(&mut Vec::new(), 8).await, 0);
    assert_eq!(log.subscribe().recv().await, None);
}

#[tokio::test]
async fn the_last_handle_closes_the_log() {
    let log = log(8);
    let mut reader = log.subscribe();
    let other = log.clone();
    drop(log);
    other.publish(draft(1)).unwrap();
    assert_eq!(seq(reader.recv().await), Some(1));
    assert!(poll_once(reader.recv()).is_pending());
    tokio::join!(async { assert_eq!(reader.recv().await, None) }, async { drop(other) });
}

/// A reader that always finds something must not keep its thread to itself.
#[tokio::test(flavor = "current_thread")]
async fn a_busy_reader_lets_other_tasks_run() {
    let log = log(8);
    let mut reader = log.subscribe();
    let endless = async {
        loop {
            log.publish(draft(0)).unwrap();
            reader.recv().await;
        }
    };
    tokio::select! {
        biased;
        () = endless => {}
        () = tokio::task::yield_now() => {}
    }
}

/// Two publishing threads, three readers on a runtime: all in one order, each publisher's own order kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_and_readers_agree_on_one_order() {
    const EACH: u64 = 5000;
    let log = log(usize::MAX);
    let readers = [(); 3].map(|()| log.subscribe());
    let publishers: Vec<_> = (0..2_u64)
        .map(|publisher| {
            let log = log.clone();
            thread::spawn(move || {
                for n in (0..EACH).step_by(10) {
                    log.publish_all((0..10_u32).map(|more| draft(publisher << 32 | (n + u64::from(more)))))
                        .unwrap();
                }
            })
        })
        .collect();
    drop(log);

    let mut seen = Vec::new();
    for mut reader in readers {
        let mut records = Vec::new();
        while let Some(Delivery::Record(record)) = reader.recv().await {
            records.push((record.seq, u64::from_be_bytes(record.payload[..].try_into().unwrap())));
        }
        seen.push(records);
    }
    for publisher in publishers {
        publisher.join().unwrap();
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert!(seen[0].iter().map(|(seq, _)| *seq).eq(1..=2 * EACH));
    for publisher in 0..2 {
        let own = seen[0].iter().map(|(_, payload)| *payload).filter(|payload| payload >> 32 == publisher);
        assert!(own.map(|payload| payload & 0xffff_ffff).eq(0..EACH));
    }
}
