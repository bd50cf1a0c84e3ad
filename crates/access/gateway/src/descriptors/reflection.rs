//! gRPC server reflection (`grpc.reflection.v1`, and `v1alpha` for older servers, whose messages are the same): asks for
//! the file of each service, then for what the files import, until nothing is missing.

use std::rc::Rc;
use std::time::Duration;

use aqueduct_transcode::Code;
use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::descriptors::files::{Files, refused};
use crate::descriptors::live::Live;
use crate::edge::Edge;
use crate::reject::Reject;
use crate::stage::pick;
use crate::upstream::call::{self, Question};
use crate::upstream::endpoint::Endpoint;
use crate::wire;

const VERSIONS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// How long one round of questions may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rounds of one reading: how deep imports may be nested in imports.
const MAX_ROUNDS: usize = 100;
/// Fields of `ServerReflectionRequest`.
const FILE_BY_FILENAME: u8 = 3;
const FILE_CONTAINING_SYMBOL: u8 = 4;

/// Asks the upstream until the worker ends: often until its descriptors are live, then every `every`.
pub(super) async fn follow((edge, live): (Rc<Edge>, Rc<Live>), index: usize, name: String, every: Duration) {
    let routes = live.options().routes.iter().filter(|route| route.upstream == name);
    let services: Vec<String> = routes.map(|route| route.service.clone()).collect();
    let mut ticks = interval(live.poll().min(every));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked: Option<Instant> = None;
    // The one that answered is asked again: others may run another version, and the routes would change to and fro.
    let mut endpoint: Option<Rc<Endpoint>> = None;
    loop {
        ticks.tick().await;
        if asked.is_some_and(|asked| asked.elapsed() < every) && live.is_read(index).await {
            continue;
        }
        asked = Some(Instant::now());
        let chosen = endpoint.take().map_or_else(|| choose(&edge, &name), Ok);
        let read = match &chosen {
            Ok(chosen) => read(chosen, &services).await,
            Err(reject) => Err(reject.inside().to_owned()),
        };
        match read {
            Ok(set) => {
                endpoint = chosen.ok();
                live.offer(index, set).await;
            }
            Err(why) => live.unavailable(index, why).await,
        }
    }
}

fn choose(edge: &Edge, name: &str) -> Result<Rc<Endpoint>, Reject> {
    let routes = edge.routes();
    routes.upstream(name).ok_or_else(pick::gone).and_then(|upstream| pick::pick(upstream).cloned())
}

/// The files of the services and all that they import.
async fn read(endpoint: &Rc<Endpoint>, services: &[String]) -> Result<Bytes, String> {
    'versions: for path in VERSIONS {
        let mut files = Files::default();
        let (mut field, mut names) = (FILE_CONTAINING_SYMBOL, services.to_vec());
        for round in 0..MAX_ROUNDS {
            if names.is_empty() {
                return Ok(files.into_set());
            }
            let question = Question {
                path,
                frames: frames(field, &names),
                patience: PATIENCE,
                answers: names.len(),
                limit: files.room(),
            };
            let reply = call::call(endpoint, question).await?;
            match reply.code {
                Code::Ok => {}
                Code::Unimplemented if round == 0 => continue 'versions,
                code => return Err(refused(code, &reply.message)),
            }
            if reply.messages.len() != names.len() {
                let (asked, answered) = (names.len(), reply.messages.len());
                return Err(format!("it answered {answered} of {asked} reflection requests"));
            }
            reply.messages.iter().try_for_each(|message| files.take(message))?;
            (field, names) = (FILE_BY_FILENAME, files.missing());
        }
        return Err(format!("its files import each other more than {MAX_ROUNDS} deep"));
    }
    Err("it has no gRPC server reflection, neither v1 nor v1alpha".to_owned())
}

/// A `ServerReflectionRequest` for each name.
fn frames(field: u8, names: &[String]) -> Bytes {
    let mut frames = Vec::new();
    for name in names {
        call::frame(&mut frames, |message| wire::put_bytes(message, field, name.as_bytes()));
    }
    frames.into()
}
