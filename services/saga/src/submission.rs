//! A submission, in whichever way it came: what it must look like, and what tells it from another.

use std::time::Duration;

use aqueduct_saga::{Definition, Kind, Plan, PlanStep, SagaId, Submit};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::canonical::{canonical, push_string};
use crate::proto;
use crate::target::Target;

/// The longest deadline that is kept exactly, 31,000 years; a longer one is this one.
const LONGEST_MS: u64 = 1_000_000_000_000_000;
/// What a submission looks like, for messages.
const SHAPE: &str =
    "{\"sagaId\": …, \"deadlineMs\": …, \"steps\": [{\"name\": …, \"kind\": …, \"url\": …, \"payload\": …}]}";

/// A submission's parts, before anybody looked at what they say.
struct Parts {
    id: String,
    /// As a number is written.
    deadline_ms: String,
    steps: Vec<Part>,
}

struct Part {
    name: String,
    kind: String,
    url: String,
    /// JSON.
    payload: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    saga_id: String,
    deadline_ms: Box<RawValue>,
    steps: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    kind: String,
    url: String,
    payload: Box<RawValue>,
}

/// Reads the JSON of `POST /v1/sagas`. What comes along with it goes into every call.
///
/// # Errors
/// What is wrong, for the client.
pub(crate) fn from_json(body: &[u8], context: Vec<(String, String)>) -> Result<Submit, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    let document: Document = object(text, "a submission", SHAPE)?;
    let mut steps = Vec::with_capacity(document.steps.len());
    for (at, step) in document.steps.iter().enumerate() {
        let Step { name, kind, url, payload } = object(step.get(), "a step", SHAPE)
            .map_err(|why| format!("steps[{at}]: {}", without_place(&why)))?;
        steps.push(Part { name, kind, url, payload: String::from(Box::<str>::from(payload)) });
    }
    let deadline_ms = document.deadline_ms.get().to_owned();
    Parts { id: document.saga_id, deadline_ms, steps }.submit(context)
}

/// Reads a submission over gRPC.
///
/// # Errors
/// What is wrong, for the client.
pub(crate) fn from_proto(
    request: proto::SubmitRequest,
    context: Vec<(String, String)>,
) -> Result<Submit, String> {
    let mut steps = Vec::with_capacity(request.steps.len());
    for (at, step) in request.steps.into_iter().enumerate() {
        serde_json::from_str::<&RawValue>(&step.payload)
            .map_err(|error| format!("steps[{at}].payload is no JSON: {error}"))?;
        let kind = step.kind().as_str_name().to_owned();
        steps.push(Part { name: step.name, kind, url: step.url, payload: step.payload });
    }
    Parts { id: request.saga_id, deadline_ms: request.deadline_ms.to_string(), steps }.submit(context)
}

impl Parts {
    fn submit(self, context: Vec<(String, String)>) -> Result<Submit, String> {
        let id = SagaId::new(self.id.as_str()).map_err(|error| format!("sagaId: {error}"))?;
        let deadline = Some(deadline(&self.deadline_ms)?);
        let fingerprint = self.fingerprint()?;
        let mut steps = Vec::with_capacity(self.steps.len());
        for (at, Part { name, kind, url, payload }) in self.steps.into_iter().enumerate() {
            let kind = match kind.as_str() {
                "COMPENSABLE" => Kind::Compensable,
                "PIVOT" => Kind::Pivot,
                "RETRIABLE" => Kind::Retriable,
                _ => {
                    return Err(format!(
                        "steps[{at}].kind: COMPENSABLE, PIVOT or RETRIABLE is wanted here, not {kind:?}"
                    ));
                }
            };
            Target::parse(&url).map_err(|why| format!("steps[{at}].url: {why}"))?;
            steps.push(PlanStep::new(name, kind, url, payload));
        }
        let plan = Plan { definition: Definition::Dynamic, steps, fingerprint };
        plan.validate()?;
        Ok(Submit { id, plan, deadline, context })
    }

    /// Of the canonical JSON of the whole submission.
    fn fingerprint(&self) -> Result<[u8; 32], String> {
        let mut text = String::with_capacity(256);
        text.push_str("{\"deadlineMs\":");
        text.push_str(&self.deadline_ms);
        text.push_str(",\"sagaId\":");
        push_string(&mut text, &self.id);
        text.push_str(",\"steps\":[");
        for (at, Part { name, kind, url, payload }) in self.steps.iter().enumerate() {
            text.push_str(if at > 0 { ",{\"kind\":" } else { "{\"kind\":" });
            push_string(&mut text, kind);
            text.push_str(",\"name\":");
            push_string(&mut text, name);
            text.push_str(",\"payload\":");
            text.push_str(&canonical(payload).map_err(|why| format!("steps[{at}].payload: {why}"))?);
            text.push_str(",\"url\":");
            push_string(&mut text, url);
            text.push('}');
        }
        text.push_str("]}");
        Ok(Sha256::digest(text).into())
    }
}

fn deadline(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || text == "0" {
        return Err(format!("deadlineMs: a positive integer is wanted here, such as 30000, not {text}"));
    }
    // More digits than a number here has are more years than anybody has.
    Ok(Duration::from_millis(text.parse().unwrap_or(LONGEST_MS).min(LONGEST_MS)))
}

/// Reads an object; serde would take a list of its fields' values for one as well.
fn object<T: DeserializeOwned>(text: &str, what: &str, shape: &str) -> Result<T, String> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(format!("{what} is a JSON object: {shape}"));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Without a line and a column that are not those of the whole text.
fn without_place(why: &str) -> &str {
    why.split_once(" at line ").map_or(why, |(why, _)| why)
}

#[cfg(test)]
mod tests;
