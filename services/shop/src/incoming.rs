//! What a request brings along beside its message: the trace it belongs to and how long its answer is wanted.
//!
//! A layer, because the deadline must also cover the reading of the message. It ends the handler a moment before
//! tonic's own timer does: tonic answers CANCELLED then, which a gateway would have to tell apart from a client that
//! went away, where gRPC has DEADLINE_EXCEEDED for it.

use std::convert::Infallible;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use aqueduct_runtime::context::Context;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Service};

use crate::refuse::Refusal;

/// How much earlier than tonic's timer: timers here have a resolution of a millisecond.
const AHEAD: Duration = Duration::from_millis(1);

/// A service that puts a [`Context`] into the extensions of each request and ends it at its deadline.
#[derive(Debug, Clone)]
pub(crate) struct Incoming<S>(pub(crate) S);

impl<S> Service<Request<Body>> for Incoming<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, poller: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(poller)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let context = context(request.headers());
        request.extensions_mut().insert(context);
        let answer = self.0.call(request);
        match context.deadline {
            None => Box::pin(answer),
            Some(deadline) => Box::pin(async move {
                let late = || Ok(tonic::Status::from(Refusal::DeadlineExceeded).into_http());
                timeout_at(deadline, answer).await.unwrap_or_else(|_| late())
            }),
        }
    }
}

/// A span of the caller's trace, or of a new one where the caller names none (W3C Trace Context).
fn context(headers: &HeaderMap) -> Context {
    let parent =
        headers.get("traceparent").and_then(|value| Context::parse_traceparent(value.as_bytes()).ok());
    let context = parent.map_or_else(|| Context::new_root(false), |parent| parent.child());
    let timeout = headers.get("grpc-timeout").and_then(|value| parse_timeout(value.as_bytes()));
    context
        .with_deadline(timeout.and_then(|timeout| Instant::now().checked_add(timeout.saturating_sub(AHEAD))))
}

/// `grpc-timeout`: one to eight digits and a unit (gRPC over HTTP/2, "Requests"). Anything else is no timeout, as in
/// tonic; the edge is where it is refused.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count = digits.iter().try_fold(0_u64, |count, digit| {
        digit.is_ascii_digit().then(|| count * 10 + u64::from(digit - b'0'))
    })?;
    match unit {
        b'H' => Some(Duration::from_hours(count)),
        b'M' => Some(Duration::from_mins(count)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_as_grpc_writes_them() {
        let check = |text: &str, expect: Option<Duration>| {
            assert_eq!(parse_timeout(text.as_bytes()), expect, "{text}");
        };
        check("250m", Some(Duration::from_millis(250)));
        check("99999999H", Some(Duration::from_hours(99_999_999)));
        check("1S", Some(Duration::from_secs(1)));
        check("2M", Some(Duration::from_mins(2)));
        check("7u", Some(Duration::from_micros(7)));
        check("7n", Some(Duration::from_nanos(7)));
        for wrong in ["", "m", "1", "1x", "-1m", "1 m", "123456789m", "1.5S"] {
            check(wrong, None);
        }
    }

    /// Answers after a minute.
    #[derive(Clone)]
    struct Slow;

    impl Service<Request<Body>> for Slow {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<Response<Body>, Infallible>;

        fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            assert!(request.extensions().get::<Context>().is_some());
            Box::pin(async {
                tokio::time::sleep(Duration::from_mins(1)).await;
                Ok(Response::default())
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_is_dropped_at_the_deadline() {
        let check = async |timeout: &'static str, code: Option<&str>, after: Duration| {
            let began = Instant::now();
            let request = Request::builder().header("grpc-timeout", timeout).body(Body::empty()).unwrap();
            let answer = Incoming(Slow).call(request).await.unwrap();
            let status = answer.headers().get("grpc-status").map(|status| status.to_str().unwrap());
            assert_eq!((status, began.elapsed()), (code, after), "{timeout}");
        };
        check("2S", Some("4"), Duration::from_millis(1_999)).await;
        check("1n", Some("4"), Duration::ZERO).await;
        check("2M", None, Duration::from_mins(1)).await;
        check("nonsense", None, Duration::from_mins(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_context_continues_the_callers_trace() {
        let mut headers = HeaderMap::new();
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", traceparent.parse().unwrap());
        headers.insert("grpc-timeout", "3S".parse().unwrap());
        let context = context(&headers);
        assert_eq!(context.trace_id(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_ne!(context.span_id(), 0xb7ad_6b71_6920_3331);
        assert_eq!(context.remaining(), Some(Duration::from_millis(2_999)));
    }
}
