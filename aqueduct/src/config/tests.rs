//! What files say, and what is told of those that are wrong: a folder with a descriptor set, a text, and the golden
//! list of errors.

mod data;
mod docs;
mod strangers;

use std::fs;
use std::path::Path;
use std::time::Duration;

use aqueduct_gateway::{
    Algorithm, Compression, Descriptors, DotSegments, DoubleSlashes, EncodedSlashes, Jwks, LimitKey, Limits,
    Options, Paths, Probes, RateLimit, Retries, Timeouts,
};
use aqueduct_shop::proto::DESCRIPTOR_SET;
use aqueduct_telemetry::access::{Format, Target, Template};
use proptest::prelude::{any, prop, prop_assert, proptest};
use tempfile::TempDir;

use super::report::Problems;
use super::value::Value;
use super::{
    Config, GatewayFile, IdsFile, LeaseFile, Rejected, Source, SystemFile, bytes, gateway, gateway_from,
    read, system, system_from, tree,
};

/// The smallest gateway configuration, as DESIGN fixes it for users.
const SMALLEST: &str = r#"
listen: [{ address: "127.0.0.1:8080" }]
descriptors: [{ file: shop.pb }]            # a FileDescriptorSet
upstreams: { orders: { endpoints: ["127.0.0.1:50051"] } }
routes: [{ service: shop.v1.OrderService, upstream: orders }]
"#;

