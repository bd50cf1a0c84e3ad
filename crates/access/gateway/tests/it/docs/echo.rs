//! The backend of the documentation's examples: it answers each message with itself, or does what `x-backend` says.

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

use crate::backend::{frame, frames, read, trailers};

const SCRIPT: &str = "x-backend";

/// What a request asks for, one command a header.
struct Script(Vec<String>);

impl Script {
    fn new(headers: &HeaderMap) -> Self {
        Self(headers.get_all(SCRIPT).iter().map(|value| value.to_str().unwrap().to_owned()).collect())
    }

    /// The arguments of each command of this name.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(move |line| line.strip_prefix(name)).map(str::trim)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn metadata(&self, name: &str, to: &mut HeaderMap) {
        for (name, value) in self.all(name).filter_map(|pair| pair.split_once(": ")) {
            to.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
    }

    /// The last trailers, or those of an answer that has nothing else.
    fn end(&self, status: &str) -> HeaderMap {
        let mut end = trailers(status);
        if let Some(details) = self.get("details") {
            end.insert("grpc-status-details-bin", HeaderValue::from_str(details).unwrap());
        }
        self.metadata("trailer", &mut end);
        end
    }
}

/// Whether the call is one of a page of the documentation.
pub(crate) fn is_for(request: &Request<RecvStream>) -> bool {
    let path = request.uri().path();
    !path.starts_with("/test.v1.") && !path.ends_with("/ServerReflectionInfo")
}

pub(crate) async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let script = Script::new(&head.headers);
    let mut response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    script.metadata("metadata", response.headers_mut());
    if script.get("saw").is_some() {
        response.headers_mut().insert("backend-saw", seen(&head.headers));
    }
    if let Some(status) = script.get("http") {
        *response.status_mut() = status.parse().unwrap();
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/html"));
        return drop(respond.send_response(response, true));
    }
    if let Some(status) = script.get("status") {
        response.headers_mut().extend(script.end(status));
        return drop(respond.send_response(response, true));
    }
    let messages = reply(&script, frames(&read(&mut body).await));
    let silent = script.get("no-trailers").is_some();
    // The gateway may have given up already.
    let Ok(mut send) = respond.send_response(response, false) else { return };
    for message in &messages {
        drop(send.send_data(frame(message), false));
    }
    if script.get("hang").is_some() {
        drop(std::future::poll_fn(|cx| send.poll_reset(cx)).await);
    } else if silent {
        drop(send.send_data(Bytes::new(), true));
    } else {
        drop(send.send_trailers(script.end(script.get("late").unwrap_or("0"))));
    }
}

fn reply(script: &Script, messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if let Some(wire) = script.get("wire") {
        return vec![wire.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()];
    }
    if script.get("collect").is_some() {
        let field =
            |message: &Vec<u8>| [&[0x0a, u8::try_from(message.len()).unwrap()], &message[..]].concat();
        return vec![messages.iter().flat_map(field).collect()];
    }
    let times: usize = script.get("times").map_or(1, |times| times.parse().unwrap());
    messages.into_iter().flat_map(|message| std::iter::repeat_n(message, times)).collect()
}

/// The names of the metadata, sorted, without the script's own.
fn seen(headers: &HeaderMap) -> HeaderValue {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).filter(|name| *name != SCRIPT).collect();
    names.sort_unstable();
    HeaderValue::from_str(&names.join(", ")).unwrap()
}
