//! `auth`: how clients prove who they are. Secrets come from the environment or a file, never from this one.

use std::path::Path;
use std::time::Duration;

use aqueduct_gateway::{ApiKey, ApiKeys, Auth, Claims, Jwks, JwksUrl, Jwt, Options, Secret};
use http::header::HeaderName;

use super::edge::beside;
use super::read_at_most;
use super::route::texts;
use super::tls::pem;
use super::value::{Fields, Value};

/// The largest file of a secret.
const MAX_SECRET: u64 = 64 << 10;
/// The longest skew of clocks.
const MAX_SKEW: Duration = Duration::from_hours(1);
/// How often a key set is fetched, unless told otherwise, and what can be told.
const REFRESH: Duration = Duration::from_mins(5);
const FASTEST_REFRESH: Duration = Duration::from_secs(1);
const SLOWEST_REFRESH: Duration = Duration::from_hours(24);

/// Reads `auth`.
pub(super) fn read(fields: &mut Fields<'_>, options: &mut Options, base: &Path) {
    let example =
        "{ jwt: { issuer: \"https://login.example\", audience: [shop], jwks: { file: keys.json } } }";
    let Some(mut section) = fields.get("auth").and_then(|value| value.fields(example)) else { return };
    let auth: &mut Auth = &mut options.auth;
    auth.api_keys = section.get("api_keys").and_then(|value| api_keys(&value, base));
    auth.jwt = section.get("jwt").and_then(|value| jwt(&value, base));
    auth.claims = section.get("claims").and_then(|value| claims(&value, base));
    section.finish();
}

fn api_keys(value: &Value<'_>, base: &Path) -> Option<ApiKeys> {
    let mut fields = value.fields("{ keys: [{ id: mobile, env: MOBILE_KEY }] }")?;
    let mut keys = ApiKeys { header: HeaderName::from_static("x-api-key"), keys: Vec::new() };
    fields.set("header", &mut keys.header, |value| {
        value.parsed(|text| text.parse().map_err(|_| format!("`{text}` is not a header name")))
    });
    if let Some(list) = fields.require("keys") {
        keys.keys =
            list.items("[{ id: mobile, env: MOBILE_KEY }]").iter().filter_map(|it| key(it, base)).collect();
    }
    fields.finish();
    Some(keys)
}

fn key(value: &Value<'_>, base: &Path) -> Option<ApiKey> {
    let mut fields = value.fields("{ id: mobile, env: MOBILE_KEY }")?;
    let id = fields.require("id").and_then(|value| value.text());
    let digest = fields.get("sha256");
    let told = digest.as_ref().map(|value| value.parsed(hex));
    let secret = secret(value, &mut fields, (base, told.is_none()));
    fields.finish();
    match told {
        Some(digest) => Some(ApiKey::of_digest(id?, digest?)),
        None => Some(ApiKey::new(id?, &secret?)),
    }
}

/// 64 hexadecimal digits.
fn hex(text: &str) -> Result<[u8; 32], String> {
    // What is written here might be the key itself: it is not repeated.
    let wrong = || "64 hexadecimal digits are wanted here, as `sha256sum` prints them".to_owned();
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut digest = [0; 32];
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(digest)
}

/// The secret of `{ env }` or `{ file }`, without a line end behind it.
pub(super) fn secret(
    value: &Value<'_>,
    fields: &mut Fields<'_>,
    (base, needed): (&Path, bool),
) -> Option<Vec<u8>> {
    let (env, file) = (fields.get("env"), fields.get("file"));
    let bytes = match (env, file) {
        (Some(env), None) if needed => {
            let name = env.text()?;
            let Ok(secret) = std::env::var(name) else {
                env.problem(format!("the environment has no variable `{name}`"));
                return None;
            };
            secret.into_bytes()
        }
        (None, Some(file)) if needed => whole(&file, base, MAX_SECRET)?,
        (None, None) if !needed => return None,
        _ => {
            value.problem("one of `env`, `file` or, for API keys, `sha256` tells the secret");
            return None;
        }
    };
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
    let bytes = bytes.get(..end).unwrap_or_default();
    if bytes.is_empty() {
        value.problem("the secret is empty");
        return None;
    }
    Some(bytes.to_vec())
}

