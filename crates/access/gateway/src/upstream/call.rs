//! The gateway's own calls: what it asks an upstream in the background, with the connections of the requests.

use std::rc::Rc;
use std::time::Duration;

use aqueduct_transcode::{Code, decode_grpc_message};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};
use http_body_util::Empty;
use tokio::time::Instant;

use crate::grpc::{Deframer, FRAME_HEAD, FrameError, seal};
use crate::http2::Fields;
use crate::reject::{APPLICATION_GRPC, GRPC_MESSAGE, GRPC_STATUS, Reject};
use crate::stage::forward::{Call, Payload, failed, forward};
use crate::upstream::connection::Answer;
use crate::upstream::endpoint::Endpoint;

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question {
    /// The method's path.
    pub(crate) path: &'static str,
    /// The messages, framed, all of which are sent before the answer is read.
    pub(crate) frames: Bytes,
    /// How long the whole answer may take.
    pub(crate) patience: Duration,
    /// Messages of the answer.
    pub(crate) answers: usize,
    /// Bytes of all of them.
    pub(crate) limit: usize,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: Code,
    /// What goes with a code that is not OK.
    pub(crate) message: String,
    pub(crate) messages: Vec<Bytes>,
}

/// Appends a message to the frames of a question.
pub(crate) fn frame(frames: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut message = vec![0; FRAME_HEAD];
    write(&mut message);
    seal(&mut message);
    frames.append(&mut message);
}

/// Calls a method. An error says why there is no answer; a status of the server is an answer.
pub(crate) async fn call(endpoint: &Rc<Endpoint>, question: Question) -> Result<Reply, String> {
    let patience = question.patience;
    match tokio::time::timeout(patience, ask(endpoint, question)).await {
        Ok(reply) => reply,
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}

async fn ask(endpoint: &Rc<Endpoint>, question: Question) -> Result<Reply, String> {
    let why = |reject: Reject| reject.inside().to_owned();
    let mut headers = Fields::default();
    headers.insert(http::header::CONTENT_TYPE, APPLICATION_GRPC);
    headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    let mut payload: Payload<Empty<Bytes>> = Payload::Whole(question.frames);
    let deadline = Some(Instant::now() + question.patience);
    let call = Call { path: PathAndQuery::from_static(question.path), headers, deadline };
    let mut answer = forward(endpoint, call, &mut payload).await.map_err(why)?;
    let messages = messages(&mut answer, question.answers, question.limit).await?;
    let trailers = answer.body.trailers().await.map_err(|error| why(failed(&error)))?;
    let status = trailers.as_ref().unwrap_or(&answer.head.headers);
    let message = status.get(GRPC_MESSAGE).map(|it| decode_grpc_message(it.as_bytes()).into_owned());
    let code = match status.get(GRPC_STATUS) {
        Some(code) => Code::from_header(code.as_bytes()).unwrap_or(Code::Unknown),
        None if answer.head.status == StatusCode::OK => Code::Unknown,
        None => Code::from_http(answer.head.status.as_u16()),
    };
    Ok(Reply { code, message: message.unwrap_or_default(), messages })
}

async fn messages(answer: &mut Answer, most: usize, limit: usize) -> Result<Vec<Bytes>, String> {
    let mut left = limit;
    let mut messages = Vec::new();
    let mut deframer = Deframer::default();
    while let Some(data) = answer.body.data().await {
        let data = data.map_err(|error| failed(&error).inside().to_owned())?;
        deframer.push(data);
        loop {
            match deframer.next(left) {
                Ok(Some(_)) if messages.len() == most => {
                    return Err(format!("the answer has more than {most} messages"));
                }
                Ok(Some(message)) => {
                    left -= message.len();
                    messages.push(message);
                }
                Ok(None) => break,
                Err(FrameError::TooLong(_)) => {
                    return Err(format!("the answer is longer than {limit} bytes"));
                }
                Err(FrameError::Compressed) => return Err("the answer is compressed".to_owned()),
            }
        }
    }
    if deframer.is_empty() { Ok(messages) } else { Err("the answer ends within a message".to_owned()) }
}
