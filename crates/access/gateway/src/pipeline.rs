//! The way of one request, from its head to the head of its answer. `docs/life-of-a-request.md` is its long form.

use std::pin::pin;
use std::rc::Rc;

use http::request::Parts;
use http::{Request, Response};
use tokio::time::Instant;

use crate::body::Body;
use crate::client::Client;
use crate::edge::Edge;
use crate::exchange::Exchange;
use crate::outgoing::{Fault, Outgoing};
use crate::reject::Reject;
use crate::retry::Attempts;
use crate::stage::forward::{Call, Payload, RequestBody};
use crate::stage::normalize::Outbound;
use crate::stage::route::Routed;
use crate::stage::transcode::{Asked, Form};
use crate::stage::{Stage, admit, deadline, forward, normalize, pick, route};
use crate::upstream::Upstream;
use crate::upstream::connection::Answer;
use crate::upstream::endpoint::Endpoint;

/// Answers a request. It never fails: a refusal is an answer too.
pub(crate) fn handle<B: RequestBody>(
    edge: &Rc<Edge>,
    client: &Rc<Client>,
    request: Request<B>,
) -> impl Future<Output = Response<Body>> {
    let (mut head, body) = request.into_parts();
    // The future has room for the head once: what an async function takes by value, it keeps twice.
    async move {
        let mut exchange = Exchange::begin(edge, client, &head);
        let result = {
            // Pinned where it is made, here and below: what is awaited by value is copied, kilobytes for each request.
            let carried = pin!(carry((edge, client), &mut head, body, &mut exchange));
            carried.await
        };
        exchange.respond(result)
    }
}

/// Answers a request that is refused before it is one: of its head there is as much as was understood.
pub(crate) fn refuse(
    edge: &Rc<Edge>,
    client: &Rc<Client>,
    request: Request<()>,
    reject: Reject,
) -> Response<Body> {
    Exchange::begin(edge, client, &request.into_parts().0).respond(Err(reject))
}

async fn carry<B: RequestBody>(
    (edge, client): (&Rc<Edge>, &Rc<Client>),
    head: &mut Parts,
    body: B,
    exchange: &mut Exchange,
) -> Result<Response<Body>, Reject> {
    exchange.dialect = route::dialect(head);

    let routes = edge.routes();
    let context = normalize::normalize(head, routes.options().paths)?;
    exchange.context = Some(context);

    exchange.enter(Stage::Route);
    let routed = route::route(edge, &routes, head, exchange.dialect)
        .inspect_err(|_| exchange.beside(route::beside(&routes, head), &head.headers))?;
    let (method, found) = match routed {
        Routed::Transcoded(method, found) => (method, Some(found)),
        Routed::Grpc(method) => (method, None),
        Routed::Answered(answer) => return Ok(answer),
    };
    exchange.routed(method, &head.headers)?;
    normalize::check_binary(&head.headers)?;

    let known = route::auth::authenticate((edge, &routes), method.route.auth, &head.headers);
    exchange.identity = known.as_ref().map_or(None, Option::clone);

    exchange.enter(Stage::Limit);
    exchange.limit(method, &head.headers, routes.options().rate_limit_headers)?;
    // Only now: whoever tries keys is charged for it.
    known?;

    exchange.enter(Stage::Deadline);
    let deadline =
        deadline::decide(&mut head.headers, exchange.started(), method.timeout, method.max_timeout)?;
    // Timers are no finer than a millisecond: what has passed already is said here.
    if deadline.is_some_and(|deadline| exchange.is_past(deadline)) {
        return Err(Reject::deadline(Stage::Deadline));
    }

    let done = {
        let work = pin!(async {
            let upstream = &method.upstream;
            let mut endpoint = place(upstream, None, exchange).await?;

            exchange.enter(Stage::Transcode);
            let compat = method.route.compat;
            let asked =
                found.as_ref().map(|found| Asked { edge, routes: &routes, found, head: &*head, compat });
            let form = asked.as_ref().map(Asked::form).transpose()?;
            let (mut payload, kind) = pin!(outgoing(asked.as_ref(), body, exchange)).await?;
            let fault = payload.fault();
            exchange.upload = fault.clone();

            let safe = found.as_ref().is_some_and(|found| found.binding.http_method() == "GET");
            let mut attempts = Attempts::begin(method, safe, deadline);
            loop {
                exchange.enter(Stage::Forward);
                exchange.endpoint = Some(Rc::clone(endpoint));
                // Made anew for each attempt: another one is rare, and keeping a copy would cost every request.
                let mut headers = normalize::outbound(&head.headers, kind, &context);
                exchange.introduce(&routes.compiled().auth, method, &head.headers, &mut headers);
                let call = Call { path: method.path.clone(), headers, deadline };
                let forwarded = pin!(forward::forward(endpoint, call, &mut payload)).await;
                let result = match forwarded {
                    Ok(answer) => {
                        pin!(rendered(answer, asked.as_ref().zip(form), (deadline, &fault), exchange)).await
                    }
                    Err(upstream) => Err(upstream),
                };
                let Err(reject) = result else { return result };
                let Some(pause) = attempts.another(&reject, payload.is_whole()) else {
                    return Err(fault.or(reject));
                };
                exchange.wait_out(pause).await;
                endpoint = place(upstream, Some(endpoint), exchange).await?;
            }
        });
        edge.closing.within(work, (deadline, &client.timer), method.streams).await
    };
    // Otherwise whatever was waiting is dropped, which resets the upstream's stream.
    done.unwrap_or_else(|cut| Err(cut.reject(exchange.stage())))
}

