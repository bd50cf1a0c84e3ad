//! The workers of a gateway: started, told from which sockets to accept, and retired one by one while the others go on.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqueduct_runtime::drain::{self, Drain, DrainHandle, Drained};
use aqueduct_runtime::task;
use aqueduct_runtime::worker::{RuntimeStats, Workers};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::Instant;

use crate::background;
use crate::closing::{Closing, courtesy};
use crate::edge::{Edge, Shared};
use crate::options::{Options, Problem};
use crate::server;
use crate::sockets::Sockets;

/// Workers that no longer accept and wait for their last connections. A bound: reloads may come faster than these end.
const MAX_RETIRED: usize = 1024;
/// The pause after a socket could not be duplicated, for instance for want of file descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// All workers.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    state: Mutex<State>,
    plan: watch::Sender<Arc<Plan>>,
    /// A permit for each worker that ended by itself.
    failed: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    /// By index.
    active: Vec<Worker>,
    retired: Vec<Worker>,
    sockets: Sockets,
    /// The gateway drains, or has.
    ended: bool,
}

#[derive(Debug)]
struct Worker {
    thread: Workers<()>,
    drain: Arc<DrainHandle>,
    closing: Arc<Closing>,
    order: watch::Sender<Order>,
}

/// What a worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Accept as the plan says.
    Accept,
    /// Accept no more, and end with the last connection.
    Retire,
    /// End.
    Stop,
}

/// Who accepts from what. Workers beyond the number do not accept: they have just been started, or are about to retire.
#[derive(Debug)]
struct Plan {
    workers: usize,
    sockets: Sockets,
}

impl Pool {
    /// The workers for the configuration in use. None of them accepts before [`Pool::open`].
    pub(crate) fn start(shared: &Arc<Shared>, sockets: Sockets) -> io::Result<Arc<Self>> {
        let workers = shared.compiled.borrow().options.worker_count();
        let plan = watch::Sender::new(Arc::new(Plan { workers, sockets: Sockets::default() }));
        let (failed, state) = (Arc::new(Semaphore::new(0)), Mutex::default());
        let pool = Self { shared: Arc::clone(shared), state, plan, failed };
        let mut state = pool.state();
        state.active = pool.start_workers(0, workers)?;
        state.sockets = sockets;
        drop(state);
        Ok(Arc::new(pool))
    }

    /// Lets the workers accept.
    pub(crate) fn open(&self) {
        let mut state = self.state();
        let workers = state.active.len();
        state.sockets = std::mem::take(&mut state.sockets).grown(workers);
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let plan = Plan { workers: state.active.len(), sockets: state.sockets.clone() };
        self.plan.send_replace(Arc::new(plan));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_workers(&self, from: usize, to: usize) -> io::Result<Vec<Worker>> {
        // Those that were started before an error end when their owner is dropped.
        (from..to).map(|index| self.start_worker(index)).collect()
    }

    fn start_worker(&self, index: usize) -> io::Result<Worker> {
        let (handle, drain) = drain::channel();
        let drain_handle = Arc::new(handle);
        let (order, orders) = watch::channel(Order::Accept);
        let closing = Arc::<Closing>::default();
        let ending = Arc::clone(&closing);
        let (shared, failed) = (Arc::clone(&self.shared), Arc::clone(&self.failed));
        let (plan, retiring) = (self.plan.subscribe(), Arc::clone(&drain_handle));
        let thread = Workers::start_range("gateway", index..index + 1, move |index| {
            let edge = Edge::new(&shared, Arc::clone(&ending));
            task::spawn_local("routes", edge.clone().follow_routes());
            if index == 0 {
                task::spawn_local("background", background::follow(edge.clone()));
            }
            let worker = Life { index, edge, drain: drain.clone(), retiring: Arc::clone(&retiring) };
            let failing = Failing(Some(Arc::clone(&failed)));
            let (plan, orders, mut stopped) = (plan.clone(), orders.clone(), orders.clone());
            async move {
                tokio::select! {
                    () = worker.follow(plan, orders) => {}
                    // An error means that the gateway's owner is gone, which ends the workers too.
                    _ = stopped.wait_for(|order| *order == Order::Stop) => {}
                }
                failing.disarm();
            }
        })?;
        Ok(Worker { thread, drain: drain_handle, closing, order })
    }

    /// Everything that the options ask of sockets and workers; `publish` is called when all of it is there, before anybody
    /// accepts from a new socket.
    pub(crate) fn change(&self, options: &Options, publish: impl FnOnce()) -> Result<(), Vec<Problem>> {
        let mut state = self.state();
        state.reap();
        let workers = options.worker_count();
        let (retiring, known) = (state.active.len().saturating_sub(workers), state.active.len());
        let problem = |message: String| vec![Problem { path: "workers".into(), message }];
        if state.ended {
            return Err(problem("the gateway is shutting down".into()));
        }
        if state.retired.len() + retiring > MAX_RETIRED {
            return Err(problem("too many workers of before still drain; try again later".into()));
        }
        let sockets = state.sockets.changed(&options.listen, workers)?;
        let added = self
            .start_workers(known, workers)
            .map_err(|error| problem(format!("cannot start another worker: {error}")))?;
        publish();
        state.active.extend(added);
        let retired = state.active.split_off(workers);
        state.sockets = sockets.grown(workers);
        // First the others take their sockets.
        self.publish(&state);
        for worker in &retired {
            worker.order.send_replace(Order::Retire);
        }
        state.retired.extend(retired);
        Ok(())
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.state().sockets.addresses()
    }

    pub(crate) fn sockets(&self) -> io::Result<Vec<TcpListener>> {
        self.state().sockets.duplicates()
    }

    /// What the runtimes of those that accept have done.
    pub(crate) fn stats(&self) -> Vec<RuntimeStats> {
        self.state().active.iter().flat_map(|worker| worker.thread.stats()).collect()
    }

    /// Resolves when a worker has ended that nobody asked to.
    pub(crate) async fn failed(&self) {
        // The permit is given back at once: this only looks. The semaphore is never closed.
        drop(self.failed.acquire().await);
    }

    /// Lets everything finish, at most for so long, and ends all workers.
    pub(crate) async fn drain(&self, patience: Duration) -> Drained {
        let ended = State { ended: true, ..State::default() };
        let State { active, retired, sockets, .. } = std::mem::replace(&mut *self.state(), ended);
        for worker in active.iter().chain(&retired) {
            worker.drain.start();
        }
        // What waits in the queues is let in by the workers, which hold the last handles from here on.
        drop(sockets);
        let workers = active.len();
        self.plan.send_if_modified(|plan| {
            *plan = Arc::new(Plan { workers, sockets: Sockets::default() });
            false
        });
        let begun = Instant::now();
        let mut left = wait_for((&active, &retired), begun + courtesy(patience)).await;
        if left > 0 {
            tracing::info!("ending the streams that are still open");
            for worker in active.iter().chain(&retired) {
                worker.closing.begin();
            }
            left = wait_for((&active, &retired), begun + patience).await;
        }
        let stop = || {
            for worker in active.into_iter().chain(retired) {
                worker.stop();
            }
        };
        drop(tokio::task::spawn_blocking(stop).await);
        Drained { left }
    }
}

/// Waits until nothing is in flight, and says how much is at `deadline`.
async fn wait_for((active, retired): (&[Worker], &[Worker]), deadline: Instant) -> usize {
    let mut left = 0;
    for worker in active {
        left += worker.drain.drain(deadline.saturating_duration_since(Instant::now())).await.left;
    }
    for worker in retired {
        // It waits for its own drain.
        if tokio::time::timeout_at(deadline, worker.thread.any_ended()).await.is_err() {
            left += worker.drain.in_flight();
        }
    }
    left
}

impl State {
    /// Forgets those that have ended.
    fn reap(&mut self) {
        let ended = self.retired.extract_if(.., |worker| worker.thread.all_ended());
        ended.for_each(Worker::stop);
    }
}

impl Worker {
    /// Ends it and waits for its end.
    fn stop(self) {
        // Workers only look; nobody listening means that it has ended already.
        self.order.send_replace(Order::Stop);
        for panic in self.thread.join().into_iter().filter_map(Result::err) {
            tracing::error!(%panic, "a gateway worker failed");
        }
    }
}

/// Reports a worker that ends without having been asked to.
struct Failing(Option<Arc<Semaphore>>);

impl Failing {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        if let Some(failed) = &self.0 {
            failed.add_permits(1);
        }
    }
}

