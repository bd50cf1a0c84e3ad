//! The work of one request: its call, then its answer, piece by piece.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use http_body::Body as _;

use super::connection::Shared;
use super::stream::Stream;
use crate::body::Body;

/// A call that is being answered.
pub(super) type Call<'h> = Pin<Box<dyn Future<Output = Response<Body>> + 'h>>;

/// How far a request is.
enum Work<'h> {
    Call(Call<'h>),
    /// The answer waits for room.
    Answer(Option<Response<Body>>),
    Body(Body),
}

/// One request's work.
pub(super) struct Task<'h> {
    stream: Stream,
    work: Work<'h>,
    is_head: bool,
    /// Nobody has looked at it yet.
    pub(super) fresh: bool,
}

impl<'h> Task<'h> {
    pub(super) fn call(stream: Stream, is_head: bool, call: Call<'h>) -> Self {
        Self { stream, work: Work::Call(call), is_head, fresh: true }
    }

    pub(super) fn answer(stream: Stream, is_head: bool, response: Response<Body>) -> Self {
        Self { stream, work: Work::Answer(Some(response)), is_head, fresh: true }
    }

    /// Goes on. Ready when nothing is left to be done.
    pub(super) fn poll(&mut self, shared: &Rc<Shared>, cx: &mut Context<'_>) -> Poll<()> {
        self.fresh = false;
        if let Work::Call(call) = &mut self.work {
            let response = ready!(call.as_mut().poll(cx));
            // The call's memory is not kept while its answer goes out.
            self.work = Work::Answer(Some(response));
        }
        if let Work::Answer(response) = &mut self.work {
            ready!(shared.poll_room(&self.stream, false, cx));
            let Some(response) = response.take() else { return Poll::Ready(()) };
            let status = response.status();
            let empty = self.is_head
                || status == StatusCode::NO_CONTENT
                || status == StatusCode::NOT_MODIFIED
                || response.body().is_end_stream();
            shared.answer(&self.stream, &response, empty);
            if empty {
                return Poll::Ready(());
            }
            self.work = Work::Body(response.into_body());
        }
        let Work::Body(body) = &mut self.work else { return Poll::Ready(()) };
        loop {
            ready!(shared.poll_room(&self.stream, true, cx));
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let end = body.is_end_stream();
                        if end || !data.is_empty() {
                            shared.send(&self.stream, data, end);
                        }
                        if end {
                            return Poll::Ready(());
                        }
                    }
                    Err(frame) => {
                        shared.trailers(&self.stream, &frame.into_trailers().unwrap_or_default());
                        return Poll::Ready(());
                    }
                },
                Some(Err(_)) => {
                    shared.break_off(&self.stream);
                    return Poll::Ready(());
                }
                None => {
                    shared.send(&self.stream, bytes::Bytes::new(), true);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Its place is another's from now on.
    pub(super) fn leave_place(&self) {
        self.stream.borrow_mut().place = None;
    }
}
