//! `aqueduct check`: what it says of good and of bad files, where it says it, and the exit code.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use aqueduct_kit::Scratch;
use aqueduct_shop::proto::DESCRIPTOR_SET;

use crate::kit::{aqueduct, run};

const SMALLEST: &str = r#"listen: [{ address: "127.0.0.1:8080" }]
descriptors: [{ file: shop.pb }]            # a FileDescriptorSet
upstreams: { orders: { endpoints: ["127.0.0.1:50051"] } }
routes: [{ service: shop.v1.OrderService, upstream: orders }]
"#;

fn scratch(text: &str) -> Scratch {
    let scratch = Scratch::new("check");
    fs::create_dir(scratch.path().join("etc")).unwrap();
    fs::write(scratch.path().join("etc/shop.pb"), DESCRIPTOR_SET).unwrap();
    fs::write(scratch.path().join("etc/c.yaml"), text).unwrap();
    scratch
}

#[test]
fn a_good_file_is_told_with_what_each_route_maps_to() {
    let ended = run(scratch(SMALLEST).path(), &["check", "etc/c.yaml"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let expect = "\
ok etc/c.yaml: a gateway
  listen    127.0.0.1:8080
  admin     127.0.0.1:9900
  upstream  orders → 127.0.0.1:50051
  route     POST   /v1/orders               → shop.v1.OrderService/CreateOrder  body: *
  route     GET    /v1/orders/{id}          → shop.v1.OrderService/GetOrder
  route     GET    /v1/orders               → shop.v1.OrderService/ListOrders
  route     POST   /v1/orders/{id}:pay      → shop.v1.OrderService/PayOrder  body: *
  route     POST   /v1/orders/{id}:ship     → shop.v1.OrderService/ShipOrder  body: *
  route     POST   /v1/orders/{id}:complete → shop.v1.OrderService/CompleteOrder  body: *
  route     GET    /v1/orders/{id}:watch    → shop.v1.OrderService/WatchOrder  stream
";
    assert_eq!(ended.stdout, expect);
}

/// Descriptors of one service, whose methods are `rules`: name, and what `google.api.http` says.
fn descriptors(folder: &Path, rules: &[(&str, &str)]) -> Vec<u8> {
    let proto = folder.join("service.proto");
    let method = |(name, rule): &(&str, &str)| {
        format!("rpc {name}(In) returns (In) {{ option (google.api.http) = {{ {rule} }}; }}\n")
    };
    let methods: String = rules.iter().map(method).collect();
    let text = format!(
        "syntax = \"proto3\";\npackage test.v1;\nimport \"google/api/annotations.proto\";\n\
         message In {{ int64 number = 1; string name = 2; repeated string tags = 3; }}\n\
         service Test {{\n{methods}}}\n"
    );
    fs::write(&proto, text).unwrap();
    let imports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let mut compiler = protox::Compiler::new([folder, imports.as_path()]).unwrap();
    compiler.include_imports(true).open_file(&proto).unwrap();
    compiler.encode_file_descriptor_set()
}

#[test]
fn what_routes_take_from_each_other_is_noted_and_what_nothing_reaches_is_a_warning() {
    let scratch = scratch(&SMALLEST.replace("shop.v1.OrderService", "test.v1.Test"));
    let set = descriptors(
        scratch.path(),
        &[
            ("GetNumber", r#"get: "/v1/numbers/{number}""#),
            ("NewNumber", r#"get: "/v1/numbers/new""#),
            ("Get", r#"get: "/v1/{name}""#),
            ("New", r#"get: "/v1/new""#),
            ("Old", r#"get: "/v1/old""#),
            ("Tag", r#"post: "/v1/{name}:tag" body: "tags" response_body: "tags""#),
            ("Rest", r#"custom { kind: "*" path: "/{name=**}" }"#),
            ("Live", r#"post: "/livez""#),
            ("Options", r#"custom { kind: "OPTIONS" path: "/livez/options" }"#),
        ],
    );
    fs::write(scratch.path().join("etc/shop.pb"), set).unwrap();
    let ended = run(scratch.path(), &["check", "etc/c.yaml"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let expect = "\
route     GET     /v1/numbers/{number} → test.v1.Test/GetNumber
  route     GET     /v1/numbers/new      → test.v1.Test/NewNumber
  route     GET     /v1/{name}           → test.v1.Test/Get
  route     GET     /v1/new              → test.v1.Test/New
  route     GET     /v1/old              → test.v1.Test/Old
  route     POST    /v1/{name}:tag       → test.v1.Test/Tag  body: tags  response_body: tags
  route     *       /{name=**}           → test.v1.Test/Rest
  route     POST    /livez               → test.v1.Test/Live
  route     OPTIONS /livez/options       → test.v1.Test/Options
  note      GET /v1/{name} leaves /v1/new to test.v1.Test/New (and 1 more like it)
  note      GET /v1/{name} leaves /v1/x:tag to test.v1.Test/Tag, whose verb it ends in; GET is answered 405
  note      * /{name=**} leaves GET /v1/numbers/1 to test.v1.Test/GetNumber at /v1/numbers/{number} (and 7 more like it)
  note      * /{name=**} leaves /healthz to the health probe (and 4 more like it)
  warning   POST /livez is never reached: a health probe has its path; `probes` in the configuration moves it
";
    let (_, routes) = ended.stdout.split_at(ended.stdout.find("route").unwrap());
    assert_eq!(routes, expect);
}

#[test]
fn the_whole_systems_file_is_checked_too() {
    let ended = run(scratch("data: { dir: d }\nadmin: off\n").path(), &["check", "etc/c.yaml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let head: Vec<_> = ended.stdout.lines().take(5).collect();
    let expect = [
        "ok etc/c.yaml: the whole system",
        "  listen    127.0.0.1:8080",
        "  services  127.0.0.1:50051",
        "  admin     off",
        "  data      etc/d",
    ];
    assert_eq!(head, expect);
}

#[test]
fn a_bad_file_is_told_with_every_error_and_exits_with_1() {
    let bad = SMALLEST.replace("orders }]", "order }]").replace("shop.pb }]", "shop.pb, x: 1 }]");
    let ended = run(scratch(&bad).path(), &["check", "etc/c.yaml"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let expect = "\
etc/c.yaml:2:32: unknown key `x`; known here: file
etc/c.yaml:4:53: there is no upstream `order`; there are: orders
error: etc/c.yaml: 2 errors
";
    assert_eq!(ended.stderr, expect);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scratch = scratch(SMALLEST);
    let mut command = aqueduct(scratch.path());
    command.args(["check", "etc/c.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Closed before anything can be written: as by `| head -0`.
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
