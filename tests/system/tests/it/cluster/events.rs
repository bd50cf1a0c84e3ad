//! What is on the bus of the orders: all events of all shards, as a consumer hears them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;

use aqueduct_bus::jetstream::{Bus, Options};
use aqueduct_bus::{Delivery, Subscribe as _};
use aqueduct_kit::process::within;
use aqueduct_kit::until;
use tokio::sync::oneshot;

use super::Below;

/// The versions that were heard of each order, in the order in which they were.
pub(crate) type Heard = BTreeMap<i64, Vec<(u64, u8)>>;

/// Listens from its start on.
pub(crate) struct Events {
    heard: Arc<Mutex<Heard>>,
    listeners: Vec<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl Events {
    pub(crate) fn listen(below: &Below) -> Self {
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let listener = |shard: u8| {
            let (url, heard) = (below.nats.url(), Arc::clone(&heard));
            let (stop, stopped) = oneshot::channel();
            let (begun, begins) = std::sync::mpsc::channel();
            let thread = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let bus = Bus::connect(Options::new(&url, &format!("orders-{shard}"))).await.unwrap();
                    let mut reader = bus.subscribe().await.unwrap();
                    begun.send(()).unwrap();
                    let all = async {
                        loop {
                            match reader.recv().await {
                                Some(Delivery::Record(record)) => {
                                    assert_eq!(&*record.topic, "shop.orders");
                                    let id = i64::from_be_bytes(record.key[..].try_into().unwrap());
                                    let bits = u64::from_be_bytes(record.payload[..].try_into().unwrap());
                                    let (state, version) = ((bits >> 56) as u8, bits & ((1 << 55) - 1));
                                    heard.lock().unwrap().entry(id).or_default().push((version, state));
                                }
                                other => panic!("{other:?}"),
                            }
                        }
                    };
                    tokio::select! {
                        () = all => {}
                        _ = stopped => {}
                    }
                });
            });
            begins.recv_timeout(within(30)).expect("it listens");
            (stop, thread)
        };
        Self { listeners: (0..4).map(listener).collect(), heard: Arc::clone(&heard) }
    }

    /// Waits until the last version that was heard of each of these orders is this one, and ends.
    pub(crate) fn wait_for(self, wanted: &BTreeMap<i64, u64>) -> Heard {
        let mut missing = None;
        let all = until(within(60), || {
            let heard = self.heard.lock().unwrap();
            missing = wanted.iter().find_map(|(id, version)| {
                let known = heard.get(id).is_some_and(|all| all.iter().any(|(heard, _)| heard == version));
                (!known).then(|| (*id, *version, heard.get(id).cloned()))
            });
            missing.is_none().then_some(())
        });
        assert!(all.is_some(), "not heard of: {missing:?}");
        for (stop, thread) in self.listeners {
            // One that has panicked tells why below.
            _ = stop.send(());
            thread.join().unwrap();
        }
        Arc::into_inner(self.heard).unwrap().into_inner().unwrap()
    }
}

/// Each version was heard of, and for the first time in its place. Tells how many were heard of again.
pub(crate) fn check_order(heard: &Heard) -> usize {
    let mut again = 0;
    for (id, versions) in heard {
        let mut newest = 0;
        for (version, state) in versions {
            assert!(*version <= newest + 1, "order {id}: {version} after {newest}: {versions:?}");
            assert_eq!(u64::from(*state), *version, "an order at version n has the n-th state");
            again += usize::from(*version <= newest);
            newest = newest.max(*version);
        }
    }
    again
}
