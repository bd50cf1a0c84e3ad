//! Who may call: API keys, tokens, and what upstreams are told.

use std::time::Duration;

use aqueduct_gateway::{
    ApiKey, ApiKeys, Auth, AuthMode, Claims, Compat, Cors, Jwks, Jwt, LimitKey, Options, RateLimit, Secret,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use serde_json::{Value, json};

use crate::backend::{frame, message};
use crate::grpc;
use crate::setup::Setup;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// An issuer with a key of each kind.
pub(crate) struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    random: SystemRandom,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let curve = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let ec = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
        Self {
            // Made for this test with `openssl genrsa`; it opens nothing.
            rsa: RsaKeyPair::from_der(include_bytes!("rsa.der")).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(curve, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref())
                .unwrap(),
            random,
        }
    }

    pub(crate) fn jwks(&self) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let rsa = signature::RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let (x, y) = self.ec.public_key().as_ref()[1..].split_at(32);
        json!({ "keys": [
            { "kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig",
              "n": text(&rsa.n),
              "e": text(&rsa.e) },
            { "kty": "EC", "kid": "e", "crv": "P-256", "x": text(x), "y": text(y) },
            { "kty": "OKP", "kid": "d", "crv": "Ed25519", "x": text(self.ed.public_key().as_ref()) },
        ]})
        .to_string()
    }

    fn sign(&self, algorithm: &str, input: &[u8]) -> Vec<u8> {
        match algorithm {
            "RS256" => {
                let mut signed = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&signature::RSA_PKCS1_SHA256, &self.random, input, &mut signed).unwrap();
                signed
            }
            "ES256" => self.ec.sign(&self.random, input).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(input).as_ref().to_vec(),
            // What must not be accepted: a public key as a shared secret, and no signature at all.
            "HS256" => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                ring::hmac::sign(&key, input).as_ref().to_vec()
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", text(header), text(claims));
        let signed = self.sign(header["alg"].as_str().unwrap(), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signed))
    }

    /// A good token with these claims instead.
    pub(crate) fn with(&self, changes: &Value) -> String {
        self.token(&json!({ "alg": "EdDSA", "kid": "d" }), &claims(changes))
    }
}

fn now() -> u64 {
    aqueduct_runtime::clock::since_epoch().as_secs()
}

pub(crate) fn claims(changes: &Value) -> Value {
    let mut claims = json!({ "iss": "https://login.example", "aud": "shop", "sub": "u1", "exp": now() + 600, "scope": "a b", "other": 1 });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

pub(crate) fn jwt(issuer: &Issuer) -> Jwt {
    Jwt {
        issuer: "https://login.example".into(),
        audiences: vec!["shop".into()],
        jwks: Jwks::File { bytes: issuer.jwks().into(), file: None },
        algorithms: ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec(),
        clock_skew: Duration::from_secs(30),
    }
}

fn api_keys() -> ApiKeys {
    ApiKeys {
        header: "x-api-key".parse().unwrap(),
        keys: vec![ApiKey::new("mobile", b"m-secret"), ApiKey::new("web", b"w-secret")],
    }
}

pub(crate) fn with(auth: Auth, change: impl FnOnce(&mut Options)) -> Setup {
    Setup::with(|options| {
        options.auth = auth;
        options.routes[0].auth = AuthMode::Required;
        change(options);
    })
}

pub(crate) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

pub(crate) fn refused(setup: &Setup, reason: &str) -> u64 {
    setup.metric(&format!("aqueduct_gateway_rejects_total{{stage=\"route\",reason=\"{reason}\"}}"))
}

#[test]
fn an_api_key_opens_and_does_not_go_upstream() {
    let setup = with(Auth { api_keys: Some(api_keys()), ..Auth::default() }, |_| {});
    let mut client = setup.connect();
    for (headers, status, reason) in [
        ("x-api-key: m-secret\r\n", 200, ""),
        ("x-api-key: w-secret\r\n", 200, ""),
        ("", 401, "missing"),
        ("x-api-key: m-secre\r\n", 401, "key"),
        ("x-api-key: m-secret\r\nx-api-key: w-secret\r\n", 401, "malformed"),
    ] {
        let before = refused(&setup, reason);
        let answer = client.get("/v1/say/hi", headers);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.body);
        assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("ApiKey"));
        assert_eq!(refused(&setup, reason), before + u64::from(status == 401), "{headers:?}");
        assert!(!answer.body.contains("secre"), "{}", answer.body);
    }
    assert!(setup.backend.seen.headers.lock().unwrap().iter().all(|seen| !seen.contains_key("x-api-key")));
    assert_eq!(client.get("/livez", "").status, 200, "probes need no key");
}

