//! What is known of one request while it is carried: where it is, since when, and what will be said of it at its end,
//! in the metrics and in the access log.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::context::Context;
use aqueduct_telemetry::access::{self, Entry};
use aqueduct_transcode::Code;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri};
use http_body::Frame;
use tokio::time::Instant;

use crate::auth::{Authenticator, By, Identity};
use crate::body::Body;
use crate::client::{Busy, Client};
use crate::closing::Closing;
use crate::compress::Algorithm;
use crate::edge::Edge;
use crate::http2::Fields;
use crate::options::{AuthMode, Compat, RateLimitHeaders};
use crate::outgoing::Fault;
use crate::reject::{Dialect, GRPC_STATUS, REJECT, Refusal, Reject};
use crate::routes::MethodRoute;
use crate::stage::Stage;
use crate::stage::limit::{Asking, Budget, limit};
use crate::stage::normalize::caller::{Caller, REQUEST_ID};
use crate::stage::normalize::{self, find};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::gate::Permit;

/// One request and its answer. It is finished exactly once: when the answer is complete, or when it is dropped because
/// the client went away.
#[derive(Debug)]
pub(crate) struct Exchange {
    edge: Rc<Edge>,
    _busy: Busy,
    started: Instant,
    stage: Stage,
    /// How long it was in each stage, of those requests of which that is measured.
    laps: Option<Box<Laps>>,
    http_method: Method,
    uri: Uri,
    pub(crate) dialect: Dialect,
    /// Who asks, and under which id.
    pub(crate) caller: Caller,
    /// Who it has proved to be.
    pub(crate) identity: Option<Rc<Identity>>,
    pub(crate) context: Option<Context>,
    pub(crate) endpoint: Option<Rc<Endpoint>>,
    /// The place among the upstream's requests, until the answer is complete.
    pub(crate) permit: Option<Permit>,
    method: Option<Rc<MethodRoute>>,
    /// The route that would take the path by another HTTP method.
    beside: Option<Rc<MethodRoute>>,
    /// Whose page asks, where that matters.
    origin: Option<HeaderValue>,
    /// How the answer may be compressed.
    coding: Option<Algorithm>,
    counted: bool,
    /// What the client is told of its rate limits.
    pub(crate) budget: Option<Budget>,
    status: StatusCode,
    code: Option<Code>,
    reject: Option<(Stage, &'static str)>,
    pub(crate) bytes_in: u64,
    /// Where the client's stream is counted.
    pub(crate) upload: Fault,
    bytes_out: u64,
    finished: bool,
}

impl Exchange {
    /// In a box: it is large, and outlives the handler where the answer is a stream.
    pub(crate) fn begin(edge: &Rc<Edge>, client: &Rc<Client>, head: &Parts) -> Box<Self> {
        let now = Instant::now();
        Box::new(Self {
            edge: Rc::clone(edge),
            _busy: client.begin(),
            started: now,
            stage: Stage::Normalize,
            laps: edge.measures_stages().then(|| Box::new(Laps::begin(now))),
            http_method: head.method.clone(),
            uri: head.uri.clone(),
            dialect: Dialect::Json,
            caller: Caller::of(head, client, edge.routes().options()),
            identity: None,
            context: None,
            endpoint: None,
            permit: None,
            method: None,
            beside: None,
            origin: None,
            coding: None,
            counted: false,
            budget: None,
            status: StatusCode::OK,
            code: None,
            reject: None,
            bytes_in: 0,
            upload: Fault::default(),
            bytes_out: 0,
            finished: false,
        })
    }

    /// What ends it before its time, if its method is a stream on either side.
    pub(crate) fn closing(&self) -> Option<&Arc<Closing>> {
        self.method.as_ref().filter(|method| method.streams).map(|_| &self.edge.closing)
    }

    /// When the request's head was read.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether a deadline has passed. One that is further away than a timer's unit has not, whatever the clock says.
    pub(crate) fn is_past(&self, deadline: Instant) -> bool {
        deadline <= self.started + Duration::from_millis(1) && deadline <= Instant::now()
    }

    /// The stage the request is in.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// The request enters a stage; it may do so again.
    pub(crate) fn enter(&mut self, stage: Stage) {
        if let Some(laps) = &mut self.laps {
            laps.end(self.stage, Instant::now());
        }
        self.stage = stage;
    }

