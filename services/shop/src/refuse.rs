//! Why a request is refused, and the only place where a refusal becomes a gRPC status with `google.rpc` details.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt as _};

use crate::order::{Event, State};
use crate::store::ReadError;

/// The domain of every `ErrorInfo`: within it a reason has one meaning.
pub(crate) const DOMAIN: &str = "shop.v1";
/// What `ResourceInfo` calls an order.
pub(crate) const ORDER_TYPE: &str = "shop.v1.Order";
/// The same for an account and a transfer.
const ACCOUNT_TYPE: &str = "shop.v1.Account";
const TRANSFER_TYPE: &str = "shop.v1.Transfer";
/// The kind of precondition that an illegal transition violates.
pub(crate) const ORDER_STATE: &str = "ORDER_STATE";

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The client's fault: these fields, all of them.
    Invalid(Vec<FieldViolation>),
    /// There is no such order.
    NotFound(i64),
    /// There is no such thing of this type.
    Missing { kind: &'static str, name: String },
    /// There is one with this name, and another content.
    Exists { kind: &'static str, name: String },
    /// The order is in a state that does not allow the event.
    Illegal { id: i64, state: State, version: u64, event: Event },
    /// The queue to the store, or a table of bounded size, is full. Nothing was changed.
    Busy(&'static str),
    /// Others changed the same order at each attempt. Nothing was changed.
    Aborted,
    /// The service cannot do it now, and says when to ask again.
    Unavailable { why: String, retry_after: Duration },
    /// Our fault: what happened is for the log, not for the client.
    Broken(String),
    /// The answer was no longer wanted.
    DeadlineExceeded,
}

impl Refusal {
    pub(crate) fn no_account(id: i64) -> Self {
        Self::Missing { kind: ACCOUNT_TYPE, name: id.to_string() }
    }

    pub(crate) fn exists_account(id: i64) -> Self {
        Self::Exists { kind: ACCOUNT_TYPE, name: id.to_string() }
    }

    pub(crate) fn no_transfer(id: &str) -> Self {
        Self::Missing { kind: TRANSFER_TYPE, name: id.to_owned() }
    }

    pub(crate) fn exists_transfer(id: &str) -> Self {
        Self::Exists { kind: TRANSFER_TYPE, name: id.to_owned() }
    }

    /// The server is stopping; another one, or the next, will answer.
    pub(crate) fn stopping() -> Self {
        Self::Unavailable { why: "the server is stopping".into(), retry_after: Duration::from_secs(1) }
    }

    /// Whether the change was made could not be learnt. It is never guessed at.
    pub(crate) fn unknown() -> Self {
        Self::Unavailable {
            why: "whether the change was made is unknown: read the order, or repeat the call with the same eventId"
                .into(),
            retry_after: Duration::from_secs(1),
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::from(&error)
    }
}

/// By reference: one error of a load is shared by all who waited for it.
impl From<&ReadError> for Refusal {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Shards(error) => error.into(),
            ReadError::Behind { .. } => {
                Self::Unavailable { why: error.to_string(), retry_after: Duration::from_secs(1) }
            }
            ReadError::Overloaded(_) => Self::Busy("too many orders are being read"),
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(faults) => invalid(faults),
            Refusal::NotFound(id) => not_found(id),
            Refusal::Missing { kind, name } => missing(kind, &name),
            Refusal::Exists { kind, name } => exists(kind, &name),
            Refusal::Illegal { id, state, version, event } => illegal(id, state, version, event),
            Refusal::Busy(what) => retry(Code::ResourceExhausted, what, Duration::from_millis(100)),
            Refusal::Aborted => {
                let why = "others are changing the same order: repeat the call";
                retry(Code::Aborted, why, Duration::from_millis(100))
            }
            Refusal::Unavailable { why, retry_after } => retry(Code::Unavailable, &why, retry_after),
            Refusal::Broken(_) => Status::internal("the request could not be served"),
            Refusal::DeadlineExceeded => Status::deadline_exceeded("the deadline has passed"),
        }
    }
}

/// One fault is told in the message as well; of several, the first and their number.
fn invalid(faults: Vec<FieldViolation>) -> Status {
    let first =
        faults.first().map(|fault| format!("{} {}", fault.field, fault.description)).unwrap_or_default();
    let message = match faults.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more)", more - 1),
    };
    Status::with_error_details(Code::InvalidArgument, message, ErrorDetails::with_bad_request(faults))
}

fn not_found(id: i64) -> Status {
    let details =
        ErrorDetails::with_resource_info(ORDER_TYPE, id.to_string(), "", "there is no order with this id");
    Status::with_error_details(Code::NotFound, format!("order {id} does not exist"), details)
}

/// `shop.v1.Account` is an account.
fn noun(kind: &str) -> String {
    kind.rsplit('.').next().unwrap_or(kind).to_lowercase()
}

fn missing(kind: &str, name: &str) -> Status {
    let noun = noun(kind);
    let message = format!("{noun} {name:?} does not exist");
    let details =
        ErrorDetails::with_resource_info(kind, name, "", format!("there is no {noun} with this id"));
    Status::with_error_details(Code::NotFound, message, details)
}

fn exists(kind: &str, name: &str) -> Status {
    let noun = noun(kind);
    let message = format!("{noun} {name:?} exists with another content");
    let details =
        ErrorDetails::with_resource_info(kind, name, "", format!("another {noun} has this id already"));
    Status::with_error_details(Code::AlreadyExists, message, details)
}

fn illegal(id: i64, state: State, version: u64, event: Event) -> Status {
    let message = format!("order {id} is {state}, which does not allow {event}");
    let violation = PreconditionViolation::new(ORDER_STATE, id.to_string(), format!("the order is {state}"));
    let mut details = ErrorDetails::with_precondition_failure(vec![violation]);
    let metadata =
        HashMap::from([("state".to_owned(), state.to_string()), ("version".to_owned(), version.to_string())]);
    details.set_error_info("ILLEGAL_TRANSITION", DOMAIN, metadata);
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

fn retry(code: Code, message: &str, after: Duration) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_faults_are_counted_in_the_message_and_listed_in_the_details() {
        let fault = |field: &str| FieldViolation::new(field, "must be 1 or more");
        let one = Status::from(Refusal::Invalid(vec![fault("userId")]));
        assert_eq!(one.message(), "userId must be 1 or more");
        let two = Status::from(Refusal::Invalid(vec![fault("userId"), fault("items[0].quantity")]));
        assert_eq!(two.message(), "userId must be 1 or more (and 1 more)");
        let listed = two.get_details_bad_request().unwrap().field_violations;
        assert_eq!(listed[1].field, "items[0].quantity");
    }

    #[test]
    fn what_the_store_said_stays_inside() {
        let status = Status::from(Refusal::Broken("/secret/path: broken".into()));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
    }
}