#[test]
fn tokens_of_every_kind_of_key_are_verified() {
    let issuer = Issuer::new();
    let setup = with(Auth { jwt: Some(jwt(&issuer)), ..Auth::default() }, |_| {});
    let mut client = setup.connect();
    let mut check = |token: &str, reason: &str| {
        let before = refused(&setup, reason);
        let answer = client.get("/v1/say/hi", &bearer(token));
        assert_eq!(answer.status, if reason.is_empty() { 200 } else { 401 }, "{reason}: {}", answer.body);
        assert_eq!(
            refused(&setup, reason),
            before + u64::from(!reason.is_empty()),
            "{reason}: {}",
            answer.body
        );
        let challenge = (!reason.is_empty()).then_some("Bearer error=\"invalid_token\"");
        assert_eq!(answer.header("www-authenticate"), challenge);
    };
    for (algorithm, kid) in [("RS256", "r"), ("ES256", "e"), ("EdDSA", "d")] {
        let header = json!({ "alg": algorithm, "kid": kid });
        let token = issuer.token(&header, &claims(&json!({})));
        check(&token, "");
        check(&token, "");
        // The last digit has bits that mean nothing: one within is changed.
        let at = token.len() - 10;
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        check(&String::from_utf8(forged).unwrap(), "signature");
        check(&issuer.token(&json!({ "alg": algorithm }), &claims(&json!({}))), "");
        check(&issuer.token(&json!({ "alg": algorithm, "kid": "nope" }), &claims(&json!({}))), "unknown_key");
    }
    for (changes, reason) in [
        (json!({ "exp": now() - 31 }), "expired"),
        (json!({ "exp": now() - 5 }), ""),
        (json!({ "nbf": now() + 100 }), "not_yet"),
        (json!({ "nbf": now() + 5 }), ""),
        (json!({ "aud": "other" }), "audience"),
        (json!({ "aud": ["other", "shop"] }), ""),
        (json!({ "aud": null }), "audience"),
        (json!({ "iss": "https://evil.example" }), "issuer"),
        (json!({ "iss": null }), "issuer"),
        (json!({ "sub": null }), "malformed"),
        (json!({ "exp": null }), "malformed"),
        (json!({ "exp": "never" }), "malformed"),
    ] {
        check(&issuer.with(&changes), reason);
    }
    let good = claims(&json!({}));
    for (token, reason) in [
        (issuer.token(&json!({ "alg": "none" }), &good), "malformed"),
        (issuer.token(&json!({ "alg": "HS256", "kid": "d" }), &good), "malformed"),
        (issuer.token(&json!({ "alg": "ES256", "kid": "d" }), &good), "unknown_key"),
        (issuer.token(&json!({ "alg": "EdDSA", "kid": "d", "crit": ["b64"] }), &good), "malformed"),
        ("a.b.c".into(), "malformed"),
        ("x".repeat(17 << 10), "malformed"),
    ] {
        check(&token, reason);
    }
}

#[test]
fn another_issuers_key_of_the_same_name_does_not_do() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let setup = with(Auth { jwt: Some(jwt(&issuer)), ..Auth::default() }, |_| {});
    assert_eq!(setup.connect().get("/v1/say/hi", &bearer(&other.with(&json!({})))).status, 401);
    assert_eq!(refused(&setup, "signature"), 1);
}

#[test]
fn a_key_set_that_changes_is_taken_up_and_a_broken_one_is_not() {
    let (old, new) = (Issuer::new(), Issuer::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, old.jwks()).unwrap();
    let mut jwt = jwt(&old);
    jwt.jwks = Jwks::File { bytes: old.jwks().into(), file: Some(file.clone()) };
    let setup = with(Auth { jwt: Some(jwt), ..Auth::default() }, |options| {
        options.timeouts.poll = Duration::from_millis(5);
    });
    let mut client = setup.connect();
    let (one, other) = (bearer(&old.with(&json!({}))), bearer(&new.with(&json!({}))));
    assert_eq!(client.get("/v1/say/hi", &one).status, 200);
    std::fs::write(&file, "{}").unwrap();
    std::fs::write(folder.path().join("next.json"), new.jwks()).unwrap();
    std::fs::rename(folder.path().join("next.json"), &file).unwrap();
    // Each request is an event; the test's time limit ends a gateway that never takes the keys up.
    while client.get("/v1/say/hi", &other).status != 200 {}
    assert_eq!(
        client.get("/v1/say/hi", &one).status,
        401,
        "what was verified by keys that are gone is not kept"
    );
}

#[test]
fn a_route_may_leave_it_to_the_client() {
    let auth = || Auth { api_keys: Some(api_keys()), ..Auth::default() };
    let statuses = |mode| {
        let setup = with(auth(), |options| options.routes[0].auth = mode);
        let mut client = setup.connect();
        ["", "x-api-key: nope\r\n", "x-api-key: m-secret\r\n"]
            .map(|headers| client.get("/v1/say/hi", headers).status)
    };
    assert_eq!(statuses(AuthMode::Off), [200, 200, 200]);
    assert_eq!(statuses(AuthMode::Optional), [200, 401, 200]);
    assert_eq!(statuses(AuthMode::Required), [401, 401, 200]);
}