    /// The method is known. From here on the request counts among those in flight; there may be too many.
    pub(crate) fn routed(&mut self, method: &Rc<MethodRoute>, headers: &HeaderMap) -> Result<(), Reject> {
        self.method = Some(Rc::clone(method));
        if method.route.cors.is_some() {
            self.origin = headers.get(ORIGIN).cloned();
        }
        if let Some(compression) = &method.route.compression {
            self.coding = compression.choose(headers);
        }
        self.counted = self.edge.begin();
        if self.counted {
            return Ok(());
        }
        let message = "the gateway is at its limit of concurrent requests";
        Err(Reject::new(Stage::Route, "overloaded", Code::Unavailable, message).with_retry_after(1))
    }

    /// Charges the rate limits that hold for the method.
    pub(crate) fn limit(
        &mut self,
        method: &MethodRoute,
        headers: &HeaderMap,
        told: RateLimitHeaders,
    ) -> Result<(), Reject> {
        if method.limits.is_empty() {
            return Ok(());
        }
        let asking = Asking {
            address: self.caller.client.ip(),
            headers,
            identity: self.identity.as_deref(),
            certificate: self.caller.certificate.as_ref(),
            method: &method.name,
        };
        let result = limit(&method.limits, asking, self.started);
        let told = match (told, &result) {
            (RateLimitHeaders::All, Ok(budget)) => *budget,
            (RateLimitHeaders::All | RateLimitHeaders::Refusals, Err((_, budget))) => Some(*budget),
            (RateLimitHeaders::Refusals, Ok(_)) | (RateLimitHeaders::Off, _) => None,
        };
        self.budget = told;
        result.map(drop).map_err(|(reject, _)| reject)
    }

    /// No method is known, but what a page may learn of the refusal is what it may learn of its neighbour.
    #[cold]
    pub(crate) fn beside(&mut self, method: Option<&Rc<MethodRoute>>, headers: &HeaderMap) {
        self.beside = method.cloned();
        self.origin = headers.get(ORIGIN).cloned();
    }

    /// Tells the upstream who asks, in place of whatever the client says of it.
    pub(crate) fn introduce(
        &self,
        auth: &Authenticator,
        method: &MethodRoute,
        inbound: &HeaderMap,
        headers: &mut Fields,
    ) {
        self.caller.write(inbound, headers);
        normalize::vouch(headers, self.caller.certificate.as_ref());
        if method.route.auth == AuthMode::Off {
            return;
        }
        // Of credentials only the token that was verified goes on, whatever else they came in.
        headers.remove(&AUTHORIZATION);
        if let Some(keys) = &auth.options.api_keys {
            headers.remove(&keys.header);
        }
        let Some(identity) = &self.identity else { return };
        if let (By::Jwt, Some(token)) = (identity.by, inbound.get(AUTHORIZATION)) {
            headers.insert(AUTHORIZATION, token.clone());
        }
        if let Some(signer) = &auth.signer {
            signer.write(identity, (&method.name, self.caller.request_id.as_ref()), headers);
        }
    }

