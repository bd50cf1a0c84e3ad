//! Sagas of several coordinators on one database.

use std::time::Duration;

use aqueduct_runtime::task;
use aqueduct_saga::{Filter, Status, Store as _, SubmitError};

use super::bank::{Bank, Site, in_time, transfer};

const LEASE: Duration = Duration::from_secs(2);

/// Money moves on two coordinators, with lost answers; whoever submits may ask the other for the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_coordinators_share_the_work_and_lose_no_money() {
    let site = Site::start("saga-two");
    site.accounts(&[1000, 1000, 0]);
    let bank = Bank::new(site.pool("bank"), 7);
    let nodes = [site.coordinator(LEASE).await, site.coordinator(LEASE).await];
    let stop = stopper();
    for node in &nodes {
        let (node, bank, stop) = (node.clone(), bank.clone(), stop.subscribe());
        drop(task::spawn("saga-node", async move { node.run(bank, stopped(stop)).await.unwrap() }));
    }
    for number in 0..100_u32 {
        let submit = transfer(&format!("t{number}"), number % 2, 2, i64::from(number % 50) + 1);
        let node = &nodes[number as usize % 2];
        assert!(in_time(node.submit(submit.clone())).await.unwrap().created);
        assert!(!in_time(nodes[1].submit(submit.clone())).await.unwrap().created);
        let mut other = submit;
        other.plan.fingerprint = [2; 32];
        assert_eq!(in_time(nodes[0].submit(other)).await, Err(SubmitError::Conflict));
    }
    let mut ends = [0, 0];
    for number in 0..100_usize {
        let id = format!("t{number}").parse().unwrap();
        let view =
            in_time(nodes[(number + 1) % 2].wait(&id, Duration::from_secs(50))).await.unwrap().unwrap();
        match view.status {
            Status::Completed => ends[0] += 1,
            Status::Compensated => ends[1] += 1,
            other => panic!("{id} is {other}: {view:#?}"),
        }
    }
    assert_eq!(site.sum(), 2000);
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
    assert_eq!(site.database.sql("SELECT COUNT(*) FROM bank.accounts WHERE cents < 0").unwrap(), "0");
    let list = nodes[0].list(Filter { status: Some(Status::Completed), limit: 1000, ..Filter::default() });
    assert_eq!(in_time(list).await.unwrap().len(), ends[0]);
    stop.send(true).unwrap();
}

/// A coordinator that goes away in the middle: the other one waits for the end of its lease, and goes on with a higher epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_coordinator_takes_over_when_the_lease_is_over() {
    let site = Site::start("saga-takeover");
    site.accounts(&[1000, 0]);
    let (first, second) = (site.coordinator(LEASE).await, site.coordinator(LEASE).await);
    let bank = Bank::new(site.pool("bank"), 1);
    {
        // Never answered, so always under way.
        let run = first.run(bank.clone(), std::future::pending());
        let submitted = async {
            first.submit(transfer("t", 0, 1, 100)).await.unwrap();
            while bank.calls.load(std::sync::atomic::Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = in_time(submitted) => {}
            end = run => panic!("{end:?}"),
        }
    }
    let (answering, id) = (Bank::new(site.pool("bank"), 0), "t".parse().unwrap());
    let view = tokio::select! {
        view = in_time(second.wait(&id, Duration::from_secs(50))) => view.unwrap().unwrap(),
        end = second.run(answering, std::future::pending()) => panic!("{end:?}"),
    };
    assert_eq!(view.status, Status::Completed);
    assert!(view.steps[0].execute.attempts >= 3, "{view:#?}");
    assert_eq!(site.database.sql("SELECT cents FROM bank.accounts ORDER BY id").unwrap(), "900\n100");
    let epoch: u64 = site.database.sql("SELECT epoch FROM sagas.saga").unwrap().parse().unwrap();
    assert!(epoch >= 2, "{epoch}");
}

/// The store is gone for a while: nothing is lost, and all goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_down_is_used_again() {
    let mut site = Site::start("saga-down");
    site.accounts(&[1000, 0]);
    let node = site.coordinator(LEASE).await;
    let (running, stop) = (node.clone(), stopper());
    let (bank, stopping) = (Bank::new(site.pool("bank"), 3), stop.subscribe());
    drop(task::spawn("saga-node", async move { running.run(bank, stopped(stopping)).await.unwrap() }));
    for number in 0..20 {
        in_time(node.submit(transfer(&format!("t{number}"), 0, 1, 10))).await.unwrap();
    }
    site.database.kill9().unwrap();
    let refused = in_time(node.submit(transfer("u", 0, 1, 10))).await;
    assert!(matches!(refused, Err(SubmitError::Store(_))), "{refused:?}");
    site.database.restart().unwrap();
    for number in 0..20 {
        let id = format!("t{number}").parse().unwrap();
        let view = in_time(async {
            loop {
                // The pool's connections are those of the server that is gone.
                if let Ok(view) = node.wait(&id, Duration::from_secs(50)).await {
                    return view.unwrap();
                }
            }
        });
        assert_eq!(view.await.status, Status::Completed);
    }
    assert_eq!(site.database.sql("SELECT cents FROM bank.accounts ORDER BY id").unwrap(), "800\n200");
    stop.send(true).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_saga_is_decided_on_and_what_ended_is_forgotten() {
    let site = Site::start("saga-parked");
    site.accounts(&[1000]);
    let node = site.coordinator(LEASE).await;
    let mut submit = transfer("t", 0, 7, 100);
    submit.plan.steps[1].kind = aqueduct_saga::Kind::Retriable;
    let id = submit.id.clone();
    let bank = Bank::new(site.pool("bank"), 0);
    let steps = async {
        node.submit(submit).await.unwrap();
        loop {
            let stuck = node.list(Filter { stuck: true, ..Filter::default() }).await.unwrap();
            if let [saga] = &stuck[..] {
                assert_eq!(saga.reason, "execute of credit was rejected: no such account");
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        site.database.sql("INSERT INTO bank.accounts VALUES (7, 0)").unwrap();
        node.skip(&id, "ann").await.unwrap();
        node.wait(&id, Duration::from_secs(50)).await.unwrap().unwrap()
    };
    let view = tokio::select! {
        view = in_time(steps) => view,
        end = node.run(bank, std::future::pending()) => panic!("{end:?}"),
    };
    assert_eq!(view.status, Status::Completed);
    let store = aqueduct_saga::mysql::Mysql::open(site.pool("sagas")).await.unwrap().0;
    assert_eq!(store.forget(store.now() + 1000, 10).await, Ok(1));
    assert_eq!(node.get(&id).await, Ok(None));
    assert_eq!(site.database.sql("SELECT COUNT(*) FROM sagas.saga_log").unwrap(), "0");
}

fn stopper() -> tokio::sync::watch::Sender<bool> {
    tokio::sync::watch::Sender::new(false)
}

async fn stopped(mut stop: tokio::sync::watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
}
