//! Calls over HTTP/1.1. 2xx is done and 409 is refused for good; anything else, a redirect included, says nothing.

use std::time::Duration;

use aqueduct_saga::{Call, Outcome};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderName, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::TokioTimer;

use super::connect::{Connect, Spawn};
use super::{MOST_OUTPUT, causes};
use crate::context;
use crate::target::operation;

/// Shorter than servers commonly keep an idle connection (5 s), so that it is not used at the moment at which they close it.
const IDLE: Duration = Duration::from_secs(4);
/// Idle connections that are kept for one participant.
const MOST_IDLE: usize = 256;
/// The most bytes of the body of an answer without an output, and how long it may take: it only makes a reason better.
const REASON: (usize, Duration) = (4 << 10, Duration::from_millis(500));

#[derive(Debug, Clone)]
pub(super) struct Client(legacy::Client<Connect, Full<Bytes>>);

impl Client {
    pub(super) fn new(connect: Connect) -> Self {
        let mut builder = legacy::Client::builder(Spawn);
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(MOST_IDLE);
        Self(builder.build(connect))
    }

    pub(super) async fn send(&self, url: &Uri, call: Call) -> Outcome {
        let request = match request(url, call) {
            Ok(request) => request,
            Err(error) => return Outcome::Broken(error.to_string()),
        };
        match self.0.request(request).await {
            Ok(response) => outcome(response).await,
            Err(error) => Outcome::Unknown(causes(&error)),
        }
    }
}

fn request(url: &Uri, call: Call) -> Result<Request<Full<Bytes>>, http::Error> {
    let header = |name: &'static str| HeaderName::from_static(name);
    let mut request = Request::post(operation(url, call.op.as_str())?)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(USER_AGENT, HeaderValue::from_static("aqueduct"))
        .header(header("x-saga-id"), call.saga.as_str())
        .header(header("x-saga-step"), &call.step)
        .header(header("x-saga-op"), call.op.as_str())
        .header(header("x-saga-attempt"), call.attempt)
        .body(Full::new(call.payload))?;
    context::put(&call.context, request.headers_mut());
    Ok(request)
}

async fn outcome(response: Response<Incoming>) -> Outcome {
    let status = response.status();
    if status.is_success() {
        return match Limited::new(response.into_body(), MOST_OUTPUT).collect().await {
            Ok(body) => Outcome::Done(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                tracing::warn!("an answer has more than {MOST_OUTPUT} bytes: it is not kept");
                Outcome::Done(Bytes::new())
            }
            Err(error) => Outcome::Unknown(format!("{status}, and the body breaks off: {error}")),
        };
    }
    let (most, within) = REASON;
    let body = tokio::time::timeout(within, Limited::new(response.into_body(), most).collect()).await;
    let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let reason = match body.trim() {
        "" => status.to_string(),
        body => format!("{status}: {body}"),
    };
    if status == StatusCode::CONFLICT { Outcome::Rejected(reason) } else { Outcome::Unknown(reason) }
}
