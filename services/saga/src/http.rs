//! The coordinator over HTTP+JSON: which paths there are, and how each answers.

use std::time::Duration;

use aqueduct_saga::{MOST_BYTES, Store};
use aqueduct_telemetry::health::Probe;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::json;
use tonic::body::Body;

use crate::app::App;
use crate::operator::Decision;
use crate::refuse::Refusal;
use crate::{context, show, submission};

/// The largest body: a plan of the largest size and what is around it.
const MOST_BODY: usize = MOST_BYTES + (256 << 10);
/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(30);
const SAGAS: &str = "/v1/sagas";

/// Answers one request.
pub(crate) async fn answer<S: Store>(app: &App<S>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let answer = route(app, &head, body).await;
    answer.unwrap_or_else(|refusal| refused(&refusal))
}

async fn route<S: Store>(
    app: &App<S>,
    head: &http::request::Parts,
    body: Incoming,
) -> Result<Response<Body>, Refusal> {
    let path = head.uri.path();
    let health = &app.health;
    let probe = match path {
        "/healthz" => Some(health.healthz()),
        "/livez" => Some(health.livez()),
        "/readyz" => Some(health.readyz()),
        "/startupz" => Some(health.startupz()),
        _ => None,
    };
    if let Some(Probe { status, body }) = probe {
        allow(head, &[Method::GET, Method::HEAD], "GET and HEAD")?;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Ok(respond(status, body));
    }
    if path == SAGAS {
        allow(head, &[Method::POST], "POST")?;
        return submit(app, head, body).await;
    }
    let saga = path.strip_prefix(SAGAS).and_then(|path| path.strip_prefix('/')).filter(|id| !id.is_empty());
    let Some(saga) = saga else {
        let why =
            format!("nothing is at {path}; sagas are at {SAGAS}, {SAGAS}/{{id}} and {SAGAS}/{{id}}:retry");
        return Err(Refusal::NotFound(why));
    };
    match saga.rsplit_once(':').and_then(|(id, verb)| Some((id, decision(verb)?))) {
        Some((id, decision)) if head.method == Method::POST => {
            let actor = head.headers.get("x-saga-actor").map_or(&[][..], HeaderValue::as_bytes);
            let actor = std::str::from_utf8(actor).unwrap_or_default();
            let view = app.decide(&decoded(id)?, decision, actor).await?;
            Ok(respond(StatusCode::OK, show::saga(&view)))
        }
        _ => {
            allow(
                head,
                &[Method::GET, Method::HEAD],
                "GET, or POST with :retry, :skip or :abandon behind the id",
            )?;
            Ok(respond(StatusCode::OK, show::saga(&app.get(&decoded(saga)?).await?)))
        }
    }
}

fn decision(verb: &str) -> Option<Decision> {
    match verb {
        "retry" => Some(Decision::Retry),
        "skip" => Some(Decision::Skip),
        "abandon" => Some(Decision::Abandon),
        _ => None,
    }
}

async fn submit<S: Store>(
    app: &App<S>,
    head: &http::request::Parts,
    body: Incoming,
) -> Result<Response<Body>, Refusal> {
    is_json(&head.headers)?;
    let body = whole(&head.headers, body).await?;
    let submit = submission::from_json(&body, context::of(&head.headers)).map_err(Refusal::Invalid)?;
    let id = submit.id.clone();
    let created = app.submit(submit).await?;
    let answer = json!({ "sagaId": id.as_str(), "created": created });
    Ok(respond(StatusCode::OK, answer.to_string()))
}

/// What a program sends is read as JSON, whatever it calls it: many name a form's type where they are told none. A page in a
/// browser, which may send a form anywhere, says where it comes from, and has to ask first to send JSON.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let (Some(given), true) = (headers.get(CONTENT_TYPE), headers.contains_key(ORIGIN)) else {
        return Ok(());
    };
    let given = String::from_utf8_lossy(given.as_bytes());
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::MediaType(format!("content-type: application/json is wanted here, not {given}")))
}

async fn whole(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::TooLarge(format!("the body has more than {MOST_BODY} bytes"));
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if told.is_some_and(|length: u64| length > MOST_BODY as u64) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_WITHIN, Limited::new(body, MOST_BODY).collect()).await;
    match read.map_err(|_| Refusal::Late)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Refusal::Invalid(format!("the body breaks off: {error}"))),
    }
}

fn allow(head: &http::request::Parts, methods: &[Method], named: &'static str) -> Result<(), Refusal> {
    if methods.contains(&head.method) { Ok(()) } else { Err(Refusal::Method(named)) }
}

/// An id as it is, not as it is written in a path.
fn decoded(text: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let escape = digit().zip(digit()).map(|(high, low)| high << 4 | low);
        bytes.push(
            escape.ok_or_else(|| Refusal::Invalid(format!("{text}: behind % are two hexadecimal digits")))?,
        );
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `google.rpc.Status` in JSON, as at the edge.
fn refused(refusal: &Refusal) -> Response<Body> {
    let body = json!({ "code": i32::from(refusal.code()), "message": refusal.message(), "details": [] });
    let mut answer = respond(refusal.http(), body.to_string());
    if let Refusal::Method(named) = refusal {
        let allowed = if named.starts_with("GET") { "GET, HEAD" } else { "POST" };
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    answer
}

fn respond(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body.into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn ids_are_decoded() {
        assert_eq!(decoded("a%3Ab%2fc-d").unwrap(), "a:b/c-d");
        for bad in ["%", "%a", "%zz", "%+1"] {
            assert!(decoded(bad).is_err(), "{bad}");
        }
    }
}
