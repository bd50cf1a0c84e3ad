//! `limit`: whether the client, or everybody together, has asked too often. Each limit is a table of `aqueduct-limit`, which
//! all workers share.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_limit::{Decision, Limiter};
use aqueduct_transcode::Code;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::auth::Identity;
use crate::metrics::LimitMetrics;
use crate::options::{LimitKey, RateLimit};
use crate::reject::Reject;
use crate::stage::Stage;
use crate::stage::normalize::once;

/// The three fields of draft-ietf-httpapi-ratelimit-headers up to version 07, which clients and other gateways know; the
/// structured field of the later versions has changed with each of them.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A limit with its table.
#[derive(Debug)]
pub(crate) struct Table {
    options: RateLimit,
    words: Arc<Words>,
}

/// Who has asked how often.
#[derive(Debug)]
struct Words {
    limiter: Limiter,
    /// What the limiter's time counts from.
    origin: Instant,
}

impl Table {
    /// The tables of these limits. A limit that `old` has too, however it is applied, goes on with what it has counted.
    pub(crate) fn all(limits: &[RateLimit], old: &[Arc<Table>]) -> Vec<Arc<Table>> {
        let words = |options: &RateLimit| {
            if let Some(kept) = old.iter().find(|table| table.options.counts_alike(options)) {
                return Some(Arc::clone(&kept.words));
            }
            // Wrong rates do not get this far: the options have been checked.
            let limiter = Limiter::new(options.compile().ok()?, options.keys);
            Some(Arc::new(Words { limiter, origin: Instant::now() }))
        };
        let table =
            |options: &RateLimit| Some(Arc::new(Table { options: options.clone(), words: words(options)? }));
        limits.iter().filter_map(table).collect()
    }

    pub(crate) fn options(&self) -> &RateLimit {
        &self.options
    }

    fn check(&self, key: &[u8], now: Instant) -> Decision {
        let nanos = now.saturating_duration_since(self.words.origin).as_nanos();
        self.words.limiter.check(key, u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A limit as one worker applies it.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) table: Arc<Table>,
    pub(crate) metrics: LimitMetrics,
}

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) address: IpAddr,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) identity: Option<&'a Identity>,
    /// Who its certificate says it is.
    pub(crate) certificate: Option<&'a HeaderValue>,
    /// The gRPC method, `shop.v1.OrderService/GetOrder`.
    pub(crate) method: &'a str,
}

/// What the client is told of the limit that it is closest to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    limit: u64,
    remaining: u64,
    reset: u64,
}

/// Charges every limit in turn. What a later one refuses has been charged to the earlier ones; so the narrowest should be first.
pub(crate) fn limit(
    limits: &[Rc<Limit>],
    asking: Asking<'_>,
    now: Instant,
) -> Result<Option<Budget>, (Reject, Budget)> {
    let mut closest: Option<Budget> = None;
    for Limit { table, metrics } in limits.iter().map(Rc::as_ref) {
        let decision = table.check(&key(&table.options.key, asking), now);
        if !decision.resident {
            metrics.overflow.inc();
        }
        match (decision.allowed, table.options.shadow) {
            (true, _) => metrics.admitted.inc(),
            (false, true) => metrics.shadow.inc(),
            (false, false) => {
                metrics.refused.inc();
                return Err((refusal(&table.options.name, &decision), Budget::of(&decision)));
            }
        }
        let budget = Budget::of(&decision);
        // Nobody is told of a limit that does not hold.
        if !table.options.shadow && closest.is_none_or(|other| budget.remaining < other.remaining) {
            closest = Some(budget);
        }
    }
    Ok(closest)
}

impl Budget {
    fn of(decision: &Decision) -> Self {
        Self {
            limit: decision.limit,
            remaining: decision.remaining,
            reset: whole_seconds(decision.reset_after),
        }
    }

    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, number(self.limit));
        let mut remaining = digits(self.remaining);
        once(&mut remaining);
        headers.insert(REMAINING, remaining);
        headers.insert(RESET, number(self.reset));
    }
}

/// A number that is told again and again, as limits are, and the seconds until they are whole again: kept for the next answer.
fn number(number: u64) -> HeaderValue {
    const KEPT: usize = 16;
    type Told = [Option<(u64, HeaderValue)>; KEPT];
    thread_local! {
        static TOLD: RefCell<Told> = const { RefCell::new([const { None }; KEPT]) };
    }
    let place = usize::try_from(number % KEPT as u64).unwrap_or_default();
    TOLD.with_borrow_mut(|told| match told.get_mut(place) {
        Some(Some((kept, text))) if *kept == number => text.clone(),
        Some(empty) => empty.insert((number, digits(number))).1.clone(),
        None => digits(number),
    })
}

fn digits(number: u64) -> HeaderValue {
    let text = HeaderValue::from_str(itoa::Buffer::new().format(number));
    text.unwrap_or(HeaderValue::from_static("0"))
}

#[cold]
fn refusal(name: &str, decision: &Decision) -> Reject {
    let seconds = whole_seconds(decision.retry_after).max(1);
    let message = format!("too many requests: the next is admitted in {seconds} s");
    Reject::new(Stage::Limit, "rate", Code::ResourceExhausted, message)
        .with_inside(format!("the rate limit `{name}` is reached"))
        .with_retry_after(u16::try_from(seconds).unwrap_or(u16::MAX))
}

/// Rounded up: whoever waits that long has waited long enough.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// What is counted.
enum Key<'a> {
    Told(&'a [u8]),
    Address([u8; 10]),
    Made(Vec<u8>),
}

impl Deref for Key<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Key::Told(text) => text,
            Key::Address(address) => address,
            Key::Made(text) => text,
        }
    }
}

