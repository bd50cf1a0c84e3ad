//! What the upstreams say of their health, asked in the background so that a probe never waits for them.
//!
//! `grpc.health.v1.Health/List` tells of the service and of the dependencies behind it; a server without `List` is
//! asked `Check`, and one without the health protocol at all is well as long as it answers. One upstream of many that
//! is down degrades the edge, it does not make it unready.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use aqueduct_runtime::task::{self, Owned};
use aqueduct_telemetry::health::{Check, Health, OnFailure};
use aqueduct_transcode::Code;
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use crate::edge::Edge;
use crate::grpc::FRAME_HEAD;
use crate::options::Options;
use crate::stage::pick;
use crate::upstream::call::{self, Question};
use crate::wire::{self, Value};

/// How often, and how long an answer may take.
const PERIOD: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(900);
/// Bytes of a health answer.
const LIMIT: usize = 64 << 10;
/// Dependencies one upstream may name.
const MAX_DEPENDENCIES: usize = 64;

/// Registers the check of every upstream that is asked. Before the gateway counts as started: joining waits for the checks
/// that are known by then.
pub(crate) fn register(options: &Options, health: &Health) -> Vec<(String, Check)> {
    let asked = options.upstreams.iter().filter(|(_, upstream)| upstream.health);
    let asked: Vec<_> = asked.map(|(name, _)| name).collect();
    // One of many that is down is not the end.
    let on_failure = if asked.len() > 1 { OnFailure::Degraded } else { OnFailure::Unavailable };
    asked.into_iter().map(|name| (name.clone(), health.check(name, on_failure))).collect()
}

/// Those who ask, by upstream. One worker has them, since it has the connections.
#[derive(Debug, Default)]
pub(crate) struct Asking(HashMap<String, (Check, Owned)>);

impl Asking {
    /// Asks these upstreams from now on, and no others. Who is asked already goes on being asked.
    pub(crate) fn only(&mut self, edge: &Rc<Edge>, checks: Vec<(String, Check)>) {
        let gone = self.0.extract_if(|name, _| checks.iter().all(|(wanted, _)| wanted != name));
        for (_, (check, _asking)) in gone {
            check.remove();
        }
        for (name, check) in checks {
            self.0.entry(name).or_insert_with_key(|name| {
                let ask = ask_forever(Rc::clone(edge), name.clone(), check.clone());
                (check, task::spawn_local("upstream-health", ask).into())
            });
        }
    }
}

/// What an upstream says it depends on. The checks end with whoever sets them.
#[derive(Debug, Default)]
struct Dependencies(HashMap<String, Check>);

impl Drop for Dependencies {
    fn drop(&mut self) {
        for (_, check) in self.0.drain() {
            check.remove();
        }
    }
}

async fn ask_forever(edge: Rc<Edge>, upstream: String, check: Check) {
    let mut dependencies = Dependencies::default();
    let dependencies = &mut dependencies.0;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match ask(&edge, &upstream).await {
            Ok(statuses) => {
                check.ok("");
                for (name, serving) in statuses {
                    let known = dependencies.len();
                    if !dependencies.contains_key(&name) && known < MAX_DEPENDENCIES {
                        let health = &edge.shared.health;
                        // An upstream may be called so, or another may depend on something of that name.
                        let shown =
                            if health.has(&name) { format!("{upstream}/{name}") } else { name.clone() };
                        dependencies.insert(name.clone(), health.check(&shown, OnFailure::Degraded));
                    }
                    if let Some(dependency) = dependencies.get(&name) {
                        dependency.set(serving, if serving { "" } else { "reported by the service" });
                    }
                }
            }
            Err(why) => {
                check.failed(why.clone());
                for dependency in dependencies.values() {
                    dependency.failed(why.clone());
                }
            }
        }
    }
}