fn whole(file: &Value<'_>, base: &Path, most: u64) -> Option<Vec<u8>> {
    let name = file.text()?;
    match read_at_most(&beside(base, name), most) {
        Ok(Some(bytes)) => Some(bytes),
        Ok(None) => {
            file.problem(format!("`{name}` is larger than {} KiB", most >> 10));
            None
        }
        Err(error) => {
            file.problem(format!("cannot read `{name}`: {error}"));
            None
        }
    }
}

fn jwt(value: &Value<'_>, base: &Path) -> Option<Jwt> {
    let mut fields =
        value.fields("{ issuer: \"https://login.example\", audience: [shop], jwks: { file: keys.json } }")?;
    let issuer = fields.require("issuer").and_then(|value| value.text());
    let audiences = fields.require("audience").map(|value| texts(&value, "[shop]"));
    let jwks = fields.require("jwks").and_then(|value| jwks(&value, base));
    let mut algorithms = vec!["RS256".to_owned(), "ES256".to_owned(), "EdDSA".to_owned()];
    fields.set("algorithms", &mut algorithms, |value| {
        Some(value.items("[RS256]").iter().filter_map(algorithm).collect())
    });
    let mut clock_skew = Duration::from_secs(30);
    fields.set("clock_skew", &mut clock_skew, |value| value.duration(Duration::ZERO..=MAX_SKEW));
    fields.finish();
    Some(Jwt { issuer: issuer?.to_owned(), audiences: audiences?, jwks: jwks?, algorithms, clock_skew })
}

fn algorithm(value: &Value<'_>) -> Option<String> {
    let names = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    value.one_of(&names.map(|name| (name, name))).map(str::to_owned)
}

/// `{ file }` or `{ url, every, ca }`.
fn jwks(value: &Value<'_>, base: &Path) -> Option<Jwks> {
    let mut fields = value.fields("{ file: keys.json }")?;
    let [file, url, every, ca] = ["file", "url", "every", "ca"].map(|name| fields.get(name));
    fields.finish();
    match (file, url) {
        (Some(file), None) => {
            for fetched in [every, ca].iter().flatten() {
                fetched
                    .problem("this is for keys that come from a `url`; a file is read again when it changes");
            }
            let bytes = whole(&file, base, Jwks::MAX_BYTES as u64)?;
            let path = beside(base, file.text()?);
            // What came out of a pipe does not come again.
            Some(Jwks::File { bytes: bytes.into(), file: path.is_file().then_some(path) })
        }
        (None, Some(url)) => {
            let ca = ca.map(|ca| pem(&ca, base));
            let every =
                every.map_or(Some(REFRESH), |every| every.duration(FASTEST_REFRESH..=SLOWEST_REFRESH));
            // The text is not repeated: somebody might have written a password in it.
            let url = url.parsed(|text| text.parse().map_err(|error| format!("this is not a URL: {error}")));
            Some(Jwks::Url(JwksUrl { url: url?, every: every?, ca }))
        }
        _ => {
            value.problem("one of `file` and `url` tells where the keys are");
            None
        }
    }
}

fn claims(value: &Value<'_>, base: &Path) -> Option<Claims> {
    let mut fields = value.fields("{ names: [scope], secret: { env: CLAIMS_SECRET } }")?;
    let mut names = Vec::new();
    fields.set("names", &mut names, |value| Some(texts(value, "[scope]")));
    let secret = fields.require("secret").and_then(|value| {
        let mut fields = value.fields("{ env: CLAIMS_SECRET }")?;
        let secret = secret(&value, &mut fields, (base, true));
        fields.finish();
        secret
    });
    fields.finish();
    Some(Claims { names, secret: Secret::new(&secret?) })
}
