//! The gRPC server: which services it has, how its connections behave, and what it says of itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_ids::Generator;
use aqueduct_runtime::drain::Drain;
use aqueduct_telemetry::health::{Check, Health, OnFailure};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use crate::health::HealthService;
use crate::keeper::{Held, Keeper, Renewal};
use crate::proto::DESCRIPTOR_SET;
use crate::proto::health::health_server::HealthServer;
use crate::proto::ids::id_service_server::IdServiceServer;
use crate::service::Service;
use crate::state::State;

/// The largest request: a few numbers.
const MAX_REQUEST: usize = 4 << 10;
/// Requests in flight on one connection. A gateway worker brings all of its on one.
const MAX_STREAMS: u32 = 4_096;
/// A peer that went away without a word is noticed after both.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// How long the start waits for a clock that is behind the IDs minted before it; what is longer was set back by someone, and the
/// health check tells.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Mints IDs under one lease, which is renewed for as long as this lives.
#[derive(Debug)]
pub struct Server {
    ids: Generator,
    states: Arc<watch::Sender<State>>,
    keeper: Keeper,
}

/// Why a server stopped serving before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener cannot be used.
    #[error("the listener cannot be used: {0}")]
    Listener(#[from] io::Error),
    /// The connections failed.
    #[error("the gRPC server failed: {0}")]
    Server(#[from] tonic::transport::Error),
    /// The built-in descriptors cannot be read: a defect of the build.
    #[error("the descriptors for reflection cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl Server {
    /// Takes the lease into its keeping. Its state is the check `ids` in `health`. Must be called within a tokio runtime.
    pub fn start(held: Held, health: &Health) -> Self {
        let ids = held.generator();
        let check = health.check("ids", OnFailure::Unavailable);
        let states = Arc::new(watch::Sender::new(State { unminted: ids.ready().err(), ..State::default() }));
        show(&states.borrow(), &check);
        let keeper = Keeper::start(held, report(ids.clone(), Arc::clone(&states), check));
        Self { ids, states, keeper }
    }

    /// Serves gRPC on `listener` (IDs, health, reflection) until `drain` starts and all that is in flight is answered. Holds a
    /// guard of the drain meanwhile.
    pub fn serve(
        &self,
        listener: std::net::TcpListener,
        drain: Drain,
    ) -> impl Future<Output = Result<(), ServeError>> + Send + use<> {
        let (ids, states) = (self.ids.clone(), Arc::clone(&self.states));
        let guard = drain.guard();
        async move {
            let wait = ids.ready_in();
            if !wait.is_zero() {
                tracing::info!(?wait, "waiting for the clock to pass the ids minted before the start");
                tokio::time::sleep(wait.min(MAX_WAIT)).await;
            }
            let health = HealthService(states.subscribe());
            let stop = async move {
                drain.started().await;
                states.send_modify(|state| state.ending = true);
            };
            let served = serve(listener, stop, Service::new(ids), health).await;
            drop(guard);
            served
        }
    }

    /// Resolves with the reason once the lease cannot be renewed any more; never otherwise. The process should exit: a restart
    /// takes another one.
    pub async fn failed(&self) -> String {
        let mut states = self.states.subscribe();
        let over = states.wait_for(|state| state.over.is_some()).await;
        match over.ok().and_then(|state| state.over.clone()) {
            Some(why) => why,
            // The sender is in this struct, which is borrowed here.
            None => std::future::pending().await,
        }
    }

    /// Ends minting and gives the lease back. Comes after the drain.
    pub async fn close(self) {
        self.states.send_modify(|state| state.ending = true);
        self.keeper.stop().await;
    }
}

fn report(
    ids: Generator,
    states: Arc<watch::Sender<State>>,
    check: Check,
) -> impl Fn(Renewal) + Send + 'static {
    move |renewal| {
        let over = match renewal {
            Renewal::Done | Renewal::Late(_) => None,
            Renewal::Over(why) => Some(why),
        };
        let unminted = ids.ready().err();
        states.send_if_modified(|state| {
            // The first reason stays.
            let now = State { unminted, over: state.over.clone().or(over.clone()), ending: state.ending };
            let changed = *state != now;
            *state = now;
            show(state, &check);
            changed
        });
    }
}

fn show(state: &State, check: &Check) {
    match state.why_not() {
        None => check.ok(""),
        Some(why) => check.failed(why),
    }
}

async fn serve(
    listener: std::net::TcpListener,
    stop: impl Future<Output = ()>,
    ids: Service,
    health: HealthService,
) -> Result<(), ServeError> {
    let ids = IdServiceServer::new(ids).max_decoding_message_size(MAX_REQUEST);
    let reflection = || {
        tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTOR_SET)
    };
    let routes = Routes::new(ids)
        .add_service(HealthServer::new(health))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    listener.set_nonblocking(true)?;
    let incoming = TcpIncoming::from(TcpListener::from_std(listener)?).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop)
        .await?;
    Ok(())
}
