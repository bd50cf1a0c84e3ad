//! Rate limits: what may be counted, and how often it may come.

use std::time::Duration;

use aqueduct_limit::{Rate, RateError};
use aqueduct_transcode::Schema;
use http::header::HeaderName;

use crate::options::Options;

/// How often what shares a key may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name in the metrics and the log.
    pub name: String,
    /// What is counted apart.
    pub key: LimitKey,
    /// This many in each period on average.
    pub count: u64,
    /// The period.
    pub period: Duration,
    /// This many at once. Default: the count.
    pub burst: u64,
    /// Only counts what it would refuse.
    pub shadow: bool,
    /// Services (`shop.v1.OrderService`) and methods (`shop.v1.OrderService/GetOrder`) that it holds for; empty: all.
    pub routes: Vec<String>,
    /// Keys that are told apart at a time; 33 bytes each. More share words, which only makes it narrower for them. Default 65,536.
    pub keys: usize,
}

/// What a rate limit counts apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// Nothing: one limit for all.
    Global,
    /// Each gRPC method.
    Route,
    /// Each client address; of IPv6 each /64.
    Address,
    /// Each client that has proved who it is, by its subject or the id of its key; others by their address.
    Identity,
    /// Each value of this header; requests without it by their address.
    Header(HeaderName),
}

impl RateLimit {
    /// The most keys that are told apart.
    pub const MAX_KEYS: usize = 1 << 24;

    /// A limit on everything, with the defaults.
    pub fn new(name: impl Into<String>, key: LimitKey, count: u64, period: Duration) -> Self {
        Self {
            name: name.into(),
            key,
            count,
            period,
            burst: count,
            shadow: false,
            routes: Vec::new(),
            keys: 65_536,
        }
    }

    pub(crate) fn compile(&self) -> Result<Rate, RateError> {
        Rate::new(self.count, self.period, self.burst)
    }

    /// Whether what one has counted is what the other would have.
    pub(crate) fn counts_alike(&self, other: &Self) -> bool {
        let what = |limit: &Self| (limit.count, limit.period, limit.burst, limit.keys);
        self.name == other.name && self.key == other.key && what(self) == what(other)
    }

    /// Whether it holds for a method of a service, such as `shop.v1.OrderService/GetOrder`.
    pub(crate) fn holds_for(&self, method: &str) -> bool {
        let service = method.split('/').next();
        self.routes.is_empty() || self.routes.iter().any(|route| route == method || Some(&**route) == service)
    }
}

impl Options {
    pub(super) fn check_rate_limits(
        &self,
        schema: Option<&Schema>,
        problem: &mut impl FnMut(String, String),
    ) {
        for (index, limit) in self.rate_limits.iter().enumerate() {
            let mut problem = |key: &str, message| problem(format!("rate_limits[{index}].{key}"), message);
            if limit.name.is_empty() {
                problem("name", "must not be empty: the metrics tell limits apart by it".into());
            } else if self.rate_limits.iter().take(index).any(|other| other.name == limit.name) {
                problem("name", format!("`{}` is there twice", limit.name));
            }
            match limit.compile() {
                Ok(_) => {}
                Err(error @ (RateError::NoBurst | RateError::TooLong)) => problem("burst", error.to_string()),
                Err(error @ (RateError::Zero | RateError::TooFast)) => problem("rate", error.to_string()),
            }
            if limit.keys == 0 || limit.keys > RateLimit::MAX_KEYS {
                problem("keys", format!("from 1 to {}", RateLimit::MAX_KEYS));
            }
            for (at, route) in limit.routes.iter().enumerate() {
                if let Some(message) = self.not_routed(route, schema) {
                    problem(&format!("routes[{at}]"), message);
                }
            }
        }
    }

    /// Why nothing is routed under this name of a service or method.
    fn not_routed(&self, name: &str, schema: Option<&Schema>) -> Option<String> {
        let (service, method) = name.split_once('/').map_or((name, None), |(a, b)| (a, Some(b)));
        if !self.routes.iter().any(|route| route.service == service) {
            let known: Vec<_> = self.routes.iter().map(|route| route.service.as_str()).collect();
            return Some(format!("no route has the service `{service}`; there are: {}", known.join(", ")));
        }
        // What an upstream has yet to tell cannot be judged.
        let found = schema?.service(service)?;
        let mut names =
            found.methods().iter().map(|it| it.grpc_path().rsplit('/').next().unwrap_or_default());
        let method = method.filter(|method| !names.any(|name| name == *method))?;
        Some(format!("the service `{service}` has no method `{method}`"))
    }
}
