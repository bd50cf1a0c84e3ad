//! Whom the edge believes, and how much it takes of whom: the outside, credentials, key sets, rate limits.

use super::*;

#[test]
fn what_is_believed_of_the_outside_is_read() {
    let read = |more: &str| {
        let folder = folder(format!("{SMALLEST}{more}"));
        read_gateway(&folder.path().join("c.yaml")).unwrap().options
    };
    let default = read("");
    assert_eq!(
        (default.trusted_proxies, default.request_ids, default.paths),
        (vec![], true, Paths::default())
    );
    let options = read(
        "trusted_proxies: [10.0.0.0/8, \"2001:db8::/32\"]\nrequest_ids: false\n\
         paths: { dot_segments: reject, double_slashes: merge, encoded_slashes: decode }\n",
    );
    let networks: Vec<_> = options.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!((networks.join(" "), options.request_ids), ("10.0.0.0/8 2001:db8::/32".to_owned(), false));
    let paths = Paths {
        dot_segments: DotSegments::Reject,
        double_slashes: DoubleSlashes::Merge,
        encoded_slashes: EncodedSlashes::Decode,
    };
    assert_eq!(options.paths, paths);
    check_more(
        "trusted_proxies: [10.0.0.1/8, proxy]\npaths: { dot_segments: merge, slashes: keep }",
        &[
            "5:19: `10.0.0.1/8` has bits behind the prefix; 10.0.0.0/8 is the network that it is in",
            "5:31: `proxy` is not a network, such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1",
            "6:24: `resolve`, `reject` or `keep` is wanted here, not `merge`",
            "6:31: unknown key `slashes`; known here: dot_segments, double_slashes, encoded_slashes",
        ],
    );
}

#[test]
fn credentials_are_read_and_never_repeated() {
    let text = "\
auth:
  api_keys: { keys: [{ id: a, sha256: hunter2 }, { id: b }, { id: c, env: NO_SUCH_VARIABLE }] }
  jwt: { issuer: i, audience: [], jwks: { file: claims.key }, algorithms: [HS256] }
  claims: { secret: { file: nope } }
";
    let told = errors(format!("{}{text}", SMALLEST.trim_start()));
    let expect = [
        "64 hexadecimal digits are wanted here",
        "one of `env`, `file` or, for API keys, `sha256` tells the secret",
        "the environment has no variable `NO_SUCH_VARIABLE`",
        "name at least one: tokens for others must not do",
        "no JSON web key set",
        "`EdDSA` is wanted here, not `HS256`",
        "cannot read `nope`",
    ];
    for expect in expect {
        assert!(told.iter().any(|line| line.contains(expect)), "{expect}: {told:#?}");
    }
    assert!(!format!("{told:?}").contains("hunter2") && !format!("{told:?}").contains("kkk"), "{told:#?}");
    let twice = "auth: { api_keys: { keys: [{ id: d, file: claims.key }, { id: d, file: claims.key }] } }";
    let told = errors(format!("{}{twice}", SMALLEST.trim_start()));
    assert!(told.iter().any(|line| line.contains("`d`, or its key, is there twice")), "{told:#?}");
    let required = SMALLEST.trim_start().replace("upstream: orders }", "upstream: orders, auth: required }");
    check(required, &["4:67: nothing says how clients prove who they are: `auth.api_keys` or `auth.jwt`"]);
}