    /// Waits before another attempt, without a place that others could use.
    #[cold]
    pub(crate) async fn wait_out(&mut self, pause: Duration) {
        self.permit = None;
        if !pause.is_zero() {
            self.enter(Stage::Pick);
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes the answer. A whole one is finished here; a stream takes the exchange along.
    pub(crate) fn respond(mut self: Box<Self>, result: Result<Response<Body>, Reject>) -> Response<Body> {
        let mut response = match result {
            Ok(response) => response,
            Err(reject) => {
                self.code = Some(reject.code());
                self.refused(reject.refusal());
                let compat = self.method.as_ref().map_or(Compat::Off, |method| method.route.compat);
                let refusal = reject.refusal();
                let mut response = reject.into_response(self.dialect, compat, &self.edge);
                if self.edge.routes().options().refusal_header
                    && let Some(told) = refusal.and_then(Refusal::header)
                {
                    response.headers_mut().insert(REJECT, told);
                }
                response
            }
        };
        if self.dialect == Dialect::Json
            && let Some(compression) =
                self.method.as_ref().and_then(|method| method.route.compression.as_ref())
        {
            compression.apply(self.coding, &mut response, &self.edge.compress);
        }
        let beside = self.beside.as_ref();
        if let Some(cors) = self.method.as_ref().or(beside).and_then(|method| method.route.cors.as_ref()) {
            cors.grant(self.origin.as_ref(), response.headers_mut());
        }
        if let Some(id) = &self.caller.request_id {
            response.headers_mut().insert(REQUEST_ID, id.clone());
        }
        if let Some(budget) = self.budget {
            budget.write(response.headers_mut());
        }
        if self.http_method == Method::HEAD {
            headers_only(&mut response);
        }
        self.status = response.status();
        if self.code.is_none() {
            self.code = status_of(response.headers());
        }
        match response.body().length() {
            Some(length) => {
                self.bytes_out = length as u64;
                self.finish();
            }
            None => response.body_mut().hold(self),
        }
        response
    }

    /// A piece of a streamed answer goes out.
    pub(crate) fn sent(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.bytes_out += data.len() as u64;
        } else if let Some(trailers) = frame.trailers_ref() {
            self.code = status_of(trailers).or(self.code);
        }
    }

    /// A streamed answer is complete, or broken off; with an ending that its frames did not show.
    pub(crate) fn ended(&mut self, ending: Option<Ending>) {
        let Ending { code, refusal } = ending.unwrap_or_default();
        self.refused(refusal);
        self.code = code.or(self.code).or(Some(Code::Ok));
        self.finish();
    }

    fn refused(&mut self, refusal: Option<Refusal>) {
        if let Some(Refusal { stage, reason }) = refusal {
            self.reject = Some((stage, reason));
            self.edge.metrics.reject(stage, reason);
        }
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let now = Instant::now();
        let duration = now - self.started;
        if let Some(laps) = &mut self.laps {
            laps.end(self.stage, now);
            for (stage, lap) in laps.each.iter().enumerate().filter(|(_, lap)| !lap.is_zero()) {
                self.edge.metrics.stage(stage, *lap);
            }
        }
        let code = self.code.unwrap_or(Code::Ok);
        if let Some(method) = &self.method {
            method.metrics.record(code, duration);
        }
        self.permit = None;
        if self.counted {
            self.edge.end();
        }
        self.log(code, duration);
    }

    fn log(&self, code: Code, duration: Duration) {
        let Some(access) = &self.edge.access else { return };
        // A request that was refused before it had a context gets one, so that its line has a trace id all the same.
        let context = self.context.unwrap_or_else(|| Context::new_root(false));
        if !access.wants(&context) {
            return;
        }
        let path = self.uri.path();
        let entry = Entry::new(self.http_method.as_str(), path, self.status.as_u16(), context);
        access.record(&Entry {
            route: self.method.as_ref().map(|method| &*method.name),
            grpc_status: self.method.as_ref().map(|_| code.number()),
            duration,
            request_bytes: self.bytes_in + self.upload.bytes(),
            response_bytes: self.bytes_out,
            request_id: self.caller.request_id.as_ref().and_then(|id| id.to_str().ok()),
            client: Some(self.caller.client),
            upstream: self.endpoint.as_ref().map(|endpoint| endpoint.address()),
            reject: self.reject.map(|(stage, reason)| access::Reject { stage: stage.name(), reason }),
            ..entry
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.finished {
            // The client went away before the answer was complete; nginx's 499 says so.
            self.code = Some(Code::Cancelled);
            self.status = StatusCode::from_u16(499).unwrap_or(self.status);
            self.finish();
        }
    }
}

/// The time in each stage. To read a clock and to count at each of them is a part of what a request costs that one sees, so it is done
/// for one request in so many; they are all alike in what takes long.
#[derive(Debug)]
struct Laps {
    since: Instant,
    each: [Duration; Stage::ALL.len()],
}

/// The stages of one request in so many of a worker are measured, the first among them.
pub(crate) const MEASURED: u8 = 8;

impl Laps {
    fn begin(now: Instant) -> Self {
        Self { since: now, each: [Duration::ZERO; Stage::ALL.len()] }
    }

    /// The request leaves a stage.
    fn end(&mut self, stage: Stage, now: Instant) {
        if let Some(lap) = self.each.get_mut(stage as usize) {
            *lap += now - self.since;
        }
        self.since = now;
    }
}

/// How a stream ended, where its last frame does not say.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) code: Option<Code>,
    /// Where and why, when it was the gateway that ended it.
    pub(crate) refusal: Option<Refusal>,
}

impl Ending {
    pub(crate) fn of(reject: &Reject) -> Self {
        Self { code: Some(reject.code()), refusal: reject.refusal() }
    }
}

/// RFC 9110, section 9.3.2: the answer to HEAD has no content, but says how long that of GET is. Not every codec sees to
/// it by itself.
fn headers_only(response: &mut Response<Body>) {
    let length = response.body().length().filter(|length| *length > 0);
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}

fn status_of(headers: &HeaderMap) -> Option<Code> {
    find(headers, &GRPC_STATUS).and_then(|value| Code::from_header(value.as_bytes()))
}
