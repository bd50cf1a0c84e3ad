//! Who may use a route. Health probes and CORS preflights have been answered before; browsers send no credentials with those.

use std::rc::Rc;

use aqueduct_transcode::Code;
use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderMap};

use crate::auth::{Authenticator, Identity, Reason, sha256};
use crate::edge::Edge;
use crate::options::AuthMode;
use crate::reject::Reject;
use crate::routes::Routes;
use crate::stage::Stage;

/// Who calls; `None` when the route does not ask, or leaves it to the client.
pub(crate) fn authenticate(
    (edge, routes): (&Edge, &Routes),
    mode: AuthMode,
    headers: &HeaderMap,
) -> Result<Option<Rc<Identity>>, Reject> {
    let auth = match mode {
        AuthMode::Off => return Ok(None),
        AuthMode::Optional | AuthMode::Required => &routes.compiled().auth,
    };
    match judge(auth, edge, headers) {
        Some(Ok(identity)) => Ok(Some(identity)),
        Some(Err(reason)) => Err(refuse(auth, reason)),
        None if mode == AuthMode::Optional => Ok(None),
        None => Err(refuse(auth, "missing")),
    }
}

/// `None` when nothing is shown.
fn judge(auth: &Authenticator, edge: &Edge, headers: &HeaderMap) -> Option<Result<Rc<Identity>, Reason>> {
    if let Some(keys) = &auth.options.api_keys
        && let Some(shown) = only(headers.get_all(&keys.header).iter())
    {
        let Ok(shown) = shown else { return Some(Err("malformed")) };
        let digest = sha256(shown.as_bytes());
        // All are compared, so that the time does not tell which came close.
        let found = keys.keys.iter().fold(None, |found, key| if key.is(&digest) { Some(key) } else { found });
        return Some(found.map(|key| Rc::new(Identity::of_key(&key.id))).ok_or("key"));
    }
    auth.options.jwt.as_ref()?;
    let Ok(shown) = only(headers.get_all(AUTHORIZATION).iter())? else { return Some(Err("malformed")) };
    // Another scheme is not for us.
    let token = bearer(shown.as_bytes())?;
    Some(auth.verify(token, &mut edge.tokens.borrow_mut()))
}

/// The value of a header; `Err` when there are several, of which others might believe another.
fn only<'a>(mut values: impl Iterator<Item = &'a HeaderValue>) -> Option<Result<&'a HeaderValue, ()>> {
    let first = values.next()?;
    Some(if values.next().is_some() { Err(()) } else { Ok(first) })
}

/// RFC 6750, section 2.1; schemes are compared without case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cold]
fn refuse(auth: &Authenticator, reason: Reason) -> Reject {
    let message = match reason {
        "missing" => "this route wants to know who calls, and no credentials were sent",
        "key" => "the API key is not known",
        "expired" => "the token has expired",
        "not_yet" => "the token is not valid yet",
        "audience" => "the token is for somebody else",
        "issuer" => "the token is from somebody else",
        "unknown_key" => "the token is signed with a key that is not known",
        "signature" => "the token's signature is wrong",
        _ => "the credentials cannot be read",
    };
    let mut reject = Reject::new(Stage::Route, reason, Code::Unauthenticated, message);
    if auth.options.jwt.is_some() {
        // RFC 6750, section 3: without credentials no error is named.
        reject = reject.with_challenge(match reason {
            "missing" | "key" => HeaderValue::from_static("Bearer"),
            _ => HeaderValue::from_static("Bearer error=\"invalid_token\""),
        });
    }
    if auth.options.api_keys.is_some() {
        reject = reject.with_challenge(HeaderValue::from_static("ApiKey"));
    }
    reject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_is_a_scheme_without_case() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bEARER  abc", Some("abc")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Basic abc", None),
            ("Bearerabc", None),
            ("", None),
        ] {
            assert_eq!(bearer(value.as_bytes()), token.map(str::as_bytes), "{value}");
        }
    }
}
