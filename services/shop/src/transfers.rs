//! Transfers: a saga of three steps each, and what clients are told of it.
//!
//! `debit` (undone if the transfer turns) → `credit` (decides: the receiver may spend the money at once, so nobody takes it
//! back) → `settle` (retried until it is done).

pub(crate) mod create;
pub(crate) mod definition;
pub(crate) mod get;
mod prefer;
pub(crate) mod seats;
mod show;
#[cfg(test)]
mod tests;

use aqueduct_runtime::context::Context;
use tonic::Request;

use crate::ledger::{Move, Side};

/// Where the traffic of an experiment is marked; it goes along wherever its trace does.
pub(crate) const COLOR_HEADER: &str = "x-aqueduct-color";
/// W3C Trace Context.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The colour that a request brings.
pub(crate) fn color<T>(request: &Request<T>) -> Option<String> {
    let color = request.metadata().get(COLOR_HEADER)?.to_str().ok()?;
    (!color.is_empty() && color.len() <= 128).then(|| color.to_owned())
}

/// How long its client would wait.
pub(crate) fn wait<T>(request: &Request<T>) -> Option<prefer::Wait> {
    prefer::Wait::of(request.metadata())
}

/// At the participant: which step of which transfer, and in whose trace.
pub(crate) fn log_step(step: &Move, side: Side, context: &Context, color: Option<&str>) {
    let trace = context.trace_id_hex();
    let span = context.span_id_hex();
    tracing::debug!(
        trace = str::from_utf8(&trace).unwrap_or_default(),
        span = str::from_utf8(&span).unwrap_or_default(),
        color = color.unwrap_or_default(),
        participant = side.as_str(),
        transfer = step.transfer,
        step = step.step.as_str(),
        undo = step.undo,
        "a step of a transfer"
    );
}
