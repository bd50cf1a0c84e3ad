//! Who a client is: its API key or its token, verified, and what upstreams are told of it. `stage/route/auth.rs` asks.

mod cache;
mod claims;
mod fetch;
mod jwks;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::clock;
use aqueduct_runtime::file::Watched;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode_header};
use ring::digest;
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};

pub(crate) use cache::Tokens;
pub(crate) use claims::Signer;
pub(crate) use fetch::Source;
pub(crate) use jwks::KeySet;

use crate::options::{Auth, Jwks, JwksUrl};

/// Bytes of a token.
const LONGEST_TOKEN: usize = 16 << 10;

/// A client that has proved who it is.
#[derive(Debug)]
pub(crate) struct Identity {
    /// What it is counted under: `jwt:` or `key:` and the subject.
    pub(crate) name: Box<str>,
    pub(crate) by: By,
    pub(crate) subject: Box<str>,
    /// Those that go upstream.
    pub(crate) claims: Map<String, Value>,
}

/// How it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    ApiKey,
    Jwt,
}

impl Identity {
    pub(crate) fn of_key(id: &str) -> Self {
        let name = format!("key:{id}").into();
        Self { name, by: By::ApiKey, subject: id.into(), claims: Map::new() }
    }
}

/// What is wrong with a token: a metric label.
pub(crate) type Reason = &'static str;

/// What all workers need to judge clients.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) options: Auth,
    pub(crate) signer: Option<Signer>,
    validation: Validation,
    keys: watch::Sender<Arc<KeySet>>,
    /// Tells that a token names a key that is not in the set.
    wanted: Notify,
}

impl Authenticator {
    /// The options have been checked: a key set that cannot be read has no keys. One from a URL begins with the keys that
    /// were fetched `before`, or with none.
    pub(crate) fn new(options: &Auth, before: Option<&Self>) -> Self {
        jwks::use_ring();
        let mut validation = Validation::default();
        let mut keys = KeySet::default();
        if let Some(jwt) = &options.jwt {
            validation.algorithms = jwt.algorithms.iter().filter_map(|name| jwks::algorithm(name)).collect();
            validation.leeway = jwt.clock_skew.as_secs();
            validation.validate_nbf = true;
            validation.set_issuer(&[&jwt.issuer]);
            validation.set_audience(&jwt.audiences);
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            keys = match &jwt.jwks {
                Jwks::File { bytes, .. } => KeySet::read(bytes).unwrap_or_default(),
                Jwks::Url(url) => before.and_then(|before| before.fetched(url)).unwrap_or_default(),
            };
        }
        let signer = options.claims.as_ref().map(|claims| Signer::new(&claims.secret));
        let (options, keys) = (options.clone(), watch::Sender::new(Arc::new(keys)));
        Self { options, signer, validation, keys, wanted: Notify::new() }
    }

    /// The keys that were fetched from this URL.
    fn fetched(&self, from: &JwksUrl) -> Option<KeySet> {
        match &self.options.jwt.as_ref()?.jwks {
            Jwks::Url(known) if known.url == from.url => Some((**self.keys.borrow()).clone()),
            _ => None,
        }
    }

    /// Uses these keys from now on.
    fn replace(&self, keys: KeySet) {
        self.keys.send_if_modified(|old| {
            let new = **old != keys;
            if new {
                tracing::info!(keys = keys.len(), "the key set has changed");
                *old = Arc::new(keys);
            }
            new
        });
    }

    /// Who a token is of. What was verified before and has not expired is not verified again, as long as the keys are the same.
    pub(crate) fn verify(&self, token: &[u8], tokens: &mut Tokens) -> Result<Rc<Identity>, Reason> {
        if token.len() > LONGEST_TOKEN {
            return Err("malformed");
        }
        let keys = Arc::clone(&self.keys.borrow());
        let now = clock::since_epoch().as_secs();
        let digest = sha256(token);
        if let Some(known) = tokens.get(&digest, &keys, now) {
            return Ok(known);
        }
        let (identity, until) = self.verify_anew(token, &keys)?;
        let identity = Rc::new(identity);
        tokens.put(digest, &keys, (until, Rc::clone(&identity)));
        Ok(identity)
    }

