//! What the upstreams say of their health, asked in the background so that a probe never waits for them.
//!
//! `grpc.health.v1.Health/List` tells of the service and of the dependencies behind it; a server without `List` is
//! asked `Check`, and one without the health protocol at all is well as long as it answers. One upstream of many that
//! is down degrades the edge, it does not make it unready.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use aqueduct_runtime::task;
use aqueduct_telemetry::health::{Check, OnFailure};
use aqueduct_transcode::Code;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use http_body_util::Empty;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::edge::{Edge, Shared};
use crate::grpc::{Deframer, FRAME_HEAD};
use crate::reject::{APPLICATION_GRPC, GRPC_STATUS, Reject};
use crate::stage::forward::{Call, Payload, forward};
use crate::stage::pick;

/// How often, and how long an answer may take.
const PERIOD: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(900);
/// Bytes of a health answer.
const LIMIT: usize = 64 << 10;
/// Dependencies one upstream may name.
const MAX_DEPENDENCIES: usize = 64;

/// Registers the check of every upstream that is asked. Before the gateway counts as started: joining waits for the checks
/// that are known by then.
pub(crate) fn register(shared: &Shared) -> Vec<(String, Check)> {
    let asked: Vec<_> = shared
        .options
        .upstreams
        .iter()
        .filter(|(_, upstream)| upstream.health)
        .map(|(name, _)| name)
        .collect();
    // One of many that is down is not the end.
    let on_failure = if asked.len() > 1 { OnFailure::Degraded } else { OnFailure::Unavailable };
    asked.into_iter().map(|name| (name.clone(), shared.health.check(name, on_failure))).collect()
}

/// Starts asking. Called by one worker, which has the connections.
pub(crate) fn watch(edge: &Rc<Edge>, checks: Vec<(String, Check)>) {
    for (name, check) in checks {
        if let Some(index) = edge.upstreams.iter().position(|upstream| upstream.name == name) {
            task::spawn_local("upstream-health", ask_forever(Rc::clone(edge), index, check));
        }
    }
}

async fn ask_forever(edge: Rc<Edge>, index: usize, check: Check) {
    let mut dependencies: HashMap<String, Check> = HashMap::new();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match ask(&edge, index).await {
            Ok(statuses) => {
                check.ok("");
                for (name, serving) in statuses {
                    let known = dependencies.len();
                    if !dependencies.contains_key(&name) && known < MAX_DEPENDENCIES {
                        let made = edge.shared.health.check(&name, OnFailure::Degraded);
                        dependencies.insert(name.clone(), made);
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
async fn ask(edge: &Edge, index: usize) -> Result<Vec<(String, bool)>, String> {
    match call(edge, index, "/grpc.health.v1.Health/List").await? {
        (Code::Ok, answer) => {
            let statuses = parse_list(&answer).ok_or("the health answer is malformed")?;
            if statuses.iter().any(|(name, serving)| name.is_empty() && !serving) {
                return Err("the upstream says that it is not serving".into());
            }
            // Names with a dot are services, the others what they depend on.
            Ok(statuses.into_iter().filter(|(name, _)| !name.is_empty() && !name.contains('.')).collect())
        }
        _ => match call(edge, index, "/grpc.health.v1.Health/Check").await? {
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
async fn call(edge: &Edge, index: usize, path: &'static str) -> Result<(Code, Bytes), String> {
    let work = async {
        let endpoint = pick::pick(edge.upstreams.get(index))?;
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, APPLICATION_GRPC);
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        let mut payload: Payload<Empty<Bytes>> = Payload::Whole(Bytes::from_static(&[0; FRAME_HEAD]));
        let deadline = Some(Instant::now() + PATIENCE);
        let call = Call { path: PathAndQuery::from_static(path), headers, deadline };
        let mut answer = forward(endpoint, call, &mut payload).await?;
        let mut deframer = Deframer::default();
        let mut message = Bytes::new();
        while let Some(Ok(data)) = answer.body.data().await {
            drop(answer.body.flow_control().release_capacity(data.len()));
            deframer.push(data);
            if let Ok(Some(whole)) = deframer.next(LIMIT) {
                message = whole;
            }
        }
        let trailers = answer.body.trailers().await.ok().flatten();
        let status = trailers.as_ref().unwrap_or(&answer.head.headers).get(GRPC_STATUS);
        let code = status.and_then(|value| Code::from_header(value.as_bytes())).unwrap_or(Code::Unknown);
        Ok::<_, Reject>((code, message))
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(reject)) => Err(reject.message().to_owned()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// `HealthListResponse`: a map from names to `HealthCheckResponse`.
fn parse_list(mut wire: &[u8]) -> Option<Vec<(String, bool)>> {
    let mut statuses = Vec::new();
    while !wire.is_empty() {
        let (field, value, rest) = field(wire)?;
        wire = rest;
        let (1, Value::Bytes(mut entry)) = (field, value) else { continue };
        let (mut name, mut serving) = (String::new(), false);
        while !entry.is_empty() {
            let (field, value, rest) = self::field(entry)?;
            entry = rest;
            match (field, value) {
                (1, Value::Bytes(text)) => std::str::from_utf8(text).ok()?.clone_into(&mut name),
                (2, Value::Bytes(status)) => serving = parse_status(status) == Some(SERVING),
                _ => {}
            }
        }
        statuses.push((name, serving));
    }
    Some(statuses)
}

/// `HealthCheckResponse`: its status, 0 when it is left out.
fn parse_status(mut wire: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !wire.is_empty() {
        let (field, value, rest) = field(wire)?;
        wire = rest;
        if let (1, Value::Varint(number)) = (field, value) {
            status = number;
        }
    }
    Some(status)
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// The first field of a message: its number, its value, and what follows.
fn field(wire: &[u8]) -> Option<(u64, Value<'_>, &[u8])> {
    let (key, rest) = varint(wire)?;
    match key & 7 {
        0 => varint(rest).map(|(number, rest)| (key >> 3, Value::Varint(number), rest)),
        2 => {
            let (length, rest) = varint(rest)?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((key >> 3, Value::Bytes(bytes), rest))
        }
        _ => None,
    }
}

fn varint(wire: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in wire.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, wire.get(index + 1..)?));
        }
    }
    None
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
