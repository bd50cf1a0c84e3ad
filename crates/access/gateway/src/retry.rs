//! Whether a failed attempt is followed by another: only where that is safe, never past the deadline, and within a budget,
//! so that retries never multiply an outage.

use std::cell::Cell;
use std::time::Duration;

use aqueduct_runtime::rng;
use aqueduct_transcode::Code;
use tokio::time::Instant;

use crate::metrics::RetryMetrics;
use crate::options::{Options, Retries};
use crate::reject::Reject;
use crate::routes::MethodRoute;

/// The pause before the second attempt, doubled with each further one; of each, between a half and all is waited.
const BACKOFF: Duration = Duration::from_millis(25);
/// What a new budget holds, and the least that one may hold.
const BURST: f64 = 10.0;
/// A budget holds at most what this many seconds add to it.
const WINDOW: f64 = 10.0;

/// Why another attempt may help. The name is the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// There is no connection: nothing was sent.
    Connect,
    /// The server said that it has not touched the request.
    Refused,
    /// The connection was on its way out, and the server says that it has not touched the request.
    GoAway,
    /// The server, or what is in front of it, answered UNAVAILABLE; it may have done anything before.
    Unavailable,
}

impl Cause {
    pub(crate) const ALL: [Cause; 4] = [Cause::Connect, Cause::Refused, Cause::GoAway, Cause::Unavailable];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Cause::Connect => "connect",
            Cause::Refused => "refused",
            Cause::GoAway => "goaway",
            Cause::Unavailable => "unavailable",
        }
    }
}

/// What the configuration says of a method, as one worker needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    attempts: usize,
    /// What each request adds to the budget.
    share: f64,
    /// What a second adds to it.
    per_second: f64,
    /// Whether calling it twice is as good as once.
    idempotent: bool,
}

impl Policy {
    pub(crate) fn new(retries: &Retries, idempotent: bool, options: &Options) -> Self {
        let workers = u32::try_from(options.worker_count()).unwrap_or(u32::MAX);
        let per_second = f64::from(retries.min_per_second) / f64::from(workers.max(1));
        Self { attempts: retries.attempts, share: retries.budget, per_second, idempotent }
    }

    fn most(&self) -> f64 {
        (self.per_second * WINDOW).max(BURST)
    }
}

/// How many retries an upstream may get from one worker: a bucket to which each request adds a share of one, and each second
/// some. Routes to the same upstream share it, each adding by its own rule.
#[derive(Debug)]
pub(crate) struct Budget {
    tokens: Cell<f64>,
    since: Cell<Instant>,
    metrics: RetryMetrics,
}

impl Budget {
    pub(crate) fn new(metrics: RetryMetrics) -> Self {
        Self { tokens: Cell::new(BURST), since: Cell::new(Instant::now()), metrics }
    }

    fn add(&self, tokens: f64, most: f64) {
        let now = self.tokens.get();
        self.tokens.set((now + tokens).min(most).max(now));
    }

    fn take(&self, policy: &Policy) -> bool {
        let now = Instant::now();
        let passed = now - self.since.replace(now);
        self.add(passed.as_secs_f64() * policy.per_second, policy.most());
        let tokens = self.tokens.get();
        let enough = tokens >= 1.0;
        if enough {
            self.tokens.set(tokens - 1.0);
        } else {
            self.metrics.over_budget.inc();
        }
        enough
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    method: &'a MethodRoute,
    /// Whether the request may be made twice.
    idempotent: bool,
    deadline: Option<Instant>,
    made: usize,
}

impl<'a> Attempts<'a> {
    /// The first attempt. `safe` says that the request only reads, whatever is known of its method.
    pub(crate) fn begin(method: &'a MethodRoute, safe: bool, deadline: Option<Instant>) -> Self {
        let policy = &method.retries;
        method.upstream.budget.add(policy.share, policy.most());
        Self { method, idempotent: safe || policy.idempotent, deadline, made: 1 }
    }

    /// The pause before another attempt; `None` when there is none. `whole` says that all of the request is there to be sent
    /// once more; nothing has gone to the client.
    #[cold]
    pub(crate) fn another(&mut self, reject: &Reject, whole: bool) -> Option<Duration> {
        let unavailable = whole && self.idempotent && reject.code() == Code::Unavailable;
        let cause = reject.unprocessed_for().or(unavailable.then_some(Cause::Unavailable))?;
        let (policy, upstream) = (&self.method.retries, &self.method.upstream);
        if self.made >= policy.attempts {
            return None;
        }
        // Going elsewhere costs nobody anything when the server says so, or is not there, and there is one that was not asked.
        let free = match cause {
            Cause::GoAway => true,
            Cause::Connect => self.made < upstream.endpoints.len(),
            Cause::Refused | Cause::Unavailable => false,
        };
        let pause = if free { Duration::ZERO } else { backoff(self.made, rng::next()) };
        if self.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
            return None;
        }
        if !free && !upstream.budget.take(policy) {
            return None;
        }
        self.made += 1;
        upstream.budget.metrics.retry(cause);
        Some(pause)
    }
}

/// Between a half and all of the pause after so many attempts.
fn backoff(made: usize, random: u64) -> Duration {
    let doublings = u32::try_from(made - 1).unwrap_or(u32::MAX).min(10);
    let half = BACKOFF * (1 << doublings) / 2;
    let part = u32::try_from(random >> 32).unwrap_or(u32::MAX);
    half + half.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Families;
    use aqueduct_telemetry::metrics::Registry;

    fn policy(share: f64, per_second: f64) -> Policy {
        Policy { attempts: 3, share, per_second, idempotent: false }
    }

    fn budget() -> Budget {
        Budget::new(Families::register(&Registry::new()).retries("x"))
    }

    fn spend(budget: &Budget, policy: &Policy) -> usize {
        std::iter::repeat_with(|| budget.take(policy)).take_while(|taken| *taken).count()
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_requests_and_some_a_second() {
        let (budget, by_share) = (budget(), policy(0.25, 0.0));
        assert_eq!(spend(&budget, &by_share), 10, "what it begins with");
        for _ in 0..20 {
            budget.add(by_share.share, by_share.most());
        }
        assert_eq!(spend(&budget, &by_share), 5, "a quarter of the requests");
        for _ in 0..10_000 {
            budget.add(by_share.share, by_share.most());
        }
        assert_eq!(spend(&budget, &by_share), 10, "a quiet time is not saved up without end");
        let by_time = policy(0.0, 2.0);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(spend(&budget, &by_time), 6);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(spend(&budget, &by_time), 20, "what ten seconds add");
    }

    #[test]
    fn pauses_double_and_differ() {
        let of = |made, random| backoff(made, random).as_micros();
        assert_eq!((of(1, 0), of(1, u64::MAX)), (12_500, 25_000));
        assert_eq!((of(2, 0), of(2, u64::MAX)), (25_000, 50_000));
        assert_eq!(of(usize::MAX, u64::MAX), of(11, u64::MAX), "within bounds");
    }
}
