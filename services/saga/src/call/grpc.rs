//! Calls over gRPC. OK is done; ABORTED, FAILED_PRECONDITION and ALREADY_EXISTS are a refusal for good; any other code says nothing.

use std::error::Error as _;
use std::time::Duration;

use aqueduct_saga::{Call, Op, Outcome};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::TokioTimer;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::connect::{Connect, Spawn};
use super::{MOST_OUTPUT, causes};
use crate::context;
use crate::proto::{CallRequest, CallResponse};

/// A participant that went away without a word is noticed after both.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// One HTTP/2 connection a participant.
#[derive(Debug, Clone)]
pub(crate) struct Client(legacy::Client<Connect, Body>);

impl Client {
    pub(crate) fn new(connect: Connect) -> Self {
        let mut builder = legacy::Client::builder(Spawn);
        builder.http2_only(true).timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        builder.http2_keep_alive_interval(KEEPALIVE.0).http2_keep_alive_timeout(KEEPALIVE.1);
        Self(builder.build(connect))
    }

    /// For a generated client.
    pub(crate) fn inner(&self) -> legacy::Client<Connect, Body> {
        self.0.clone()
    }

    pub(super) async fn send(&self, origin: Uri, service: &str, call: Call) -> Outcome {
        let method = match call.op {
            Op::Execute => "Execute",
            Op::Compensate => "Compensate",
        };
        let Ok(path) = PathAndQuery::try_from(format!("{service}/{method}")) else {
            return Outcome::Broken(format!("{service} is no service's name"));
        };
        let request = match request(call) {
            Ok(request) => request,
            Err(why) => return Outcome::Broken(why),
        };
        let mut client =
            Grpc::with_origin(self.0.clone(), origin).max_decoding_message_size(MOST_OUTPUT + 64);
        let codec = ProstCodec::<CallRequest, CallResponse>::default();
        match client.unary(request, path, codec).await {
            Ok(response) => Outcome::Done(response.into_inner().output),
            Err(status) => outcome(&status),
        }
    }
}

fn request(call: Call) -> Result<Request<CallRequest>, String> {
    let mut headers = HeaderMap::new();
    context::put(&call.context, &mut headers);
    for (name, value) in
        [("x-saga-id", call.saga.as_str()), ("x-saga-step", &call.step), ("x-saga-op", call.op.as_str())]
    {
        headers.insert(name, HeaderValue::try_from(value).map_err(|error| format!("{name}: {error}"))?);
    }
    headers.insert("x-saga-attempt", call.attempt.into());
    let message = CallRequest {
        saga_id: call.saga.to_string(),
        step: call.step,
        attempt: call.attempt,
        payload: String::from_utf8(call.payload.into()).map_err(|_| "the payload is not UTF-8".to_owned())?,
    };
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request.set_timeout(call.timeout);
    Ok(request)
}

fn outcome(status: &Status) -> Outcome {
    let message = match status.source() {
        // The client's own errors say only what it was at.
        Some(error) => causes(error),
        None => status.message().to_owned(),
    };
    let reason = match message.as_str() {
        "" => format!("{:?}", status.code()),
        message => format!("{:?}: {message}", status.code()),
    };
    match status.code() {
        Code::Aborted | Code::FailedPrecondition | Code::AlreadyExists => Outcome::Rejected(reason),
        _ => Outcome::Unknown(reason),
    }
}
