//! CORS (WHATWG Fetch, "CORS protocol"): which other sites' pages may call a route and read what it answers. Without it a browser
//! lets them read nothing, and asks before it sends what a form could not have sent.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use crate::body::Body;

/// What scripts may always read of an answer: what gRPC and the gateway say in headers.
const EXPOSED: &str = "grpc-status, grpc-message, grpc-status-details-bin, retry-after, x-aqueduct-stale";

/// Which pages may call a route, and what they may send and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins as browsers send them (`https://shop.example`), with all subdomains (`https://*.shop.example`), or `*` for any.
    pub origins: Vec<String>,
    /// Request headers that pages may set. Empty: those they ask for.
    pub headers: Vec<String>,
    /// Answer headers that scripts may read, besides those of gRPC.
    pub expose: Vec<String>,
    /// Whether cookies and `Authorization` may be sent along; then `*` is no origin.
    pub credentials: bool,
    /// How long browsers may remember a preflight's answer.
    pub max_age: Duration,
}

impl Default for Cors {
    /// No origin; 10 minutes.
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            headers: Vec::new(),
            expose: Vec::new(),
            credentials: false,
            max_age: Duration::from_mins(10),
        }
    }
}

impl Cors {
    /// What is wrong with it: which value, and why.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.origins.is_empty() {
            problems.push(("origins".into(), "name at least one, such as https://shop.example".into()));
        }
        for (index, origin) in self.origins.iter().enumerate() {
            if origin == "*" && self.credentials {
                let what = "`*` and credentials would let every site act for its visitors; name the origins";
                problems.push((format!("origins[{index}]"), what.into()));
            } else if origin != "*" && !is_origin(origin) {
                let what = format!(
                    "`{origin}` is not an origin, such as https://shop.example or https://*.shop.example"
                );
                problems.push((format!("origins[{index}]"), what));
            }
        }
        for (list, names) in [("headers", &self.headers), ("expose", &self.expose)] {
            for (index, name) in names.iter().enumerate() {
                if HeaderName::try_from(name.as_str()).is_err() {
                    problems.push((format!("{list}[{index}]"), format!("`{name}` is not a header name")));
                }
            }
        }
        problems
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| match allowed.split_once('*') {
            None => allowed.as_bytes() == origin,
            Some(("", "")) => true,
            // `https://*.shop.example`: something without a slash before the dot.
            Some((scheme, domain)) => origin
                .strip_prefix(scheme.as_bytes())
                .and_then(|rest| rest.strip_suffix(domain.as_bytes()))
                .is_some_and(|label| {
                    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
                    !label.is_empty() && label.iter().all(good)
                }),
        })
    }

    /// Tells the browser whether the page at `origin` may read the answer.
    pub(crate) fn grant(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        // What the upstream says of this does not count.
        for name in
            [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS]
        {
            headers.remove(name);
        }
        let any = !self.credentials && self.origins.iter().any(|origin| origin == "*");
        if !any {
            // A cache must not give one site's answer to another.
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin.filter(|origin| self.allows(origin.as_bytes())) else { return };
        let allowed = if any { HeaderValue::from_static("*") } else { origin.clone() };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let exposed = [&[EXPOSED.to_owned()], self.expose.as_slice()].concat().join(", ");
        if let Ok(exposed) = HeaderValue::from_str(&exposed) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    /// The answer to a preflight, which asked for `method`. Without the grant in it, the browser does not send the request.
    pub(crate) fn preflight(&self, head: &Parts, method: &Method) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.grant(head.headers.get(ORIGIN), headers);
        if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return response;
        }
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let asked = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let allowed = if self.headers.is_empty() { asked } else { text(&self.headers.join(", ")) };
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, text(method.as_str())),
            (ACCESS_CONTROL_ALLOW_HEADERS, allowed),
            (ACCESS_CONTROL_MAX_AGE, Some(HeaderValue::from(self.max_age.as_secs()))),
        ] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The method that a preflight asks for; `None` when the request is none.
pub(crate) fn preflight_method(head: &Parts) -> Option<Method> {
    if head.method != Method::OPTIONS || !head.headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// `scheme://host[:port]`, where the host may begin with `*.`.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let host = host.strip_prefix("*.").unwrap_or(host);
    !host.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'+' | b'-' | b'.'))
        && !scheme.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/*?#@ABCDEFGHIJKLMNOPQRSTUVWXYZ".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        Cors { origins: origins.iter().map(|&origin| origin.to_owned()).collect(), ..Cors::default() }
    }

    #[test]
    fn origins_are_compared_exactly_or_by_subdomain() {
        let check = |allowed: &str, origin: &str, expect| {
            assert_eq!(cors(&[allowed]).allows(origin.as_bytes()), expect, "{origin} by {allowed}");
        };
        check("https://a.example", "https://a.example", true);
        check("https://a.example", "http://a.example", false);
        check("https://a.example", "https://a.example.evil", false);
        check("https://*.example", "https://a.b.example", true);
        check("https://*.example", "https://example", false);
        check("https://*.example", "https://.example", false);
        check("https://*.example", "https://evil/x.example", false);
        check("https://*.example", "https://aexample", false);
        check("*", "null", true);
    }

    #[test]
    fn a_grant_names_the_origin_unless_any_will_do() {
        let granted = |cors: &Cors, origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("the upstream's"));
            cors.grant(Some(&HeaderValue::from_static(origin)), &mut headers);
            let get = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
            (get(ACCESS_CONTROL_ALLOW_ORIGIN), get(VARY), get(ACCESS_CONTROL_ALLOW_CREDENTIALS))
        };
        let text = |text: &str| Some(text.to_owned());
        let one = cors(&["https://a.example"]);
        assert_eq!(granted(&one, "https://a.example"), (text("https://a.example"), text("origin"), None));
        assert_eq!(granted(&one, "https://b.example"), (None, text("origin"), None));
        assert_eq!(granted(&cors(&["*"]), "https://b.example"), (text("*"), None, None));
        let with = Cors { credentials: true, ..one };
        let expect = (text("https://a.example"), text("origin"), text("true"));
        assert_eq!(granted(&with, "https://a.example"), expect);
    }

    #[test]
    fn nonsense_is_named() {
        let check = |cors: Cors, expect: &[&str]| {
            let paths: Vec<_> = cors.problems().into_iter().map(|(path, _)| path).collect();
            assert_eq!(paths, expect);
        };
        check(cors(&[]), &["origins"]);
        check(cors(&["*", "https://a.example:8443", "http://*.a.example", "app://x"]), &[]);
        check(
            cors(&["a.example", "https://a.example/", "https://a*.example", "https://A.example"]),
            &["origins[0]", "origins[1]", "origins[2]", "origins[3]"],
        );
        check(Cors { credentials: true, ..cors(&["*"]) }, &["origins[0]"]);
        check(Cors { headers: vec!["a b".into()], ..cors(&["*"]) }, &["headers[0]"]);
    }
}
