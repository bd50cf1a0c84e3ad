//! gRPC status codes, their HTTP statuses in both directions, and `grpc-message` decoding.

use std::borrow::Cow;

use crate::percent;

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
    if memchr::memchr(b'%', value).is_none() {
        return String::from_utf8_lossy(value);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        let digits =
            value.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|digits| digits.as_array::<2>());
        let decoded = digits.and_then(|&digits| percent::hex(digits));
        bytes.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_map_as_google_rpc_code_says() {
        let expect = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
        for (number, (code, http)) in Code::ALL.into_iter().zip(expect).enumerate() {
            assert_eq!(usize::from(code.number()), number);
            assert_eq!(code.http_status(), http, "{}", code.name());
            assert_eq!(Code::from_number(i64::from(code.number())), code);
            assert_eq!(Code::from_header(number.to_string().as_bytes()), Some(code));
        }
        for unknown in [-1, 17, i64::MAX] {
            assert_eq!(Code::from_number(unknown), Code::Unknown);
        }
        assert_eq!(Code::from_header(b"99"), Some(Code::Unknown));
        for bad in ["", "x", "-1", "1 ", "00000000000000000001"] {
            assert_eq!(Code::from_header(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn http_statuses_map_as_grpc_says() {
        let check = |status, code| assert_eq!(Code::from_http(status), code, "{status}");
        check(400, Code::Internal);
        check(401, Code::Unauthenticated);
        check(403, Code::PermissionDenied);
        check(404, Code::Unimplemented);
        for status in [429, 502, 503, 504] {
            check(status, Code::Unavailable);
        }
        for status in [200, 204, 301, 405, 500, 501] {
            check(status, Code::Unknown);
        }
    }

    #[test]
    fn grpc_messages_are_decoded_leniently() {
        let check = |value: &[u8], expect: &str| assert_eq!(decode_grpc_message(value), expect);
        check(b"plain + text", "plain + text");
        check(b"100%25 %E2%82%AC%0A", "100% \u{20ac}\n");
        check(b"50%", "50%");
        check(b"%4 %zz %", "%4 %zz %");
        check(b"%ff\xfe", "\u{fffd}\u{fffd}");
    }
}
