//! What an upstream is told of the client, so that it can know that the gateway said it.
//!
//! `x-aqueduct-claims` is base64url (without padding) of a JSON object: `sub`, `by` (`jwt` or `api_key`), `claims`, the called
//! `method`, `time` in Unix seconds, and `request_id` if there is one. `x-aqueduct-claims-signature` is base64url of the HMAC-SHA256
//! of the former's text. A service compares the signature, the method with the one that is called, and the time with its clock.

use aqueduct_runtime::clock;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{HeaderName, HeaderValue};
use ring::hmac;
use serde_json::json;

use crate::auth::{By, Identity};
use crate::http2::Fields;
use crate::options::Secret;
use crate::stage::normalize::once;

const CLAIMS: HeaderName = HeaderName::from_static("x-aqueduct-claims");
const SIGNATURE: HeaderName = HeaderName::from_static("x-aqueduct-claims-signature");

/// Signs what upstreams are told.
#[derive(Debug)]
pub(crate) struct Signer(hmac::Key);

impl Signer {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// Writes both headers for a call of this method.
    pub(crate) fn write(
        &self,
        identity: &Identity,
        (method, request_id): (&str, Option<&HeaderValue>),
        headers: &mut Fields,
    ) {
        let mut said = json!({
            "sub": identity.subject,
            "by": match identity.by { By::ApiKey => "api_key", By::Jwt => "jwt" },
            "claims": identity.claims,
            "method": method,
            "time": clock::since_epoch().as_secs(),
        });
        if let Some(id) = request_id.and_then(|id| id.to_str().ok()) {
            said["request_id"] = id.into();
        }
        let said = URL_SAFE_NO_PAD.encode(said.to_string());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, said.as_bytes()));
        for (name, value) in [(CLAIMS, said), (SIGNATURE, signature)] {
            if let Ok(mut value) = HeaderValue::try_from(value) {
                once(&mut value);
                headers.insert(name, value);
            }
        }
    }
}