/// The upstream's dependencies and whether each is well; `Err` when the upstream itself is not.
async fn ask(edge: &Edge, upstream: &str) -> Result<Vec<(String, bool)>, String> {
    match call(edge, upstream, "/grpc.health.v1.Health/List").await? {
        (Code::Ok, answer) => {
            let statuses = parse_list(&answer).ok_or("the health answer is malformed")?;
            if statuses.iter().any(|(name, serving)| name.is_empty() && !serving) {
                return Err("the upstream says that it is not serving".into());
            }
            // Names with a dot are services, the others what they depend on.
            Ok(statuses.into_iter().filter(|(name, _)| !name.is_empty() && !name.contains('.')).collect())
        }
        _ => match call(edge, upstream, "/grpc.health.v1.Health/Check").await? {
            (Code::Ok, answer) if parse_status(&answer) != Some(SERVING) => {
                Err("the upstream says that it is not serving".into())
            }
            (Code::Unavailable | Code::DeadlineExceeded, _) => Err("the upstream is unavailable".into()),
            // Any other answer is a sign of life from a server without the protocol.
            _ => Ok(Vec::new()),
        },
    }
}

/// Calls a unary method with an empty message.
async fn call(edge: &Edge, upstream: &str, path: &'static str) -> Result<(Code, Bytes), String> {
    let routes = edge.routes();
    let endpoint = routes.upstream(upstream).ok_or_else(pick::gone).and_then(|upstream| pick::pick(upstream));
    let endpoint = endpoint.map_err(|reject| reject.inside().to_owned())?;
    let frames = Bytes::from_static(&[0; FRAME_HEAD]);
    let question = Question { path, frames, patience: PATIENCE, answers: 1, limit: LIMIT };
    let mut reply = call::call(endpoint, question).await?;
    Ok((reply.code, reply.messages.pop().unwrap_or_default()))
}

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// `HealthListResponse`: a map from names to `HealthCheckResponse`.
fn parse_list(wire: &[u8]) -> Option<Vec<(String, bool)>> {
    let mut statuses = Vec::new();
    wire::each(wire, |field, value| {
        let (1, Value::Bytes(entry)) = (field, value) else { return Some(()) };
        let (mut name, mut serving) = (String::new(), false);
        wire::each(entry, |field, value| {
            match (field, value) {
                (1, Value::Bytes(text)) => std::str::from_utf8(text).ok()?.clone_into(&mut name),
                (2, Value::Bytes(status)) => serving = parse_status(status) == Some(SERVING),
                _ => {}
            }
            Some(())
        })?;
        statuses.push((name, serving));
        Some(())
    })?;
    Some(statuses)
}

/// `HealthCheckResponse`: its status, 0 when it is left out.
fn parse_status(wire: &[u8]) -> Option<u64> {
    let mut status = 0;
    wire::each(wire, |field, value| {
        if let (1, Value::Varint(number)) = (field, value) {
            status = number;
        }
        Some(())
    })?;
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_nonsense_is_not() {
        let entry = |name: &str, status: &[u8]| {
            let mut entry = vec![0x0a, u8::try_from(name.len()).unwrap()];
            entry.extend_from_slice(name.as_bytes());
            entry.extend_from_slice(&[0x12, u8::try_from(status.len()).unwrap()]);
            entry.extend_from_slice(status);
            [vec![0x0a, u8::try_from(entry.len()).unwrap()], entry].concat()
        };
        let wire = [entry("", &[8, 1]), entry("store", &[8, 2]), entry("bus", &[])].concat();
        let expect = [(String::new(), true), ("store".to_owned(), false), ("bus".to_owned(), false)];
        assert_eq!(parse_list(&wire).unwrap(), expect);
        for end in 1..wire.len() {
            // Cut anywhere: an answer or none, never a panic.
            drop(parse_list(&wire[..end]));
        }
        assert_eq!(parse_list(&[0x0a, 0xff]), None);
        assert_eq!(parse_status(&[0xff; 11]), None);
    }
}
