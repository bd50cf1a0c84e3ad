//! `aqueduct.ids.v1.IdService`: from a request to its IDs, and every refusal.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqueduct_ids::{Generator, Id, IdError, Route};
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::proto::ids::id_service_server::IdService;
use crate::proto::ids::mint_ids_request::Placement;
use crate::proto::ids::{self, DecodeIdRequest, DecodedId, MintIdsRequest, MintIdsResponse};

/// The most IDs of one call. Of one route this is 39 ms of the second that IDs may run ahead of the clock, so one caller cannot
/// make all others wait; and 90 KB at most.
pub const MAX_BATCH: u32 = 10_000;
/// How long a call waits: for a renewal that is late, for a clock that is a little behind, for its turn on a busy route.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks. The lease sends no event, and a late renewal is rare.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// IDs minted between two looks at who else wants to run.
const BETWEEN_YIELDS: usize = 1_000;

/// Mints under one lease.
#[derive(Debug)]
pub(crate) struct Service {
    ids: Generator,
    routes: Vec<Route>,
    turn: AtomicUsize,
}

impl Service {
    pub(crate) fn new(ids: Generator) -> Self {
        Self { ids, routes: Route::all().collect(), turn: AtomicUsize::new(0) }
    }

    fn route(&self, placement: Option<&Placement>) -> Result<Route, Status> {
        match placement {
            Some(Placement::Key(key)) => Ok(Route::of_hash(key.cast_unsigned())),
            Some(Placement::Route(route)) => route_of(*route),
            None => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                Ok(self.routes[turn % self.routes.len()])
            }
        }
    }

    async fn mint(&self, route: Route, until: Instant) -> Result<Id, IdError> {
        loop {
            match self.ids.next_id(route) {
                Err(IdError::NotReserved) if Instant::now() < until => sleep(LOOK_EVERY).await,
                // After a crash a batch has to wait for its milliseconds.
                Err(IdError::ClockBehind { by }) if Instant::now() + by < until => sleep(by).await,
                minted => return minted,
            }
        }
    }
}

#[tonic::async_trait]
impl IdService for Service {
    async fn mint_ids(&self, request: Request<MintIdsRequest>) -> Result<Response<MintIdsResponse>, Status> {
        let MintIdsRequest { count, placement } = request.into_inner();
        if count > MAX_BATCH {
            return Err(invalid("count", format!("is {count}: at most {MAX_BATCH} are minted at a time")));
        }
        let route = self.route(placement.as_ref())?;
        let count = count.max(1) as usize;
        let mut ids = Vec::with_capacity(count);
        let until = Instant::now() + PATIENCE;
        while ids.len() < count {
            ids.push(self.mint(route, until).await.map_err(unminted)?.as_i64());
            if ids.len().is_multiple_of(BETWEEN_YIELDS) {
                tokio::task::yield_now().await;
            }
        }
        Ok(Response::new(MintIdsResponse { ids }))
    }

    async fn decode_id(&self, request: Request<DecodeIdRequest>) -> Result<Response<DecodedId>, Status> {
        let raw = request.get_ref().id;
        let id = Id::from_i64(raw).ok_or_else(|| invalid("id", format!("is {raw}: no ID is negative")))?;
        let parts = self.ids.layout().decode(id);
        let unix_ms = self.ids.epoch_ms().saturating_add(parts.time_ms);
        let (shard, table) = (parts.route.shard().into(), parts.route.table().into());
        Ok(Response::new(DecodedId {
            id: raw,
            unix_ms: i64::try_from(unix_ms).unwrap_or(i64::MAX),
            route: Some(ids::Route { shard, table }),
            worker: parts.worker.into(),
            sequence: parts.sequence.into(),
        }))
    }
}

fn route_of(ids::Route { shard, table }: ids::Route) -> Result<Route, Status> {
    let route = u8::try_from(shard).ok().zip(u8::try_from(table).ok());
    route.and_then(|(shard, table)| Route::new(shard, table)).ok_or_else(|| {
        if shard > 3 {
            invalid("route.shard", format!("is {shard}: shards are 0 to 3"))
        } else {
            invalid("route.table", format!("is {table}: tables are 0 to 15"))
        }
    })
}

fn invalid(field: &str, why: String) -> Status {
    let message = format!("{field} {why}");
    let details = ErrorDetails::with_bad_request_violation(field, why);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

fn unminted(error: IdError) -> Status {
    let after = match error {
        IdError::ClockBehind { by } => by,
        IdError::NotReserved => Duration::from_millis(500),
        IdError::TermEnded | IdError::TimeExhausted | IdError::Closed => Duration::from_secs(1),
    };
    let details = ErrorDetails::with_retry_info(Some(after));
    Status::with_error_details(Code::Unavailable, error.to_string(), details)
}
