//! One connection's life: a head, its answer, and again. The connection's task does all of it, the requests' work included; only
//! a client's stream is carried by a task of its own.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::{Method, Response, StatusCode, Version};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::body::Incoming;
use super::head::{self, Head, Refused};
use super::scan::Bounds;
use super::socket::{LITTLE, Rest, Socket};
use super::write::{self, Ending, Out};
use crate::body::Body;
use crate::client::{Client, Overdue};
use crate::options::Timeouts;
use crate::service::{Host, Service};

/// How long a connection that is idle when a drain begins may still send a request.
const GRACE: Duration = Duration::from_secs(2);
/// How long, and for how many bytes, a closed connection is read on, so that its client finds the answer and not a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 1 << 20;
/// The same for one that was closed without an answer, for whoever sends at that moment.
const SHORT_LINGER: Duration = Duration::from_millis(200);

/// How long whoever is about to send a request when a drain begins is waited for.
pub(crate) fn grace(times: &Timeouts) -> Duration {
    GRACE.min(times.drain / 4)
}

/// Serves a connection, of which `read` has been read already, until one side closes it.
pub(crate) async fn serve<I, S>(stream: I, read: BytesMut, host: Host<'_, S>)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Incoming>,
{
    let connection = Connection {
        socket: Rc::new(Socket::new(stream, read)),
        bounds: Bounds { bytes: host.limits.head_bytes, fields: host.limits.headers },
        overdue: Cell::new(None),
        host,
    };
    let Host { client, times, drain, .. } = connection.host;
    let mut life = pin!(connection.live());
    let mut started = pin!(drain.started());
    let mut look = pin!(tokio::time::sleep_until(Instant::now()));
    let mut leaving = false;
    let mut task: Option<Waker> = None;
    std::future::poll_fn(|cx| {
        loop {
            // The requests first: one that has arrived is in flight before anything is said of the connection.
            if life.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // What watches the connection has the task's waker since it was asked first. A turn that is a request's need not ask it
            // again: a glance tells whether it has something to say.
            let is_known = task.as_ref().is_some_and(|task| task.will_wake(cx.waker()));
            if is_known && !look.is_elapsed() && (leaving || !drain.is_started()) {
                return Poll::Pending;
            }
            task = Some(cx.waker().clone());
            if !leaving && started.as_mut().poll(cx).is_ready() {
                leaving = true;
                continue;
            }
            ready!(look.as_mut().poll(cx));
            match client.due(times, Instant::now()) {
                Ok(next) => {
                    look.as_mut().reset(next);
                    // It has to be asked once more, to know whom to wake.
                    task = None;
                }
                Err(Overdue::Write) => {
                    tracing::debug!(client = %client.address, "a client does not take its answer");
                    return Poll::Ready(());
                }
                // Told a second time it has not been heard, and would be told for ever.
                Err(overdue) if connection.overdue.replace(Some(overdue)).is_some() => return Poll::Ready(()),
                Err(_) => {}
            }
        }
    })
    .await;
}

struct Connection<'h, I, S> {
    socket: Rc<Socket<I>>,
    host: Host<'h, S>,
    bounds: Bounds,
    /// What the connection's timer has said while there was no request.
    overdue: Cell<Option<Overdue>>,
}

/// What comes next on a connection.
enum Next {
    Request(Box<Head>),
    Refused(Box<Refused>),
    /// The client has closed it.
    Closed,
    /// It has been idle for too long.
    Idle,
    /// The drain has begun.
    Drain,
}

/// What becomes of a connection after an answer.
enum After {
    Again,
    /// The client knows that there is nothing more to come.
    Close,
    /// It may be sending still.
    Linger,
    /// It is gone, or must see that the answer is not complete.
    Drop,
}

impl<I, S> Connection<'_, I, S>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Incoming>,
{
    async fn live(&self) {
        loop {
            let next = match self.next(true).await {
                Next::Drain => Box::pin(self.last_chance()).await,
                next => next,
            };
            let after = match next {
                Next::Request(head) => self.exchange(head).await,
                Next::Refused(refused) => Box::pin(self.refuse(*refused)).await,
                Next::Closed => return,
                Next::Idle | Next::Drain => return Box::pin(self.linger(SHORT_LINGER)).await,
            };
            match after {
                After::Again => {}
                After::Close => return Box::pin(self.close()).await,
                After::Linger => return Box::pin(self.linger(LINGER)).await,
                After::Drop => return,
            }
        }
    }