/// A worker's life, on its own thread.
struct Life {
    index: usize,
    edge: Rc<Edge>,
    drain: Drain,
    retiring: Arc<DrainHandle>,
}

impl Life {
    /// Accepts as the plan says, until it has to retire and its last connection has ended.
    async fn follow(self, mut plan: watch::Receiver<Arc<Plan>>, mut orders: watch::Receiver<Order>) {
        // An acceptor ends when its sender is dropped.
        let mut accepting: HashMap<u64, oneshot::Sender<()>> = HashMap::new();
        loop {
            let current = Arc::clone(&plan.borrow_and_update());
            let retires = *orders.borrow_and_update() == Order::Retire;
            let mine = if retires || self.index >= current.workers {
                Vec::new()
            } else {
                current.sockets.of_worker(self.index, current.workers)
            };
            drop(current);
            accepting.retain(|id, _| mine.iter().any(|(_, socket)| socket.id == *id));
            let mut complete = true;
            for (configured, socket) in &mine {
                if accepting.contains_key(&socket.id) {
                    continue;
                }
                let listener = socket.duplicate().and_then(tokio::net::TcpListener::from_std);
                match listener {
                    Ok(listener) => drop(accepting.insert(socket.id, self.accept((*configured, listener)))),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept from a socket yet");
                        complete = false;
                    }
                }
            }
            drop(mine);
            if retires {
                let patience = self.edge.options().timeouts.drain;
                let begun = Instant::now();
                let mut drained = self.retiring.drain(courtesy(patience)).await;
                if drained.left > 0 {
                    self.edge.closing.begin();
                    drained = self.retiring.drain(patience.saturating_sub(begun.elapsed())).await;
                }
                let left = drained.left;
                if left > 0 {
                    tracing::warn!(left, "connections of a worker that is no longer wanted were cut");
                }
                return;
            }
            tokio::select! {
                // Errors mean that the owner is gone, which ends this worker.
                Ok(()) = plan.changed() => {}
                Ok(()) = orders.changed() => {}
                () = tokio::time::sleep(RETRY), if !complete => {}
                else => return,
            }
        }
    }

    fn accept(&self, listener: (SocketAddr, tokio::net::TcpListener)) -> oneshot::Sender<()> {
        let (end, ended) = oneshot::channel();
        let accept = server::accept(Rc::clone(&self.edge), listener, self.drain.clone(), ended);
        task::spawn_local("accept", accept);
        end
    }
}
