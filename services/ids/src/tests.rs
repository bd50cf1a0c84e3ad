//! The service over a real connection: batches, bounds, placement, refusals, health and the end.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aqueduct_ids::{Clock, DEFAULT_EPOCH_MS, Lease, LeaseOptions, Route};
use aqueduct_runtime::{drain, task};
use aqueduct_telemetry::health::Health;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::proto::health::HealthCheckRequest;
use crate::proto::health::health_client::HealthClient;
use crate::proto::ids::id_service_client::IdServiceClient;
use crate::proto::ids::mint_ids_request::Placement;
use crate::proto::ids::{self, DecodeIdRequest, MintIdsRequest};
use crate::{Held, MAX_BATCH, Server};

const START: u64 = DEFAULT_EPOCH_MS + 1_000_000;

struct Rig {
    folder: TempDir,
    unix_ms: Arc<AtomicU64>,
    server: Server,
    drain: drain::DrainHandle,
    serving: tokio::task::JoinHandle<Result<(), crate::ServeError>>,
    channel: Channel,
}

impl Rig {
    async fn start() -> Self {
        let (folder, unix_ms) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(START)));
        let read = Arc::clone(&unix_ms);
        let clock = Clock::from_fn(move || read.load(Ordering::SeqCst));
        let options = LeaseOptions { worker: 9, clock, ..LeaseOptions::default() };
        let lease = Lease::open(folder.path(), options).unwrap();
        let server = Server::start(Held::Folder(lease), &Health::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (handle, drain) = drain::channel();
        let serving = task::spawn("ids", server.serve(listener, drain));
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        Self { folder, unix_ms, server, drain: handle, serving, channel }
    }

    async fn mint(&self, count: u32, placement: Option<Placement>) -> Result<Vec<i64>, Status> {
        let mut client = IdServiceClient::new(self.channel.clone());
        Ok(client.mint_ids(MintIdsRequest { count, placement }).await?.into_inner().ids)
    }

    async fn stop(self) -> TempDir {
        assert_eq!(self.drain.drain(Duration::from_secs(5)).await.left, 0);
        self.serving.await.unwrap().unwrap();
        self.server.close().await;
        self.folder
    }
}

fn route_of(id: i64) -> (u8, u8) {
    let route = aqueduct_ids::Id::from_i64(id).unwrap().route();
    (route.shard(), route.table())
}

#[tokio::test]
async fn a_batch_is_ascending_of_one_route_and_never_repeats() {
    let rig = Rig::start().await;
    assert_eq!(rig.mint(0, None).await.unwrap().len(), 1);
    let mut all = HashSet::new();
    for key in [7, -7] {
        let ids = rig.mint(MAX_BATCH, Some(Placement::Key(key))).await.unwrap();
        assert!(ids.len() == MAX_BATCH as usize && ids.is_sorted());
        let wanted = Route::of_hash(key.cast_unsigned());
        assert!(ids.iter().all(|id| route_of(*id) == (wanted.shard(), wanted.table())));
        all.extend(ids);
    }
    assert_eq!(all.len(), 2 * MAX_BATCH as usize);
    let route = ids::Route { shard: 3, table: 15 };
    assert_eq!(route_of(rig.mint(1, Some(Placement::Route(route))).await.unwrap()[0]), (3, 15));
    // Without a placement the calls take turns.
    let mut routes = HashSet::new();
    for _ in 0..64 {
        routes.insert(route_of(rig.mint(1, None).await.unwrap()[0]));
    }
    assert_eq!(routes.len(), 64);
    rig.stop().await;
}

#[tokio::test]
async fn bad_input_names_its_field() {
    let rig = Rig::start().await;
    let route = |shard, table| Some(Placement::Route(ids::Route { shard, table }));
    for (count, placement, field, expect) in [
        (MAX_BATCH + 1, None, "count", "count is 10001: at most 10000"),
        (u32::MAX, None, "count", "at most 10000"),
        (1, route(4, 0), "route.shard", "route.shard is 4: shards are 0 to 3"),
        (1, route(0, 16), "route.table", "route.table is 16: tables are 0 to 15"),
        (1, route(0, u32::MAX), "route.table", "tables are 0 to 15"),
    ] {
        let status = rig.mint(count, placement).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(expect), "{}", status.message());
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    let mut client = IdServiceClient::new(rig.channel.clone());
    let status = client.decode_id(DecodeIdRequest { id: -1 }).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "id is -1: no ID is negative"));
    rig.stop().await;
}

#[tokio::test]
async fn an_id_is_decoded() {
    let rig = Rig::start().await;
    let id = rig.mint(3, Some(Placement::Key(1))).await.unwrap()[2];
    let mut client = IdServiceClient::new(rig.channel.clone());
    let decoded = client.decode_id(DecodeIdRequest { id }).await.unwrap().into_inner();
    assert_eq!((decoded.id, decoded.worker, decoded.sequence), (id, 9, 2));
    assert_eq!(decoded.unix_ms.cast_unsigned(), START);
    let route = decoded.route.unwrap();
    assert_eq!((route.shard, route.table), (route_of(id).0.into(), route_of(id).1.into()));
    rig.stop().await;
}

/// A clock set back is a refusal that says when to ask again, and health tells; nothing is repeated afterwards.
#[tokio::test]
async fn a_clock_set_back_is_told_and_passes() {
    let rig = Rig::start().await;
    let before = rig.mint(1, Some(Placement::Key(1))).await.unwrap()[0];
    let mut health = HealthClient::new(rig.channel.clone());
    let request = HealthCheckRequest { service: "aqueduct.ids.v1.IdService".to_owned() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);

    rig.unix_ms.fetch_sub(60_000, Ordering::SeqCst);
    let status = rig.mint(1, Some(Placement::Key(1))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let after = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(after, Some(Duration::from_secs(59)));
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2, "not serving");

    rig.unix_ms.fetch_add(60_000, Ordering::SeqCst);
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1, "serving again");
    assert!(rig.mint(1, Some(Placement::Key(1))).await.unwrap()[0] > before);
    drop(watch);
    rig.stop().await;
}

#[tokio::test]
async fn the_lease_is_given_back_at_the_end() {
    let rig = Rig::start().await;
    let last = *rig.mint(1_000, Some(Placement::Key(1))).await.unwrap().last().unwrap();
    let unix_ms = Arc::clone(&rig.unix_ms);
    let folder = rig.stop().await;
    let clock = Clock::from_fn(move || unix_ms.load(Ordering::SeqCst));
    let options = LeaseOptions { worker: 9, clock, ..LeaseOptions::default() };
    let lease = Lease::open(folder.path(), options).unwrap();
    assert_eq!(lease.generator().ready_in(), Duration::ZERO);
    assert!(lease.generator().next_id(Route::of_hash(1)).unwrap().as_i64() > last);
}