    /// Waits for the next head.
    async fn next(&self, heeds_drain: bool) -> Next {
        std::future::poll_fn(|cx| {
            let received = || self.host.client.received();
            match self.socket.poll_head(self.bounds, received, cx) {
                Poll::Ready(Ok(Some(head))) => {
                    // It came at the last moment.
                    self.overdue.set(None);
                    return Poll::Ready(Next::Request(head));
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(Next::Closed),
                Poll::Ready(Err(refused)) => return Poll::Ready(Next::Refused(refused)),
                Poll::Pending => {}
            }
            match self.overdue.take() {
                Some(Overdue::Head) => Poll::Ready(Next::Refused(Box::new(head::slow()))),
                Some(_) => Poll::Ready(Next::Idle),
                None if heeds_drain && self.host.drain.is_started() => Poll::Ready(Next::Drain),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// A client may be sending a request at the moment at which a drain begins, and HTTP/1 has no way to tell it that nobody
    /// has looked at it. So an idle connection waits for one more, whose answer says `connection: close`. One whose head has begun to
    /// come by then has the time of any other.
    async fn last_chance(&self) -> Next {
        let mut next = pin!(self.next(false));
        match tokio::time::timeout(grace(self.host.times), next.as_mut()).await {
            Ok(next) => next,
            Err(_) if self.host.client.has_begun() => next.await,
            Err(_) => Next::Drain,
        }
    }

    /// Answers a request.
    async fn exchange(&self, head: Box<Head>) -> After {
        let Head { framing, keep_alive, expects, trailers, .. } = *head;
        // Busy until the answer has gone out, which may be long after it was made.
        let _busy = self.host.client.begin();
        let number = self.socket.begin(framing, expects);
        let asked = Asked {
            is_head: head.request.method() == Method::HEAD,
            version: head.request.version(),
            keep_alive,
            trailers,
        };
        let body = Incoming::new(|| Rc::clone(&self.socket) as _, number, framing);
        let response = {
            let mut call = Box::pin(self.host.service.call(head.request.map(|()| body)));
            let answered = std::future::poll_fn(|cx| {
                if let Poll::Ready(response) = call.as_mut().poll(cx) {
                    return Poll::Ready(Some(response));
                }
                self.socket.poll_gone(cx).map(|()| None)
            });
            answered.await
        };
        match response {
            Some(response) => self.answer(response, asked).await,
            None => After::Drop,
        }
    }

    /// Sends an answer.
    async fn answer(&self, response: Response<Body>, asked: Asked) -> After {
        let mut out = Out::new();
        out.push(self.socket.take_interim());
        let ending = ending(&response, asked);
        let stays = asked.keep_alive
            && ending != Ending::Close
            && !self.host.drain.is_started()
            && self.socket.rest(false) != Rest::Lost;
        let connection = match (stays, asked.version == Version::HTTP_10) {
            (false, _) => Some(&b"close"[..]),
            (true, true) => Some(&b"keep-alive"[..]),
            (true, false) => None,
        };
        write::head(&mut out, &response, ending, connection);
        let announced = if asked.trailers { write::announced(response.headers()) } else { None };
        let mut sending = Sending { out, body: response.into_body(), ending, announced, state: State::Body };
        let sent = std::future::poll_fn(|cx| match sending.poll(&self.socket, self.host.client, cx) {
            Poll::Ready(sent) => Poll::Ready(sent),
            Poll::Pending => self.socket.poll_gone(cx).map(|()| false),
        })
        .await;
        drop(sending);
        self.socket.retire();
        if !sent {
            return After::Drop;
        }
        match self.socket.rest(true) {
            Rest::None if stays => After::Again,
            Rest::None if !asked.keep_alive && self.socket.is_drained() => After::Close,
            Rest::Little if stays => Box::pin(self.discard()).await,
            _ => After::Linger,
        }
    }

    /// Reads the little away that is left of a body.
    async fn discard(&self) -> After {
        let mut budget = LITTLE;
        let rest = std::future::poll_fn(|cx| self.socket.poll_discard(&mut budget, cx));
        match tokio::time::timeout(self.host.times.body, rest).await {
            Ok(true) => After::Again,
            _ => After::Linger,
        }
    }

    /// Answers a head that is refused. Where the next would begin nobody knows, so that it is the last.
    async fn refuse(&self, refused: Refused) -> After {
        let _busy = self.host.client.begin();
        let Refused { request, reject } = refused;
        let asked = Asked {
            is_head: request.method() == Method::HEAD,
            version: request.version(),
            keep_alive: false,
            trailers: false,
        };
        let response = self.host.service.refuse(request, reject);
        match self.answer(response, asked).await {
            After::Drop => After::Drop,
            _ => After::Linger,
        }
    }

    /// Closes our side, of which the client knows that it is the end.
    async fn close(&self) {
        let _busy = self.host.client.begin();
        let closed = std::future::poll_fn(|cx| self.socket.poll_shutdown(cx));
        drop(tokio::time::timeout(LINGER, closed).await);
    }

    /// Closes our side, and waits for the client to close its own.
    async fn linger(&self, most: Duration) {
        let _busy = self.host.client.begin();
        let mut budget = LINGER_BYTES;
        let rest = std::future::poll_fn(|cx| self.socket.poll_linger(&mut budget, cx));
        drop(tokio::time::timeout(most, rest).await);
    }
}

/// What an answer must know of its request.
#[derive(Debug, Clone, Copy)]
struct Asked {
    is_head: bool,
    version: Version,
    keep_alive: bool,
    trailers: bool,
}

fn ending(response: &Response<Body>, asked: Asked) -> Ending {
    let status = response.status();
    if asked.is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ending::Empty;
    }
    match response.body().length() {
        Some(length) => Ending::Length(length),
        None if asked.version == Version::HTTP_10 => Ending::Close,
        None => Ending::Chunked,
    }
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Body,
    /// All of it is in the buffer.
    Ended,
    /// It broke off: what is in the buffer goes out, and no end.
    Broken,
}

/// An answer that goes out.
struct Sending {
    out: Out,
    body: Body,
    ending: Ending,
    announced: Option<http::HeaderValue>,
    state: State,
}

impl Sending {
    /// Whether all of it has gone out.
    fn poll<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &Socket<I>,
        client: &Client,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<bool> {
        let stalled = |stalled| client.stalled(stalled);
        loop {
            if self.state != State::Body || !self.out.has_room() {
                match self.out.poll_flush(socket, stalled, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
                if self.state != State::Body {
                    return Poll::Ready(self.state == State::Ended);
                }
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                // What there is goes out while the rest is waited for.
                return match self.out.poll_flush(socket, stalled, cx) {
                    Poll::Ready(Err(_)) => Poll::Ready(false),
                    Poll::Ready(Ok(())) => {
                        self.out.release();
                        Poll::Pending
                    }
                    Poll::Pending => Poll::Pending,
                };
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.out.push_data(data, self.ending),
                    Err(frame) => self.end(frame.into_trailers().ok().as_ref()),
                },
                Some(Err(_)) => self.state = State::Broken,
                None => self.end(None),
            }
        }
    }

    fn end(&mut self, trailers: Option<&http::HeaderMap>) {
        if self.ending == Ending::Chunked {
            write::last_chunk(&mut self.out, trailers, self.announced.as_ref());
        }
        self.state = State::Ended;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use aqueduct_runtime::drain;
    use http::Request;

    use super::*;
    use crate::options::Limits;
    use crate::reject::Reject;

    /// Has a lot to remember while it answers.
    struct Heavy;

    impl Service<Incoming> for Heavy {
        async fn call(&self, _: Request<Incoming>) -> Response<Body> {
            let memory = [1u8; 8192];
            tokio::task::yield_now().await;
            Response::new(Body::full(memory.to_vec().into()))
        }

        fn refuse(&self, _: Request<()>, _: Reject) -> Response<Body> {
            Response::new(Body::empty())
        }
    }

    #[test]
    fn a_connection_needs_little_memory_between_requests() {
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        let (_handle, drain) = drain::channel();
        let (limits, times) = (Limits::default(), Timeouts::default());
        let host = Host { service: Heavy, client: &client, limits: &limits, times: &times, drain: &drain };
        let (stream, _client) = tokio::io::duplex(64);
        let task = size_of_val(&serve(stream, BytesMut::new(), host));
        let shared = size_of::<Socket<tokio::net::TcpStream>>();
        assert!(task < 2048 && shared < 512, "{task} bytes of a task, {shared} shared with the body");
    }
}
