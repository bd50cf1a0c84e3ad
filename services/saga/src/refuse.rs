//! Why a request is refused, and the only place where a refusal becomes an HTTP or a gRPC status.

use aqueduct_saga::{OperateError, StoreError, SubmitError};
use http::StatusCode;
use tonic::{Code, Status};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The client's fault, and what it is.
    Invalid(String),
    /// There is no such saga, or nothing at this path.
    NotFound(String),
    /// The path does not have this method; it has these.
    Method(&'static str),
    /// Another saga has the id.
    Conflict(String),
    /// The saga is in a state in which this cannot be done.
    WrongState(String),
    /// The body is too large.
    TooLarge(String),
    /// The body is of another type.
    MediaType(String),
    /// The body did not come.
    Late,
    /// Not now: the same may work later.
    Unavailable(String),
    /// These rows make no sense.
    Damaged(String),
}

impl Refusal {
    /// Before the store is open.
    pub(crate) fn recovering() -> Self {
        Self::Unavailable("the coordinator is recovering; ask again, /readyz tells when".to_owned())
    }

    /// The status over HTTP.
    pub(crate) fn http(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) | Self::WrongState(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Damaged(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code over gRPC, which is in the JSON of an answer over HTTP too.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::MediaType(_) => Code::InvalidArgument,
            Self::NotFound(_) => Code::NotFound,
            Self::Method(_) => Code::Unimplemented,
            Self::Conflict(_) => Code::AlreadyExists,
            Self::WrongState(_) => Code::FailedPrecondition,
            Self::TooLarge(_) => Code::ResourceExhausted,
            Self::Late => Code::DeadlineExceeded,
            Self::Unavailable(_) => Code::Unavailable,
            Self::Damaged(_) => Code::DataLoss,
        }
    }

    /// What the client is told.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Method(allowed) => format!("only {allowed} here"),
            Self::Late => "the body did not come in time".to_owned(),
            Self::Invalid(why)
            | Self::NotFound(why)
            | Self::Conflict(why)
            | Self::WrongState(why)
            | Self::TooLarge(why)
            | Self::MediaType(why)
            | Self::Unavailable(why)
            | Self::Damaged(why) => why.clone(),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.message())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Failed(_) => Self::Unavailable(error.to_string()),
            StoreError::Damaged(_) => Self::Damaged(error.to_string()),
        }
    }
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Conflict => Self::Conflict(format!("{error}; choose another sagaId")),
            SubmitError::Invalid(why) => Self::Invalid(why),
            SubmitError::Closed => Self::Unavailable(error.to_string()),
            // Whether it was stored is unknown; to submit it again finds out.
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<OperateError> for Refusal {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::NotFound => Self::NotFound(error.to_string()),
            OperateError::NotParked { .. } | OperateError::NothingToSkip => {
                Self::WrongState(error.to_string())
            }
            OperateError::Store(error) => error.into(),
        }
    }
}