#[test]
fn key_sets_come_from_a_file_or_a_url() {
    let text = |jwks: &str| {
        format!("{}auth: {{ jwt: {{ issuer: i, audience: [a], jwks: {jwks} }} }}\n", SMALLEST.trim_start())
    };
    let url = |jwks: &str| {
        let folder = folder(text(jwks));
        let options = read_gateway(&folder.path().join("c.yaml")).unwrap().options;
        let Jwks::Url(found) = options.auth.jwt.unwrap().jwks else { panic!("{jwks}") };
        (found.url.to_string(), found.every.as_secs(), found.ca.is_some())
    };
    let plain = "http://127.0.0.1:9/keys.json";
    assert_eq!(url(&format!("{{ url: \"{plain}\" }}")), (plain.into(), 300, false));
    assert_eq!(url("{ url: \"http://[::1]/k\", every: 1h }"), ("http://[::1]/k".into(), 3600, false));
    let secure = "https://login.example/keys.json";
    assert_eq!(url(&format!("{{ url: \"{secure}\", ca: cert.pem }}")), (secure.into(), 300, true));

    let others = "whoever is on the way could put in keys of their own: https:// is wanted here, or http:// to a \
                  loopback address such as 127.0.0.1";
    let whole = "a whole URL is wanted here, such as https://login.example/keys.json";
    for (jwks, expect) in [
        ("{ url: \"http://login.example/keys\" }", [format!("5:55: {others}").as_str()].as_slice()),
        ("{ url: \"http://10.0.0.1/keys\" }", &[&format!("5:55: {others}")]),
        ("{ url: \"ftp://login.example/keys\" }", &[&format!("5:55: {others}")]),
        ("{ url: /keys.json }", &[&format!("5:55: {whole}")]),
        ("{ url: \"https://a b/\" }", &["5:55: this is not a URL: invalid uri character"]),
        ("{ url: \"https://u:pw@a/\" }", &["5:55: credentials in a URL are not sent; leave them out"]),
        (
            "{ url: \"http://127.0.0.1/\", ca: cert.pem }",
            &["5:80: plain http has no certificates to verify; leave it out"],
        ),
        (
            "{ url: \"https://a/\", ca: claims.key }",
            &["5:73: claims.key holds no certificate (-----BEGIN CERTIFICATE-----)"],
        ),
        (
            "{ url: \"https://a/\", every: 1ms }",
            &["5:76: a duration from 1s to 24h is wanted here, not `1ms`"],
        ),
        (
            "{ url: \"https://a/\", file: keys.json }",
            &["5:48: one of `file` and `url` tells where the keys are"],
        ),
        ("{}", &["5:48: one of `file` and `url` tells where the keys are"]),
        (
            "{ file: keys.json, every: 1m }",
            &["5:74: this is for keys that come from a `url`; a file is read again when it changes"],
        ),
    ] {
        check(text(jwks), expect);
    }
}

#[test]
fn rate_limits_are_read_and_judged() {
    let folder = folder(format!(
        "{SMALLEST}rate_limits:\n  - {{ name: a, key: \"header:X-Tenant\", rate: 1_000/m, routes: [shop.v1.OrderService/GetOrder] }}\n"
    ));
    let limits = read_gateway(&folder.path().join("c.yaml")).unwrap().options.rate_limits;
    let expect = RateLimit {
        routes: vec!["shop.v1.OrderService/GetOrder".into()],
        ..RateLimit::new("a", LimitKey::Header("x-tenant".parse().unwrap()), 1_000, Duration::from_mins(1))
    };
    assert_eq!(limits, [expect]);
    let text = "\
rate_limits:
  - { name: a, key: addres, rate: 100 }
  - { name: a, key: global, rate: 0/s, burst: 0, keys: 0, shadow: 1 }
  - { key: \"header:a b\", rate: 1/h, burst: 100_000_000 }
  - { name: c, key: route, rate: 1/s, routes: [shop.v1.Order, shop.v1.OrderService/Get] }
rate_limit_headers: some
";
    check(
        format!("{}{text}", SMALLEST.trim_start()),
        &[
            "6:21: `addres` is not a key: address, identity, route, global or one such as header:x-tenant",
            "6:35: `100` is not a rate, such as 100/s, 6000/m or 1000/h",
            "7:13: `a` is there twice",
            "7:35: a rate of 0 admits nothing: at least 1 a period",
            "7:47: a whole number from 1 to 1000000000 is wanted here, not `0`",
            "7:56: a whole number from 1 to 16777216 is wanted here, not `0`",
            "7:67: `true` or `false` is wanted here, not `1`",
            "8:5: `name` is missing",
            "8:12: `header:a b` is not a key: address, identity, route, global or one such as header:x-tenant",
            "8:44: a burst that takes more than 4 years to refill cannot be counted",
            "9:48: no route has the service `shop.v1.Order`; there are: shop.v1.OrderService",
            "9:63: the service `shop.v1.OrderService` has no method `Get`",
            "10:21: `all`, `refusals` or `off` is wanted here, not `some`",
        ],
    );
}
