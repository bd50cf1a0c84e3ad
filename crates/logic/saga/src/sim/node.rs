//! A node: a coordinator that crashes at any await, and comes back; or stands still past its lease, and wakes as a zombie.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::net::Wire;
use super::random::Random;
use super::store::{SimStore, Site};
use super::world::World;
use crate::{Coordinator, Options};

pub(super) const LEASE: Duration = Duration::from_secs(3);

pub(super) fn options() -> Options {
    Options {
        attempt_timeout: Duration::from_secs(1),
        most_attempts: 10_000,
        lease: LEASE,
        in_flight: 64,
        ..Options::default()
    }
}

/// What befalls one life of a node.
struct Fate {
    /// It is dropped when it was polled so often.
    polls: u64,
    /// It stands still then.
    pause: Option<(Instant, Instant)>,
}

/// Lives and dies until calm times, and then lives on.
pub(super) async fn live(world: Rc<World>, site: Arc<Site>, number: u64) {
    let random = Random::new(world.seed, &format!("node {number}"));
    while !world.calm.get() {
        let sagas = Coordinator::open(SimStore::new(&site), options()).unwrap();
        world.nodes.borrow_mut().insert(number, sagas.clone());
        let start = Instant::now() + random.millis(0..5000);
        let pause = random.percent(40).then(|| (start, start + random.millis(1000..12_000)));
        // Few polls hit the first awaits of a life, many let it come to the later ones.
        let polls = if random.percent(30) { random.range(1..40) } else { random.range(40..4000) };
        let wire = Wire::new(&world.net);
        let run = sagas.run(wire, std::future::pending());
        let fated = fated(run, Fate { polls, pause });
        tokio::select! {
            biased;
            () = world.calmed.notified() => {}
            () = fated => {}
        }
        world.nodes.borrow_mut().remove(&number);
        sleep(random.millis(0..4000)).await;
    }
    let sagas = Coordinator::open(SimStore::new(&site), options()).unwrap();
    let wire = Wire::new(&world.net);
    sagas.run(wire, std::future::pending()).await.unwrap();
}

/// A run that ends as its fate will have it.
async fn fated<T>(run: impl Future<Output = T>, fate: Fate) {
    let Fate { mut polls, pause } = fate;
    let mut run = Box::pin(run);
    let mut until: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context: &mut Context<'_>| {
        if let Some((from, end)) = pause
            && (from..end).contains(&Instant::now())
        {
            let sleep = until.get_or_insert_with(|| Box::pin(sleep_until(end)));
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        polls -= 1;
        if polls == 0 { Poll::Ready(()) } else { run.as_mut().poll(context).map(drop) }
    })
    .await;
}
