//! `transcode`: from HTTP+JSON to framed gRPC messages, and back: whole for unary calls, message by message for streams.

pub(crate) mod accept;
pub(crate) mod answer;
mod raw;
pub(crate) mod request;
pub(crate) mod stream;
pub(crate) mod upload;

use std::rc::Rc;

use aqueduct_transcode::Match;
use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, TE, TRAILER};
use http::request::Parts;
use tokio::time::Instant;

use crate::body::Body;
use crate::edge::Edge;
use crate::options::Compat;
use crate::outgoing::{Fault, Outgoing};
use crate::reject::{APPLICATION_JSON, Reject};
use crate::routes::Routes;
use crate::stage::forward::{Payload, RequestBody};
use crate::upstream::connection::Answer;
use accept::Style;
use answer::{Messages, append_prefixed, copy_metadata, is_internal, only};
use stream::{First, MessageStream, Transcoding};
use upload::Upload;

/// A transcoded request: what its message and its answer depend on.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) edge: &'a Rc<Edge>,
    pub(crate) routes: &'a Rc<Routes>,
    pub(crate) found: &'a Match<'a>,
    pub(crate) head: &'a Parts,
    pub(crate) compat: Compat,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One message.
    Unary,
    /// Messages as they come.
    Stream(stream::Form),
}

impl Asked<'_> {
    /// How the answer is to be written. Decided before the call, which would be in vain otherwise.
    pub(crate) fn form(&self) -> Result<Form, Reject> {
        let binding = self.found.binding;
        Ok(match self.compat {
            _ if !binding.server_streaming() => Form::Unary,
            _ if binding.response_is_raw() => Form::Stream(stream::Form::Raw),
            Compat::GrpcGateway => Form::Stream(stream::Form::Json(Style::Results)),
            Compat::Off => Form::Stream(stream::Form::Json(Style::choose(&self.head.headers)?)),
        })
    }

    /// The messages of the call. Of one message also how long the client's body was.
    pub(crate) async fn payload<B: RequestBody>(&self, body: B) -> Result<(Payload<B>, usize), Reject> {
        let kind = request::Kind::of(self.found, &self.head.headers, self.compat);
        if kind != request::Kind::None {
            request::check_encoding(&self.head.headers)?;
        }
        // A client stream without a place for a body is one message of path and query.
        let one = matches!(kind, request::Kind::Form | request::Kind::None);
        if self.found.binding.client_streaming() && !one {
            if kind == request::Kind::Json {
                request::check_stream_content_type(&self.head.headers)?;
            }
            let upload = |body| Upload::new((self.edge, self.routes), self.found, self.head, body);
            return Ok((Payload::Stream(Outgoing::json(body, upload)), 0));
        }
        let (frame, length) =
            request::whole((self.edge, self.routes.options()), (self.found, kind), self.head, body).await?;
        Ok((Payload::Whole(frame), length))
    }

    /// Turns the upstream's answer into the client's. `fault` tells when it was the client whose stream broke off.
    pub(crate) async fn response(
        &self,
        answer: Answer,
        form: Form,
        (deadline, fault): (Option<Instant>, Fault),
    ) -> Result<Response<Body>, Reject> {
        let done = self.whole_or_stream(answer, form, (deadline, fault)).await;
        match (form, self.compat) {
            (Form::Stream(_), Compat::GrpcGateway) => done.map_err(Reject::into_element),
            _ => done,
        }
    }

    async fn whole_or_stream(
        &self,
        answer: Answer,
        form: Form,
        (deadline, fault): (Option<Instant>, Fault),
    ) -> Result<Response<Body>, Reject> {
        answer::check(&answer)?;
        let mut response = Response::new(Body::empty());
        // With what is said of the request and its limits, it is rarely more.
        *response.headers_mut() = HeaderMap::with_capacity(6);
        copy_metadata(&answer.head.headers, response.headers_mut(), self.compat);
        if !self.found.binding.response_is_raw() {
            // What is said of the upstream's bytes is not true of the JSON.
            response.headers_mut().remove(CONTENT_ENCODING);
        }
        let limit = self.routes.options().limits.message_bytes;
        let mut messages = Messages::new(answer, limit, self.compat, fault);
        match form {
            Form::Unary => {
                let message = only(&mut messages).await?;
                self.unary(&message, messages.trailers(), response)
            }
            // In a box, so that unary calls do not carry the room for it.
            Form::Stream(form) => Box::pin(self.stream(messages, (form, deadline), response)).await,
        }
    }

    fn unary(
        &self,
        message: &Bytes,
        trailers: &HeaderMap,
        mut response: Response<Body>,
    ) -> Result<Response<Body>, Reject> {
        let (content_type, body) = if self.found.binding.response_is_raw() {
            let body = raw::data(self.edge, Some(self.found.binding), message)?;
            (body.content_type, body.data)
        } else {
            let mut out = Vec::with_capacity(message.len() * 2 + 64);
            self.edge.transcoder.borrow_mut().decode_response(self.found.binding, message, &mut out)?;
            (Some(APPLICATION_JSON), Bytes::from(out))
        };
        let headers = response.headers_mut();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        let trailers = self.trailers(trailers, headers);
        *response.body_mut() = Body::full(body).with_trailers(trailers);
        Ok(response)
    }

    /// The metadata behind a unary answer goes before it, since the answer waited for it anyway; grpc-gateway's way is to send
    /// it as HTTP trailers to those who say that they read them.
    fn trailers(&self, metadata: &HeaderMap, headers: &mut HeaderMap) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        match self.compat {
            Compat::Off => copy_metadata(metadata, headers, self.compat),
            Compat::GrpcGateway if wants_trailers(&self.head.headers) => {
                for (name, value) in metadata.iter().filter(|(name, _)| !is_internal(name.as_str())) {
                    append_prefixed(&mut trailers, "grpc-trailer-", name.as_str(), value);
                }
                for name in trailers.keys() {
                    headers.append(TRAILER, HeaderValue::from(name.clone()));
                }
            }
            Compat::GrpcGateway => {}
        }
        trailers
    }

    /// The head of a stream waits for its first message, so that an early failure still has its own HTTP status. Server-sent
    /// events wait no longer than their keep-alive: there, somebody looks at a page until something happens.
    async fn stream(
        &self,
        mut messages: Messages,
        (form, deadline): (stream::Form, Option<Instant>),
        mut response: Response<Body>,
    ) -> Result<Response<Body>, Reject> {
        let keep_alive = self.routes.options().timeouts.keep_alive;
        let next = std::future::poll_fn(|cx| messages.poll_next(cx));
        let first = match form {
            stream::Form::Json(Style::Events) => match tokio::time::timeout(keep_alive, next).await {
                Ok(first) => first?.map_or(First::End, First::Message),
                Err(_) => First::Taken,
            },
            _ => next.await?.map_or(First::End, First::Message),
        };
        let binding = self.found.binding.index();
        let transcoding = Transcoding { edge: Rc::clone(self.edge), routes: Rc::clone(self.routes), binding };
        let headers = response.headers_mut();
        let content_type = match form {
            stream::Form::Json(style) => Some(style.content_type()),
            stream::Form::Raw => stream::raw_content_type(&transcoding, &first)?,
        };
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        if form == stream::Form::Json(Style::Events) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        let stream = MessageStream::new(transcoding, form, (first, messages), deadline, keep_alive);
        *response.body_mut() = Body::messages(stream);
        Ok(response)
    }
}

/// RFC 9110, section 10.1.4.
fn wants_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case("trailers"))
}