/// The endpoint that gets the next attempt, and a place for it among the upstream's requests.
async fn place<'u>(
    upstream: &'u Upstream,
    before: Option<&Rc<Endpoint>>,
    exchange: &mut Exchange,
) -> Result<&'u Rc<Endpoint>, Reject> {
    exchange.enter(Stage::Pick);
    let endpoint = match before {
        None => pick::pick(upstream)?,
        Some(before) => pick::another(upstream, before)?,
    };
    exchange.enter(Stage::Admit);
    exchange.permit = admit::admit(upstream).await?;
    Ok(endpoint)
}

/// The client's answer, from the upstream's.
async fn rendered(
    answer: Answer,
    asked: Option<(&Asked<'_>, Form)>,
    (deadline, fault): (Option<Instant>, &Fault),
    exchange: &mut Exchange,
) -> Result<Response<Body>, Reject> {
    if let Some((asked, form)) = asked {
        exchange.enter(Stage::Transcode);
        return asked.response(answer, form, (deadline, fault.clone())).await;
    }
    let (web, closing) = (exchange.dialect.web(), exchange.closing());
    forward::relay(answer, (deadline, fault.clone()), web, closing)
}

/// The messages of the call, and what it is made from.
async fn outgoing<B: RequestBody>(
    asked: Option<&Asked<'_>>,
    body: B,
    exchange: &mut Exchange,
) -> Result<(Payload<B>, Outbound), Reject> {
    if let Some(asked) = asked {
        let (payload, length) = asked.payload(body).await?;
        exchange.bytes_in = length as u64;
        return Ok((payload, Outbound::transcoded(asked.compat)));
    }
    Ok(match exchange.dialect.web() {
        Some(web) => (Payload::Stream(Outgoing::web(body, web)), Outbound::GrpcWeb),
        None => (Payload::Stream(Outgoing::grpc(body)), Outbound::Grpc),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is made, moved and read for each request: what is rarely needed (a dial, a wait, a stream) has a box of its own.
    #[test]
    fn the_future_of_a_request_stays_small() {
        type Inner = http_body_util::Empty<bytes::Bytes>;
        fn size<'e, F: Future>(_: fn(&'e Rc<Edge>, &'e Rc<Client>, Request<Inner>) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(handle::<Inner>);
        assert!(size <= 3 << 10, "{size} bytes");
    }
}