/// A key set: the first example of RFC 8037, appendix A.2.
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A folder with `shop.pb`, a key set and a secret, and `text` as `c.yaml`; with `cert.pem`, `key.pem` and another's
/// `other.pem` where it names them.
fn folder(text: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if text.as_ref().windows(4).any(|window| window == b".pem") {
        let names = ["a.test".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (name, text) in [
            ("cert.pem", made.cert.pem()),
            ("key.pem", made.signing_key.serialize_pem()),
            ("other.pem", other),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
    }
    fs::write(folder.path().join("shop.pb"), DESCRIPTOR_SET).unwrap();
    fs::write(folder.path().join("keys.json"), KEYS).unwrap();
    fs::write(folder.path().join("claims.key"), format!("{}\n", "k".repeat(32))).unwrap();
    fs::write(folder.path().join("db.secret"), "secret").unwrap();
    fs::write(folder.path().join("c.yaml"), text).unwrap();
    folder
}

/// What is told of a file, as `line:column: message`.
fn errors(text: impl AsRef<[u8]>) -> Vec<String> {
    let folder = folder(text);
    match read(&folder.path().join("c.yaml")) {
        Ok(config) => vec![format!("accepted: {config:?}")],
        Err(rejected) => {
            let prefix = format!("{}/c.yaml:", folder.path().display());
            told(&rejected, false)
                .lines()
                .map(|line| line.strip_prefix(&prefix).unwrap_or(line).to_owned())
                .collect()
        }
    }
}

/// What is told, without colours.
fn told(rejected: &Rejected, carets: bool) -> String {
    match rejected {
        Rejected::Unreadable(why) => why.clone(),
        Rejected::Wrong(wrong) => anstream::adapter::strip_str(&wrong.render(carets)).to_string(),
    }
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, expect: &[&str]) {
    assert_eq!(errors(text), expect);
}

/// The smallest configuration with one line more.
#[track_caller]
fn check_more(line: &str, expect: &[&str]) {
    check(format!("{}{line}\n", SMALLEST.trim_start()), expect);
}

#[test]
fn an_address_is_listened_on_once() {
    let text = SMALLEST.replace(
        r#"[{ address: "127.0.0.1:8080" }]"#,
        r#"[{ address: "127.0.0.1:8080" }, { address: "127.0.0.1:8080" }]"#,
    );
    check(text.trim_start(), &["1:52: 127.0.0.1:8080 is there twice"]);
    let text = text.replacen("127.0.0.1", "0.0.0.0", 1);
    let overlaps = "127.0.0.1:8080 overlaps with 0.0.0.0:8080: nobody can listen on both";
    check(text.trim_start(), &[&format!("1:50: {overlaps}")]);
}

/// It goes into the log, and onto the admin page.
#[test]
fn a_secret_that_stands_in_the_wrong_place_is_not_repeated() {
    check_more(
        "auth: { api_keys: { keys: [KEY, { id: a, sha256: a }] }, claims: { names: [a], secret: SECRET } }",
        &[
            "5:28: a mapping, such as { id: mobile, env: MOBILE_KEY }, is wanted here, not `(redacted)`",
            "5:50: 64 hexadecimal digits are wanted here, as `sha256sum` prints them",
            "5:88: a mapping, such as { env: CLAIMS_SECRET }, is wanted here, not `(redacted)`",
        ],
    );
    check_more(
        "access_log: { file: x, sample: 'https://user:pw@host/?token=x' }",
        &["5:32: a number from 0 to 1 is wanted here, not `https://(redacted)@host/?token=(redacte…`"],
    );
}

/// Nor twice by different parts of the process, whether their addresses are in the file, by default, or in flags.
#[test]
fn no_part_of_the_process_listens_where_another_does() {
    let edge = |address: &str, who: &str, other: &str| {
        format!(
            "the edge cannot listen on {address}: {who} on {other}; choose another address for one of them"
        )
    };
    let admin = "the admin server does";
    let [ours, theirs] = ["127.0.0.1:8080", "127.0.0.1:9900"];
    let same = edge(ours, admin, ours);
    check_more("admin: { address: \"127.0.0.1:8080\" }", &[&format!("1:21: {same}")]);
    let wide = edge(ours, admin, "0.0.0.0:8080");
    check_more("admin: { address: \"0.0.0.0:8080\" }", &[&format!("1:21: {wide}")]);
    let text = SMALLEST.trim_start().replace(ours, "0.0.0.0:9900");
    check(&text, &[&format!("1:21: {}", edge("0.0.0.0:9900", admin, theirs))]);
    let folder = folder(format!("{text}admin: off\n"));
    assert!(read_gateway(&folder.path().join("c.yaml")).is_ok(), "there is no admin server");

    check(
        "admin: { address: \"127.0.0.1:8080\" }\nshop: { address: \"127.0.0.1:8080\" }\n",
        &[
            &format!("1:1: gateway.listen[0].address: {}", edge(ours, "the services do", ours)),
            &format!("2:18: {}", edge(ours, admin, ours).replace("edge", "services")),
        ],
    );

    // A flag can bring it about, and mend it.
    let path = folder.path().join("c.yaml");
    let with = |admin: Option<&str>| {
        let admin = admin.map(|text| text.parse().unwrap());
        gateway_from(&path, bytes(&path).unwrap(), &[], |file| file.admin = admin)
    };
    let told = told(&with(Some(theirs)).unwrap_err(), false);
    assert!(told.contains(&format!(":1:21: {}", edge("0.0.0.0:9900", admin, theirs))), "{told}");
    fs::write(&path, &text).unwrap();
    assert!(with(Some(ours)).is_ok());
}

#[test]
fn the_smallest_configuration_is_enough() {
    let folder = folder(SMALLEST);
    let file = read_gateway(&folder.path().join("c.yaml")).unwrap();
    let options = &file.options;
    assert_eq!(options.listen[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(options.upstreams["orders"].endpoints, ["127.0.0.1:50051"]);
    assert_eq!(options.routes[0].service, "shop.v1.OrderService");
    assert_eq!(options.workers, 0);
    assert_eq!((&options.limits, &options.timeouts), (&Limits::default(), &Timeouts::default()));
    assert_eq!(options.probes, Some(Probes::default()));
    assert_eq!(file.admin.unwrap().to_string(), "127.0.0.1:9900");
    assert_eq!(file.access_log.target, None);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = "\
lisen: [{ address: \"127.0.0.1:8080\" }]
listen:
  - address: localhost:80
  - adress: 1
workers: many
descriptors: [{ file: nope.pb }, { file: c.yaml }]
upstreams:
  orders: { endpoints: [\"127.0.0.1\", 5], connect_timeout: 15, idle_timeout: 5 parsecs }
  orders: {}
  other:
routes:
  - { service: shop.v1.OrderService, upstream: order }
  - { servce: x }
  - []
limits: { body_bytes: 4MB, head_bytes: 1KiB, headers: 0 }
timeouts: { request: 1000h, idle: 0s }
probes: { healthz: health }
admin: on
access_log: { sample: 2 }
";
    check(
        text,
        &[
            "1:1: unknown key `lisen`; did you mean `listen`?",
            "3:14: `localhost:80` is not IP:PORT, such as 127.0.0.1:8080 or [::1]:8080 (names are not looked up)",
            "4:5: `address` is missing",
            "4:5: unknown key `adress`; did you mean `address`?",
            "5:10: a whole number from 1 to 1024 is wanted here, not `many`",
            "6:23: cannot read `nope.pb`: No such file or directory (os error 2)",
            "8:25: `127.0.0.1` is not host:port, such as 127.0.0.1:50051",
            "8:38: `5` is not host:port, such as 127.0.0.1:50051",
            "8:59: a duration needs a unit, such as 15s or 15ms",
            "8:77: `5 parsecs` is not a duration, such as 250ms, 15s, 5m or 1h",
            "9:3: `orders` is already given in line 8",
            "10:3: `endpoints` is missing",
            "12:48: there is no upstream `order`; there are: orders, other",
            "13:5: `service` is missing",
            "13:5: `upstream` is missing",
            "13:7: unknown key `servce`; did you mean `service`?",
            "14:5: a mapping, such as { service: shop.v1.OrderService, upstream: orders }, is wanted here, not a list",
            "15:23: `4MB` is not a size, such as 65536, 64KiB, 4MiB or 1GiB",
            "15:40: a size from 8KiB to 16MiB is wanted here, not `1KiB`",
            "15:55: a whole number from 1 to 10000 is wanted here, not `0`",
            "16:22: a duration from 1ms to 720h is wanted here, not `1000h`",
            "16:35: a duration from 1ms to 720h is wanted here, not `0s`",
            "17:20: `health` is not a path, such as /healthz",
            "18:8: a mapping, such as { address: \"127.0.0.1:8080\" }, is wanted here, not `on`",
            "19:13: `file` is missing",
            "19:23: a number from 0 to 1 is wanted here, not `2`",
        ],
    );
}

#[test]
fn what_only_the_gateway_can_judge_stands_where_it_is_written() {
    let text = "\
descriptors: [{ file: shop.pb }]
upstreams: { a.b: { endpoints: [\"x:1\", \"y\"] } }
routes:
  - { service: shop.v1.OrderServce, upstream: a.b }
  - { service: grpc.health.v1.Health, upstream: a }
  - { service: grpc.health.v1.Health, upstream: a.b }
";
    check(
        text,
        &[
            "1:1: listen: name at least one address, such as 127.0.0.1:8080",
            "2:40: `y` is not host:port, such as 127.0.0.1:50051",
            "4:16: the descriptors have no service `shop.v1.OrderServce`; they have: shop.v1.OrderService, \
             shop.v1.AccountService, shop.v1.TransferService, shop.v1.LedgerService, grpc.health.v1.Health",
            "5:49: there is no upstream `a`; there are: a.b",
            "6:16: `grpc.health.v1.Health` is routed twice",
        ],
    );
}

#[test]
fn descriptor_files_that_are_none_are_told_at_their_name() {
    let broken = |file: &str| errors(SMALLEST.trim_start().replace("shop.pb", file));
    assert_eq!(broken("nope.pb"), ["2:23: cannot read `nope.pb`: No such file or directory (os error 2)"]);
    assert_eq!(broken("."), ["2:23: cannot read `.`: Is a directory (os error 21)"]);
    let [only] = broken("c.yaml").try_into().unwrap();
    assert!(only.starts_with("2:23: c.yaml: "), "{only}");
}

#[test]
fn descriptors_are_in_a_file_or_told_by_an_upstream() {
    let with = |descriptors: &str| SMALLEST.trim_start().replace("[{ file: shop.pb }]", descriptors);
    let folder = folder(with("[{ file: shop.pb }, { reflection: orders, every: 5s }, { file: /dev/null }]"));
    let path = folder.path().join("c.yaml");
    let descriptors = read_gateway(&path).unwrap().options.descriptors;
    assert!(
        matches!(&descriptors[0], Descriptors::Set { file: Some(file), .. } if file.ends_with("shop.pb"))
    );
    let asked = |source: &Descriptors| match source {
        Descriptors::Reflection { upstream, every } => Some((upstream.clone(), *every)),
        Descriptors::Set { .. } => None,
    };
    assert_eq!(asked(&descriptors[1]), Some(("orders".to_owned(), Duration::from_secs(5))));
    assert!(matches!(&descriptors[2], Descriptors::Set { file: None, .. }), "only a regular file is watched");
    for (descriptors, expect) in [
        ("[{ reflection: order }]", &["2:29: there is no upstream `order`; there are: orders"][..]),
        ("[{ reflection: orders }, { reflection: orders }]", &["2:53: `orders` is asked twice"]),
        (
            "[{ reflection: orders, every: 0s }]",
            &["2:44: a duration from 1ms to 720h is wanted here, not `0s`"],
        ),
        ("[{ file: shop.pb, every: 5s }]", &["2:32: unknown key `every`; known here: file"]),
        ("[{ file: shop.pb, reflection: orders }]", &["2:15: either `file` or `reflection`, not both"]),
        (
            "[{ reflecton: orders }]",
            &[
                "2:15: `file` or `reflection` is missing",
                "2:17: unknown key `reflecton`; did you mean `reflection`?",
            ],
        ),
    ] {
        check(with(descriptors), expect);
    }
    let elsewhere = with("[{ file: shop.pb }, { reflection: other }]")
        .replace("upstreams: {", "upstreams: { other: { endpoints: [\"127.0.0.1:1\"] },");
    check(elsewhere, &["2:48: no route goes to `other`, so there is nothing to ask it for"]);
}

#[test]
fn an_upstream_may_have_a_bound_and_a_queue() {
    let with = |keys: &str| {
        SMALLEST
            .trim_start()
            .replace(r#"["127.0.0.1:50051"] }"#, &format!(r#"["127.0.0.1:50051"], {keys} }}"#))
    };
    let folder = folder(with("max_concurrency: 20, max_queue: 0, queue_timeout: 5ms"));
    let upstream = &read_gateway(&folder.path().join("c.yaml")).unwrap().options.upstreams["orders"];
    let found = (upstream.max_concurrency, upstream.max_queue, upstream.queue_timeout);
    assert_eq!(found, (Some(20), 0, Duration::from_millis(5)));
    check(
        with("max_concurrency: 0, max_queue: -1, queue_timeout: 0s"),
        &[
            "3:73: a whole number from 1 to 10000000 is wanted here, not `0`",
            "3:87: a whole number from 0 to 1000000 is wanted here, not `-1`",
            "3:106: a duration from 1ms to 720h is wanted here, not `0s`",
        ],
    );
}

#[test]
fn certificates_are_read_and_judged_where_they_are_named() {
    let with =
        |tls: &str| SMALLEST.trim_start().replace(r#":8080" }]"#, &format!(r#":8080", tls: {tls} }}]"#));
    let good = with("{ certificates: [{ cert: cert.pem, key: key.pem }], min_version: \"1.3\" }");
    let folder = folder(&good);
    let options = read_gateway(&folder.path().join("c.yaml")).unwrap().options;
    let tls = options.listen[0].tls.clone().unwrap();
    assert_eq!(tls.min_version, aqueduct_gateway::TlsVersion::V13);
    assert_eq!(tls.certificates[0].key.file, Some(folder.path().join("key.pem")));
    let shown = format!("{options:?}");
    assert!(!shown.contains("PRIVATE") && shown.contains("key.pem"), "keys are never shown");
    for (tls, expect) in [
        ("{ certificates: [] }", &["1:60: name at least one { cert: file.pem, key: file.pem }"][..]),
        (
            "on",
            &[
                "1:44: a mapping, such as { certificates: [{ cert: shop.pem, key: shop.key }] }, is wanted here, not `on`",
            ],
        ),
        (
            "{ certificate: x }",
            &[
                "1:44: `certificates` is missing",
                "1:46: unknown key `certificate`; did you mean `certificates`?",
            ],
        ),
        (
            "{ certificates: [{ cert: nope.pem }] }",
            &[
                "1:61: `key` is missing",
                "1:69: cannot read `nope.pem`: No such file or directory (os error 2)",
            ],
        ),
        (
            "{ certificates: [{ cert: cert.pem, key: other.pem }] }",
            &["1:84: the key other.pem does not belong to the certificate cert.pem"],
        ),
        (
            "{ certificates: [{ cert: cert.pem, key: key.pem }, { cert: key.pem, key: key.pem }], client_auth: optional }",
            &[
                "1:103: key.pem holds no certificate (-----BEGIN CERTIFICATE-----)",
                "1:142: name those who may vouch for clients with `client_ca`",
            ],
        ),
        (
            "{ certificates: [{ cert: cert.pem, key: key.pem }], min_version: 1.1, client_ca: c.yaml }",
            &[
                "1:109: `1.2` or `1.3` is wanted here, not `1.1`",
                "1:125: c.yaml holds no certificate (-----BEGIN CERTIFICATE-----)",
            ],
        ),
    ] {
        check(with(tls), expect);
    }
    let upstream = SMALLEST
        .trim_start()
        .replace(":50051\"]", ":50051\"], tls: { ca: key.pem, server_name: a b, client_key: key.pem }");
    check(
        upstream,
        &[
            "3:61: `client_cert` is missing",
            "3:67: key.pem holds no certificate (-----BEGIN CERTIFICATE-----)",
            "3:89: `a b` is not a DNS name or an IP address",
        ],
    );
}

#[test]
fn a_route_may_bound_its_deadlines_and_retries() {
    let with = |keys: &str| {
        SMALLEST.trim_start().replace("upstream: orders }", &format!("upstream: orders, {keys} }}"))
    };
    let route = |keys: &str| {
        let folder = folder(with(keys));
        read_gateway(&folder.path().join("c.yaml")).unwrap().options.routes.remove(0)
    };
    assert_eq!(route("retries: off").retries.attempts, 1);
    let route = route(
        "max_timeout: 5s, retries: { attempts: 4, budget: 0.5, min_per_second: 0, idempotent: [PayOrder] }",
    );
    let expect =
        Retries { attempts: 4, budget: 0.5, min_per_second: 0, idempotent: vec!["PayOrder".to_owned()] };
    assert_eq!((route.max_timeout, route.retries), (Some(Duration::from_secs(5)), expect));
    check(
        with("timeout: 10s, max_timeout: 5s, retries: { attempts: 0, budget: 2, idempotent: [GetOrdr] }"),
        &[
            "4:70: longer than max_timeout (5s), which would cut it",
            "4:113: a whole number from 1 to 10 is wanted here, not `0`",
            "4:124: a number from 0 to 1 is wanted here, not `2`",
            "4:140: `shop.v1.OrderService` has no method `GetOrdr`; it has: CreateOrder, GetOrder, ListOrders, PayOrder, \
             ShipOrder, CompleteOrder, WatchOrder",
        ],
    );
}

#[test]
fn a_line_of_the_access_log_may_be_a_template() {
    let format = |line: &str| {
        let folder = folder(format!("{SMALLEST}{line}\n"));
        read_gateway(&folder.path().join("c.yaml")).unwrap().access_log.format
    };
    assert_eq!(format("access_log: { file: \"-\", format: json }"), Format::Json);
    let template = Template::parse("{client} {status}").unwrap();
    assert_eq!(
        format("access_log: { file: \"-\", format: \"{client} {status}\" }"),
        Format::Template(template)
    );
    check_more(
        "access_log: { file: \"-\", format: \"{clent}\" }",
        &[
            "5:34: there is no `{clent}`; known: time, client, method, path, route, status, grpc_status, duration, \
             request_bytes, response_bytes, upstream, reject, request_id, trace_id",
        ],
    );
}

#[test]
fn a_route_may_compress_its_answers() {
    let with = |keys: &str| {
        SMALLEST.trim_start().replace("upstream: orders }", &format!("upstream: orders, {keys} }}"))
    };
    let route = |keys: &str| {
        let folder = folder(with(keys));
        read_gateway(&folder.path().join("c.yaml")).unwrap().options.routes.remove(0).compression
    };
    assert_eq!(route("compression: off"), None);
    assert_eq!(route("compression: {}"), Some(Compression::default()));
    let expect =
        Compression { algorithms: vec![Algorithm::Gzip], min_bytes: 0, types: vec!["text/*".to_owned()] };
    assert_eq!(route("compression: { algorithms: [gzip], min_bytes: 0, types: [\"text/*\"] }"), Some(expect));
    check(
        with("compression: { algorithms: [brotli], types: [json] }"),
        &[
            "4:89: `zstd` or `gzip` is wanted here, not `brotli`",
            "4:106: `json` is not a media type, such as application/json or text/*",
        ],
    );
}

#[test]
fn types_are_checked_and_nothing_is_guessed() {
    check_more("workers: \"4\"", &["5:10: a whole number from 1 to 1024 is wanted here, not `4`"]);
    check_more("workers:", &["5:1: a whole number from 1 to 1024 is wanted here, not nothing"]);
    check_more("workers: [4]", &["5:10: a whole number from 1 to 1024 is wanted here, not a list"]);
    check_more("workers: { n: 4 }", &["5:10: a whole number from 1 to 1024 is wanted here, not a mapping"]);
    check_more("limits: 4", &["5:9: a mapping, such as { body_bytes: 4MiB }, is wanted here, not `4`"]);
    check_more("access_log: { file: \"\" }", &["5:21: text is wanted here, not ``"]);
    let long = "x".repeat(1000);
    let cut = format!("5:1: unknown key `{}…`; known here: ", "x".repeat(39));
    let [only] = errors(format!("{}{long}: 1\n", SMALLEST.trim_start())).try_into().unwrap();
    assert!(only.starts_with(&cut), "{only}");
    // Nothing is as good as an empty section: its keys may all be commented out.
    let folder = folder(format!("{SMALLEST}\nlimits:\ntimeouts:\n  # request: 1s\n"));
    read_gateway(&folder.path().join("c.yaml")).unwrap();
}

#[test]
fn texts_that_are_no_configuration() {
    check("", &["1:1: the file is empty"]);
    check("# nothing\n", &["1:1: the file is empty"]);
    check("---\n", &["1:1: the file is empty"]);
    check(
        "[1]",
        &["1:1: a mapping, such as listen: [{ address: \"127.0.0.1:8080\" }], is wanted here, not a list"],
    );
    check("a: 1\n---\nb: 2\n", &["2:1: a second document begins here; one file is one configuration"]);
    check("a: b\n\tc: d\n", &["2:1: a tab indents this line; YAML wants spaces"]);
    check(
        "limits:\n  head_bytes: 8KiB\n \theaders: 1\n",
        &["3:2: a tab indents this line; YAML wants spaces"],
    );
    check(b"admin: off\nlisten: \xff\n", &["2:9: not UTF-8 from here on"]);
    check(b"\xff", &["1:1: not UTF-8 from here on"]);
    let [only] = errors(vec![b' '; (1 << 20) + 1]).try_into().unwrap();
    assert!(
        only.starts_with("cannot read ") && only.ends_with("c.yaml: it is larger than 1024 KiB"),
        "{only}"
    );
    let [only] = errors("listen: [{ address: x }").try_into().unwrap();
    assert!(only.contains("not YAML: "), "{only}");
    let deep = format!("listen: {}{}", "[".repeat(70), "]".repeat(70));
    check(deep, &["1:72: nested deeper than 64 levels"]);
}

#[test]
fn anchors_aliases_and_tags_are_refused() {
    check_more(
        "limits: &a !t { headers: &b 1 }\nadmin: *a",
        &[
            "5:9: anchors are not supported; write the value out where it is needed",
            "5:9: tags are not supported",
            "5:26: anchors are not supported; write the value out where it is needed",
            "6:1: `address` is missing",
            "6:8: aliases are not supported; write the value out",
        ],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let rejected = read(Path::new("/nowhere/c.yaml")).unwrap_err();
    let expect = "cannot read /nowhere/c.yaml: No such file or directory (os error 2)";
    assert_eq!(told(&rejected, false), expect);
}

#[test]
fn each_command_knows_the_other_kind_of_file() {
    let (alone, whole) = (folder(SMALLEST), folder("gateway: { workers: 2 }\nadmin: off\n"));
    let path = |folder: &TempDir| folder.path().join("c.yaml");
    let refused = told(&read_gateway(&path(&whole)).unwrap_err(), false);
    assert!(refused.contains("c.yaml:1:1: this file is for the whole system: `aqueduct up"), "{refused}");
    let refused = told(&read_system(&path(&alone)).unwrap_err(), false);
    assert!(refused.contains("c.yaml:2:1: this file is for a gateway alone: `aqueduct gateway"), "{refused}");
    assert!(matches!(read(&path(&alone)).unwrap(), Config::Gateway(_)));
    assert!(matches!(read(&path(&whole)).unwrap(), Config::System(_)));
}

#[test]
fn the_whole_system_has_sections() {
    let text = r#"
gateway: { listen: [{ address: "127.0.0.1:81" }], workers: 3, access_log: { file: a.log, sample: 0.5 } }
shop: { address: "127.0.0.1:82", worker: 5, cache_soft: 1s }
data: { dir: d, cache_bytes: 8MiB }
admin: off
"#;
    let folder = folder(text);
    let system = read_system(&folder.path().join("c.yaml")).unwrap();
    let options = system.gateway(system.services);
    assert_eq!((options.workers, options.upstreams["shop"].endpoints[0].as_str()), (3, "127.0.0.1:82"));
    assert_eq!(options.listen[0].address.port(), 81);
    assert_eq!(options.validate(), []);
    assert_eq!((system.shop.worker, system.shop.cache_soft), (5, Duration::from_secs(1)));
    assert_eq!((system.shop.data_dir, system.shop.store_cache_bytes), (folder.path().join("d"), 8 << 20));
    assert_eq!(system.admin, None);
    assert_eq!(system.access_log.target, Some(Target::File(folder.path().join("a.log"))));
    check(
        "gateway: { listen: [], routes: [] }\nshop: { worker: 128, cache_soft: 2m }\ndta: {}\n",
        &[
            "1:20: name at least one address, such as 127.0.0.1:8080",
            "1:24: unknown key `routes`; known here: listen, workers, limits, timeouts, probes, \
             trusted_proxies, request_ids, paths, rate_limits, rate_limit_headers, refusal_header, access_log",
            "2:17: a whole number from 0 to 127 is wanted here, not `128`",
            "2:34: longer than cache_hard (60s), after which nothing is left",
            "3:1: unknown key `dta`; did you mean `data`?",
        ],
    );
}

#[test]
fn a_terminal_shows_the_line_and_the_place() {
    let folder = folder("workers: many #\t\u{1b}[2J\n");
    let rejected = read_gateway(&folder.path().join("c.yaml")).unwrap_err();
    let text = told(&rejected, true);
    let shown: Vec<_> = text.lines().filter(|line| line.starts_with("  ")).collect();
    // The three keys that are missing are told where the mapping begins.
    let line = "  1 | workers: many # \u{fffd}[2J";
    assert_eq!(shown[..2], [line, "    | ^"]);
    assert_eq!(shown[6..], [line, "    |          ^^^^"]);
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let folder = folder(format!("{}a: {{ x: {}, workers: 1 }}\n", SMALLEST.trim_start(), "y".repeat(500)));
    let rejected = read_gateway(&folder.path().join("c.yaml")).unwrap_err();
    let text = told(&rejected, true);
    assert!(text.lines().all(|line| line.chars().count() < 300), "{text}");
}

fn read_gateway(path: &Path) -> Result<GatewayFile, Rejected> {
    gateway_from(path, bytes(path)?, &[], |_| {})
}

fn read_system(path: &Path) -> Result<SystemFile, Rejected> {
    system_from(path, bytes(path)?, &[], |_| {})
}

#[test]
fn what_is_found_wrong_later_is_told_at_its_place() {
    let folder = folder(SMALLEST.trim_start());
    let path = folder.path().join("c.yaml");
    let (path_of, message) = ("listen[0].address".to_owned(), "somebody listens there".to_owned());
    let late = [aqueduct_gateway::Problem { path: path_of, message }];
    let rejected = gateway_from(&path, bytes(&path).unwrap(), &late, |_| {}).unwrap_err();
    let text = told(&rejected, false);
    let place = SMALLEST.trim_start().lines().next().unwrap().find('"').unwrap() + 1;
    assert!(text.contains(&format!("c.yaml:1:{place}: somebody listens there")), "{text}");
}
