//! gRPC status codes, their HTTP statuses in both directions, and `grpc-message` decoding.

use std::borrow::Cow;

/// A canonical gRPC status code (`google.rpc.Code`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of google/rpc/code.proto, which explains each")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// Every code, by number.
    pub const ALL: [Code; 17] = [
        Code::Ok,
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// The code with this number; UNKNOWN for a number that gRPC does not define.
    pub fn from_number(number: i64) -> Code {
        usize::try_from(number).ok().and_then(|n| Self::ALL.get(n).copied()).unwrap_or(Code::Unknown)
    }

    /// Reads the value of a `grpc-status` header; `None` when it is not a number, UNKNOWN when it is no known one.
    pub fn from_header(value: &[u8]) -> Option<Code> {
        match value {
            [] => None,
            _ if value.len() > 9 || !value.iter().all(u8::is_ascii_digit) => None,
            _ => Some(Self::from_number(value.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))),
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name in `google/rpc/code.proto`, such as `NOT_FOUND`.
    pub fn name(self) -> &'static str {
        match self {
            Code::Ok => "OK",
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// The HTTP status of an answer with this code, as `google/rpc/code.proto` maps it.
    pub fn http_status(self) -> u16 {
        match self {
            Code::Ok => 200,
            Code::Cancelled => 499,
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
            Code::Unauthenticated => 401,
            Code::PermissionDenied => 403,
            Code::NotFound => 404,
            Code::AlreadyExists | Code::Aborted => 409,
            Code::ResourceExhausted => 429,
            Code::Unknown | Code::Internal | Code::DataLoss => 500,
            Code::Unimplemented => 501,
            Code::Unavailable => 503,
            Code::DeadlineExceeded => 504,
        }
    }

    /// The code of an upstream answer that has no `grpc-status`, from its HTTP status
    /// (grpc/doc/http-grpc-status-mapping.md).
    pub fn from_http(status: u16) -> Code {
        match status {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502..=504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }
}

/// What an error answer is made from, see [`Transcoder::render_status`](crate::Transcoder::render_status).
#[derive(Debug, Clone, Copy)]
pub struct Status<'a> {
    /// The gRPC code.
    pub code: Code,
    /// The message for the client, already decoded.
    pub message: &'a str,
    /// The value of `grpc-status-details-bin` (base64 of a `google.rpc.Status`), when the upstream sent one.
    pub details_bin: Option<&'a [u8]>,
}

/// Undoes the percent-encoding of a `grpc-message` header. Broken escapes stay as they are and bytes that are not
/// UTF-8 become U+FFFD, as the gRPC specification asks: a message never makes an error worse.
pub fn decode_grpc_message(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}