#[test]
fn an_upstream_can_know_that_the_gateway_said_it() {
    let issuer = Issuer::new();
    let claims = Claims { names: vec!["scope".into(), "missing".into()], secret: Secret::new(SECRET) };
    let auth = Auth { api_keys: Some(api_keys()), jwt: Some(jwt(&issuer)), claims: Some(claims) };
    let setup = with(auth, |options| options.request_ids = true);
    let said = |headers: &str| {
        let id = setup.connect().get("/v1/say/hi", headers).header("x-request-id").unwrap().to_owned();
        let seen = setup.backend.seen.headers.lock().unwrap();
        let get = |name: &str| {
            seen.last()
                .unwrap()
                .get_all(name)
                .iter()
                .map(|it| it.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let ([said], [signed]) = (&get("x-aqueduct-claims")[..], &get("x-aqueduct-claims-signature")[..])
        else {
            panic!("one of each")
        };
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
        ring::hmac::verify(&key, said.as_bytes(), &URL_SAFE_NO_PAD.decode(signed).unwrap()).unwrap();
        let mut said: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(said).unwrap()).unwrap();
        assert!(said["time"].as_u64().unwrap().abs_diff(now()) < 60);
        assert_eq!(said["request_id"], id.as_str());
        said.as_object_mut().unwrap().retain(|name, _| name != "time" && name != "request_id");
        said
    };
    let forged = "x-aqueduct-claims: e30\r\nx-aqueduct-claims-signature: AA\r\n";
    let expect =
        json!({ "sub": "u1", "by": "jwt", "claims": { "scope": "a b" }, "method": "test.v1.Echo/Say" });
    assert_eq!(said(&format!("{forged}{}", bearer(&issuer.with(&json!({}))))), expect);
    let expect = json!({ "sub": "web", "by": "api_key", "claims": {}, "method": "test.v1.Echo/Say" });
    assert_eq!(said("x-api-key: w-secret\r\n"), expect);
}

#[test]
fn limits_count_identities() {
    let limit = RateLimit::new("one", LimitKey::Identity, 1, Duration::from_hours(1));
    let setup = with(Auth { api_keys: Some(api_keys()), ..Auth::default() }, |options| {
        options.routes[0].auth = AuthMode::Optional;
        options.rate_limits = vec![limit];
    });
    let mut client = setup.connect();
    for (headers, status) in [
        ("x-api-key: m-secret\r\n", 200),
        ("x-api-key: m-secret\r\n", 429),
        ("x-api-key: w-secret\r\n", 200),
        ("", 200),
        ("", 429),
    ] {
        assert_eq!(client.get("/v1/say/hi", headers).status, status, "{headers:?}");
    }
}

#[test]
fn a_preflight_needs_no_credentials_and_a_refusal_can_be_read_by_the_page() {
    let setup = with(Auth { api_keys: Some(api_keys()), ..Auth::default() }, |options| {
        options.routes[0].cors =
            Some(Cors { origins: vec!["https://shop.example".into()], ..Cors::default() });
    });
    let mut client = setup.connect();
    let origin = "origin: https://shop.example\r\n";
    let asked = format!("{origin}access-control-request-method: POST\r\n");
    assert_eq!(client.request("OPTIONS", "/v1/say", &asked, "").status, 204);
    let answer = client.get("/v1/say/hi", origin);
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, Some("https://shop.example"))
    );
}

#[tokio::test]
async fn grpc_clients_get_unauthenticated() {
    let setup = with(Auth { api_keys: Some(api_keys()), ..Auth::default() }, |_| {});
    let mut client = grpc::connect(&setup).await;
    for (key, status) in [("nope", "16"), ("m-secret", "0")] {
        let head = grpc::request("/test.v1.Echo/Say").header("x-api-key", key).body(()).unwrap();
        let (_, trailers) = grpc::call(&mut client, head, frame(&message("hi", 0))).await;
        assert_eq!(trailers["grpc-status"], status, "{trailers:?}");
        assert_eq!(trailers.contains_key("www-authenticate"), status == "16");
    }
}

#[test]
fn whoever_tries_keys_is_charged_for_it() {
    let limit = RateLimit::new("tries", LimitKey::Address, 3, Duration::from_hours(1));
    let setup = with(Auth { api_keys: Some(api_keys()), ..Auth::default() }, |options| {
        options.rate_limits = vec![limit];
    });
    let mut client = setup.connect();
    let statuses = [0; 5].map(|_| client.get("/v1/say/x", "x-api-key: guess\r\n").status);
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}

#[test]
fn of_credentials_only_what_was_verified_goes_on() {
    for compat in [Compat::Off, Compat::GrpcGateway] {
        let setup = with(Auth { api_keys: Some(api_keys()), ..Auth::default() }, |options| {
            options.routes[0].compat = compat;
        });
        let forged = "authorization: Bearer forged\r\ngrpc-metadata-authorization: Bearer forged\r\n\
                      grpc-metadata-x-api-key: w-secret\r\nx-api-key: m-secret\r\n";
        assert_eq!(setup.connect().get("/v1/say/hi", forged).status, 200);
        let headers = setup.backend.seen.headers.lock().unwrap();
        let seen = headers.last().unwrap();
        assert!(!seen.contains_key("authorization") && !seen.contains_key("x-api-key"), "{seen:?}");
    }
}