/// What a request is counted under. A request without the header is counted by its address, so that to leave it out
/// gains nothing.
fn key<'a>(key: &LimitKey, asking: Asking<'a>) -> Key<'a> {
    let by_address = || Key::Address(address(asking.address));
    match key {
        LimitKey::Global => Key::Told(b""),
        LimitKey::Route => Key::Told(asking.method.as_bytes()),
        LimitKey::Address => by_address(),
        LimitKey::Identity => match (asking.identity, asking.certificate) {
            (Some(identity), _) => Key::Told(identity.name.as_bytes()),
            (None, Some(certificate)) => Key::Made([b"cert:", certificate.as_bytes()].concat()),
            (None, None) => by_address(),
        },
        LimitKey::Header(name) => match asking.headers.get(name) {
            Some(value) => Key::Told(value.as_bytes()),
            None => by_address(),
        },
    }
}

/// An address as a key that no header's value can be, since none has a zero byte: IPv4 whole, of IPv6 the /64, which is what
/// one client is given.
fn address(address: IpAddr) -> [u8; 10] {
    let mut key = [0; 10];
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            key[1] = 4;
            key[2..6].copy_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            key[1] = 6;
            key[2..].copy_from_slice(&v6.octets()[..8]);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Families;
    use aqueduct_telemetry::metrics::{Format, Registry};

    fn by(key: LimitKey, burst: u64) -> RateLimit {
        RateLimit { burst, keys: 64, ..RateLimit::new("x", key, 1, Duration::from_secs(1)) }
    }

    fn limits(options: &[RateLimit]) -> (Vec<Rc<Limit>>, Registry) {
        let registry = Registry::new();
        let families = Families::register(&registry);
        let tables = Table::all(options, &[]).into_iter();
        let limits = tables.map(|table| Rc::new(Limit { table, metrics: families.limit("x") }));
        (limits.collect(), registry)
    }

    fn keyed(of: &LimitKey, ip: &str, header: Option<&'static str>) -> Vec<u8> {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert("x-api-key", HeaderValue::from_static(value));
        }
        let asking = Asking {
            address: ip.parse().unwrap(),
            headers: &headers,
            identity: None,
            certificate: None,
            method: "a.B/C",
        };
        key(of, asking).to_vec()
    }

    #[test]
    fn clients_are_told_apart_by_address_and_by_the_64_of_ipv6() {
        let check = |one: &str, other: &str, same: bool| {
            let key = |ip| keyed(&LimitKey::Address, ip, None);
            assert_eq!(key(one) == key(other), same, "{one} and {other}");
        };
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8:1:2::3", "2001:db8:1:2:ffff::4", true);
        check("2001:db8:1:2::3", "2001:db8:1:3::3", false);
        check("::1", "0.0.0.0", false);
    }

    #[test]
    fn a_certificate_is_an_identity_that_nobody_else_has() {
        let (headers, name) = (HeaderMap::new(), HeaderValue::from_static("spiffe://shop/cart"));
        let address = IpAddr::from([192, 0, 2, 1]);
        let asking =
            Asking { address, headers: &headers, identity: None, certificate: Some(&name), method: "m" };
        assert_eq!(*key(&LimitKey::Identity, asking), *b"cert:spiffe://shop/cart");
        assert_eq!(keyed(&LimitKey::Identity, "::1", None), keyed(&LimitKey::Address, "::1", None));
    }

    #[test]
    fn a_missing_header_is_no_way_out() {
        let header = LimitKey::Header(HeaderName::from_static("x-api-key"));
        assert_eq!(keyed(&header, "::1", Some("k")), b"k");
        assert_eq!(keyed(&header, "::1", None), keyed(&LimitKey::Address, "::1", None));
        assert_eq!(keyed(&LimitKey::Route, "::1", None), b"a.B/C");
    }

    #[tokio::test(start_paused = true)]
    async fn the_closest_limit_is_told_and_a_shadow_is_not() {
        let shadow = RateLimit { shadow: true, ..by(LimitKey::Global, 1) };
        let (limits, registry) = limits(&[by(LimitKey::Global, 5), by(LimitKey::Address, 3), shadow]);
        let headers = HeaderMap::new();
        let asking = Asking {
            address: IpAddr::from([192, 0, 2, 1]),
            headers: &headers,
            identity: None,
            certificate: None,
            method: "m",
        };
        for left in [2, 1, 0] {
            let budget = limit(&limits, asking, Instant::now()).unwrap().unwrap();
            assert_eq!((budget.limit, budget.remaining, budget.reset), (3, left, 3 - left));
        }
        let (reject, budget) = limit(&limits, asking, Instant::now()).unwrap_err();
        assert_eq!((reject.code(), budget.remaining), (Code::ResourceExhausted, 0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(limit(&limits, asking, Instant::now()).is_ok());
        let page = registry.encode(Format::Text);
        for (result, count) in [("admitted", 11), ("refused", 1), ("shadow", 2), ("overflow", 0)] {
            let line =
                format!("aqueduct_gateway_limit_decisions_total{{limit=\"x\",result=\"{result}\"}} {count}");
            assert!(page.contains(&line), "{line}\n{page}");
        }
    }

    #[test]
    fn what_was_counted_is_kept_as_long_as_its_limit_is_the_same() {
        let old = Table::all(&[by(LimitKey::Global, 5), by(LimitKey::Address, 5)], &[]);
        let shadow = RateLimit { shadow: true, ..by(LimitKey::Address, 5) };
        let new = Table::all(&[shadow, by(LimitKey::Global, 6)], &old);
        assert!(Arc::ptr_eq(&new[0].words, &old[1].words) && new[0].options.shadow);
        assert!(!Arc::ptr_eq(&new[1].words, &old[0].words), "another burst is another limit");
    }
}
