//! Who may call: API keys and JSON web tokens.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::header::{AUTHORIZATION, HeaderName};

use crate::auth::{KeySet, Source};
use crate::options::Options;
use crate::tls::Pem;

/// How clients prove who they are. Which routes ask for it is said at the routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// Keys that clients hold.
    pub api_keys: Option<ApiKeys>,
    /// Tokens that somebody else signs.
    pub jwt: Option<Jwt>,
    /// What upstreams are told of the client, signed; `None`: nothing.
    pub claims: Option<Claims>,
}

/// Whether a route wants to know who calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// It does not look.
    #[default]
    Off,
    /// Whoever shows nothing is nobody; what is shown must be good.
    Optional,
    /// Nobody is refused as well.
    Required,
}

/// Keys in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeys {
    /// Where they are: not [`AUTHORIZATION`], which has a scheme before its value. It does not go upstream.
    pub header: HeaderName,
    /// Those that are good.
    pub keys: Vec<ApiKey>,
}

/// A key, of which only the hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose it is: the subject upstream, and the key of rate limits by identity.
    pub id: String,
    digest: [u8; 32],
}

impl ApiKey {
    /// The key of this client.
    pub fn new(id: impl Into<String>, key: &[u8]) -> Self {
        Self { id: id.into(), digest: crate::auth::sha256(key) }
    }

    /// The key whose SHA-256 this is.
    pub fn of_digest(id: impl Into<String>, digest: [u8; 32]) -> Self {
        Self { id: id.into(), digest }
    }

    /// Compares every byte, whichever differ.
    pub(crate) fn is(&self, digest: &[u8; 32]) -> bool {
        self.digest.iter().zip(digest).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// JSON web tokens (RFC 7519) in `Authorization: Bearer`, signed with one of the keys of a set (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// One of these must be among a token's `aud`.
    pub audiences: Vec<String>,
    /// The key set.
    pub jwks: Jwks,
    /// The signatures that are accepted, such as `RS256`, `ES256`, `EdDSA`.
    pub algorithms: Vec<String>,
    /// How far the issuer's clock may be from ours. Default 30 s.
    pub clock_skew: Duration,
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jwks {
    /// Here.
    File {
        /// As it was read.
        bytes: Bytes,
        /// Read again when it changes.
        file: Option<PathBuf>,
    },
    /// At a URL, fetched in the background. Until the first time there are no keys.
    Url(JwksUrl),
}

/// A key set that is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksUrl {
    /// `https`, or `http` to a loopback address. Redirects are not followed.
    pub url: Uri,
    /// How often it is fetched again.
    pub every: Duration,
    /// Who may vouch for the server; `None`: whom the system trusts.
    pub ca: Option<Pem>,
}

impl Jwks {
    /// The largest key set.
    pub const MAX_BYTES: usize = 1 << 20;

    fn check(&self) -> Result<(), (&'static str, String)> {
        match self {
            Self::File { bytes, .. } => KeySet::read(bytes).map(drop).map_err(|error| ("file", error)),
            Self::Url(url) if url.every.is_zero() => Err(("every", "more than 0 is wanted here".into())),
            Self::Url(url) => Source::new(url).map(drop),
        }
    }
}

/// What of the client's claims goes upstream, and how it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The claims of a token that go on, besides its subject.
    pub names: Vec<String>,
    /// The key of the signature (HMAC-SHA256), which the services share.
    pub secret: Secret,
}

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Keeps them.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Options {
    pub(super) fn check_auth(&self, problem: &mut impl FnMut(String, String)) {
        let auth = &self.auth;
        let provided = auth.api_keys.is_some() || auth.jwt.is_some();
        for (index, route) in self.routes.iter().enumerate() {
            if route.auth != AuthMode::Off && !provided {
                let what = "nothing says how clients prove who they are: `auth.api_keys` or `auth.jwt`";
                problem(format!("routes[{index}].auth"), what.into());
            }
        }
        if let Some(keys) = &auth.api_keys {
            if keys.header == AUTHORIZATION {
                problem(
                    "auth.api_keys.header".into(),
                    "`authorization` is where tokens are; take another".into(),
                );
            }
            if keys.keys.is_empty() {
                problem("auth.api_keys.keys".into(), "name at least one { id, env }".into());
            }
            for (index, key) in keys.keys.iter().enumerate() {
                let mut before = keys.keys.iter().take(index);
                if before.any(|other| other.id == key.id || other.is(&key.digest)) {
                    problem(
                        format!("auth.api_keys.keys[{index}]"),
                        format!("`{}`, or its key, is there twice", key.id),
                    );
                }
            }
        }
        if let Some(jwt) = &auth.jwt {
            if jwt.audiences.is_empty() {
                problem(
                    "auth.jwt.audience".into(),
                    "name at least one: tokens for others must not do".into(),
                );
            }
            if jwt.algorithms.is_empty() {
                problem("auth.jwt.algorithms".into(), "name at least one, such as RS256".into());
            }
            if let Err((key, error)) = jwt.jwks.check() {
                problem(format!("auth.jwt.jwks.{key}"), error);
            }
        }
        if let Some(claims) = &auth.claims
            && claims.secret.0.len() < 32
        {
            problem("auth.claims.secret".into(), "at least 32 bytes, or it could be guessed".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let auth = Auth {
            api_keys: Some(ApiKeys {
                header: HeaderName::from_static("x-api-key"),
                keys: vec![ApiKey::new("mobile", b"hunter2")],
            }),
            claims: Some(Claims { names: vec![], secret: Secret::new(b"hunter2") }),
            ..Auth::default()
        };
        let shown = format!("{auth:?} {auth:#?}");
        assert!(shown.contains("mobile") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("104, 117") && !shown.contains("digest"), "{shown}");
    }
}