    /// The client, and until when the token is good.
    fn verify_anew(&self, token: &[u8], keys: &KeySet) -> Result<(Identity, u64), Reason> {
        let header = decode_header(token).map_err(|_| "malformed")?;
        // What the header declares critical would have to be understood (RFC 7515, section 4.1.11); nothing is.
        if header.crit.is_some() || !self.validation.algorithms.contains(&header.alg) {
            return Err("malformed");
        }
        let Some(key) = keys.find(header.kid.as_deref(), header.alg) else {
            // Without any keys they are being fetched already.
            if header.kid.is_some() && keys.len() > 0 {
                self.wanted.notify_one();
            }
            return Err("unknown_key");
        };
        // The library wants all algorithms to be of the key's family.
        let validation = Validation { algorithms: vec![header.alg], ..self.validation.clone() };
        let data = jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation);
        let mut all = data.map_err(|error| reason(error.kind()))?.claims;
        let subject =
            all.get("sub").and_then(Value::as_str).filter(|it| !it.is_empty()).ok_or("malformed")?;
        let (name, subject) = (format!("jwt:{subject}").into(), subject.into());
        let expires = all.get("exp").and_then(Value::as_f64).ok_or("malformed")?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, as wanted"
        )]
        let until = (expires as u64).saturating_add(self.validation.leeway);
        let wanted = self.options.claims.iter().flat_map(|claims| &claims.names);
        let claims = wanted.filter_map(|name| all.remove_entry(name)).collect();
        Ok((Identity { name, by: By::Jwt, subject, claims }, until))
    }
}

fn reason(kind: &ErrorKind) -> Reason {
    match kind {
        ErrorKind::ExpiredSignature => "expired",
        ErrorKind::ImmatureSignature => "not_yet",
        ErrorKind::InvalidAudience => "audience",
        ErrorKind::InvalidIssuer => "issuer",
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => "audience",
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => "issuer",
        ErrorKind::InvalidSignature => "signature",
        _ => "malformed",
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    // A SHA-256 is always that long.
    digest.as_ref().try_into().unwrap_or([0; 32])
}

/// What is wrong with the key set, told once.
#[derive(Debug, Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn tell(&mut self, error: String) {
        if self.0.as_ref() != Some(&error) {
            tracing::warn!(%error, "the key set cannot be read; the one before stays");
            self.0 = Some(error);
        }
    }
}

/// Keeps the key set up to date. What is no key set changes nothing.
pub(crate) async fn follow(auth: Arc<Authenticator>, poll: Duration) {
    match auth.options.jwt.as_ref().map(|jwt| &jwt.jwks) {
        Some(Jwks::File { file: Some(path), .. }) => follow_file(&auth, path, poll).await,
        Some(Jwks::Url(url)) => fetch::follow(&auth, url, poll).await,
        _ => {}
    }
}

/// Reads the key set again when its file changes.
async fn follow_file(auth: &Authenticator, path: &Path, poll: Duration) {
    let mut file = Watched::new(path.to_owned(), Jwks::MAX_BYTES as u64);
    let mut trouble = Trouble::default();
    loop {
        tokio::time::sleep(poll).await;
        let look = move || {
            let found = file.look();
            (file, found)
        };
        // The runtime ends.
        let Ok((looked, found)) = tokio::task::spawn_blocking(look).await else { return };
        file = looked;
        let read = match found {
            Ok(None) => continue,
            Ok(Some(bytes)) => KeySet::read(&bytes),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(keys) => {
                auth.replace(keys);
                trouble = Trouble::default();
            }
            Err(error) => trouble.tell(error),
        }
    }
}
