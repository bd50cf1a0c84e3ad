//! `aqueduct gateway --openapi`: what it writes is OpenAPI 3.1 to a validator that is not ours, and the answers of the
//! transcoder are what it says they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aqueduct_kit::Scratch;
use aqueduct_shop::proto::DESCRIPTOR_SET;
use aqueduct_transcode::{Options, Schema, Target, Transcoder};
use serde_json::{Value, json};

use crate::kit::{Ended, run};

/// A program that `cargo xtask test` installs beside what cargo builds.
fn installed(program: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("tools/openapi/bin").join(program);
    assert!(
        path.is_file(),
        "{} is missing: `cargo xtask test` installs the OpenAPI validator",
        path.display()
    );
    path
}

/// A gateway's folder with these descriptors, which routes these services.
fn scratch(set: &[u8], services: &[&str]) -> Scratch {
    let scratch = Scratch::new("openapi");
    let routes: Vec<_> =
        services.iter().map(|name| format!("{{ service: {name}, upstream: all }}")).collect();
    let text = format!(
        "listen: [{{ address: \"127.0.0.1:8080\" }}]\ndescriptors: [{{ file: set.pb }}]\n\
         upstreams: {{ all: {{ endpoints: [\"127.0.0.1:1\"] }} }}\nroutes: [{}]\n",
        routes.join(", ")
    );
    fs::write(scratch.path().join("set.pb"), set).unwrap();
    fs::write(scratch.path().join("gateway.yaml"), text).unwrap();
    scratch
}

/// The same with the descriptors of the transcoder's own tests.
fn rich(services: &[&str]) -> Scratch {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/access/transcode");
    let folders = [crates.join("tests/proto"), crates.join("proto"), crates.join("../../../proto")];
    let mut compiler = protox::Compiler::new(folders).unwrap();
    compiler.include_imports(true).include_source_info(true);
    let files = ["gallery_v2.proto", "library.proto", "everything.proto", "documented.proto"];
    compiler.open_files(files).unwrap();
    scratch(&compiler.encode_file_descriptor_set(), services)
}

fn document(scratch: &Scratch) -> String {
    let ended = run(scratch.path(), &["gateway", "--config", "gateway.yaml", "--openapi"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended.stdout
}

/// What the validator says of a document.
fn validate(scratch: &Scratch, document: &str) -> Ended {
    fs::write(scratch.path().join("openapi.json"), document).unwrap();
    let mut validator = Command::new(installed("openapi-spec-validator"));
    validator.current_dir(scratch.path()).args([
        "--schema",
        "3.1",
        "--validation-errors",
        "all",
        "openapi.json",
    ]);
    let output = validator.output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[track_caller]
fn check(scratch: &Scratch, operations: usize) {
    let document = document(scratch);
    let ended = validate(scratch, &document);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(document.matches("\"operationId\"").count(), operations);
}

#[test]
fn a_validator_accepts_the_shops_document() {
    check(&scratch(DESCRIPTOR_SET, &["shop.v1.OrderService"]), 7);
}

#[test]
fn a_validator_accepts_every_kind_of_binding() {
    check(&rich(&["library.v1.Library", "documented.v1.Notes"]), 20);
}

#[test]
fn a_validator_accepts_every_kind_of_field_and_of_path() {
    check(&rich(&["gallery.v1.Gallery", "gallery.v2.Gallery"]), 28);
}

#[test]
fn the_validator_would_find_a_mistake() {
    let scratch = scratch(DESCRIPTOR_SET, &["shop.v1.OrderService"]);
    let good = document(&scratch);
    let mut wrong = serde_json::from_str::<Value>(&good).unwrap();
    wrong["paths"]["/v1/orders/{id}"]["get"]["parameters"] = json!([]);
    assert_ne!(validate(&scratch, &wrong.to_string()).code, Some(0), "a path parameter is missing");
    let twice = good.replace("OrderService_GetOrder", "OrderService_CreateOrder");
    assert_ne!(validate(&scratch, &twice).code, Some(0), "two operations have one id");
}

#[test]
fn a_file_can_be_named_and_what_cannot_be_written_is_told() {
    let scratch = scratch(DESCRIPTOR_SET, &["shop.v1.OrderService"]);
    let to_file = run(scratch.path(), &["gateway", "--openapi", "out.json", "--config", "gateway.yaml"]);
    assert_eq!((to_file.code, to_file.stdout.as_str(), to_file.stderr.as_str()), (Some(0), "", ""));
    let written = fs::read_to_string(scratch.path().join("out.json")).unwrap();
    assert_eq!(written, document(&scratch));
    assert_eq!(
        serde_json::from_str::<Value>(&written).unwrap()["info"],
        json!({"title": "shop.v1", "version": "v1"})
    );

    let nowhere = run(scratch.path(), &["gateway", "--openapi=no/such/folder", "--config", "gateway.yaml"]);
    assert_eq!((nowhere.code, nowhere.stdout.as_str()), (Some(1), ""));
    assert_eq!(nowhere.reason(), "error: write no/such/folder: No such file or directory (os error 2)");

    let file = fs::read_to_string(scratch.path().join("gateway.yaml")).unwrap();
    let reflected = file.replace("file: set.pb", "reflection: all");
    fs::write(scratch.path().join("gateway.yaml"), reflected).unwrap();
    let unread = run(scratch.path(), &["gateway", "--config", "gateway.yaml", "--openapi"]);
    assert_eq!((unread.code, unread.stdout.as_str()), (Some(1), ""));
    assert!(unread.reason().contains("name a descriptor set: descriptors: [{ file: all.pb }]"), "{unread:?}");

    fs::write(scratch.path().join("gateway.yaml"), "lisen: 1\n").unwrap();
    let wrong = run(scratch.path(), &["gateway", "--config", "gateway.yaml", "--openapi"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
}

/// A value for nearly every field of `test.v1.Everything`.
const EVERYTHING: &str = r#"{
  "fDouble": 1.5, "fFloat": 2, "fInt32": -3, "fInt64": "-4", "fUint32": 5, "fUint64": "6", "fSint32": -7,
  "fSint64": "-8", "fFixed32": 9, "fFixed64": "10", "fSfixed32": -11, "fSfixed64": "-12", "fBool": true,
  "fString": "é", "fBytes": "AAE=", "fColor": "BLUE", "fNested": {"count": "1", "tags": ["a"], "inner": {}},
  "fSelf": {"fInt32": 1}, "rDouble": [1, 2.5], "rInt64": ["1"], "rBytes": ["AA=="], "rColor": ["RED", "BLUE"],
  "rNested": [{}, {"name": "x"}], "mStringString": {"a": "b"}, "mInt32Int64": {"-1": "2"},
  "mUint64Bool": {"1": true}, "mBoolBytes": {"true": "AA=="}, "mFixed64Color": {"1": "GREEN"},
  "mStringNested": {"a": {"count": "1"}}, "cNull": null, "wTimestamp": "2026-01-02T03:04:05.678Z",
  "wDuration": "-1.500s", "wMask": "fString,fNested.name", "wStruct": {"a": [1, null, {"b": "c"}]},
  "wValue": null, "wList": [1, "a", null], "wAny": {"@type": "type.googleapis.com/test.v1.Nested", "name": "n"},
  "wEmpty": {}, "wDouble": 1.5, "wInt64": "1", "wUint64": "0", "wBool": false, "wString": "", "wBytes": "",
  "rwTimestamp": ["1970-01-01T00:00:00Z"], "rwValue": [null, true, "x"], "mwDuration": {"a": "3s"},
  "mwValue": {"a": {"b": 1}}, "rwAny": [{}], "rwInt64": ["1"], "alias": "SECOND", "some \"other\" name": "x"
}"#;

/// Fails with what is wrong with the instance by the schema.
const IS_VALID: &str = r##"
import json, sys
from jsonschema import Draft202012Validator as Validator
document, instance = json.load(open("openapi.json")), json.load(open("instance.json"))
schema = {"$ref": "#/components/schemas/" + sys.argv[1], "components": document["components"]}
Validator.check_schema(schema)
errors = list(Validator(schema, format_checker=Validator.FORMAT_CHECKER).iter_errors(instance))
sys.exit("\n".join(f"{error.json_path}: {error.message}" for error in errors) or 0)
"##;

/// What the transcoder prints for a message, by the document.
fn is_valid(scratch: &Scratch, message: &str, instance: &Value) -> Result<(), String> {
    fs::write(scratch.path().join("instance.json"), instance.to_string()).unwrap();
    let mut python = Command::new(installed("python"));
    let output = python.current_dir(scratch.path()).args(["-c", IS_VALID, message]).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
fn answers_are_what_the_document_says() {
    let scratch = rich(&["gallery.v1.Gallery"]);
    fs::write(scratch.path().join("openapi.json"), document(&scratch)).unwrap();
    let schema = Schema::decode(&fs::read(scratch.path().join("set.pb")).unwrap()).unwrap();
    let options = Options::default();
    let target =
        Target { schema: &schema, message: schema.message("test.v1.Everything").unwrap(), options: &options };
    let (mut transcoder, mut wire, mut json) = (Transcoder::new(), Vec::new(), Vec::new());
    transcoder.json_to_wire(target, EVERYTHING.as_bytes(), &mut wire).unwrap();
    transcoder.wire_to_json(target, &wire, &mut json).unwrap();
    let answer: Value = serde_json::from_slice(&json).unwrap();
    assert!(answer.as_object().unwrap().len() > 45, "{answer}");
    is_valid(&scratch, "test.v1.Everything", &answer).unwrap();

    for (field, wrong) in [
        ("fInt64", json!(4)),
        ("fColor", json!("MAUVE")),
        ("wDuration", json!("1 s")),
        ("wTimestamp", json!("yesterday")),
        ("mInt32Int64", json!({"1": 2})),
        ("rwInt64", json!([true])),
        ("wList", json!({})),
        ("cNull", json!(0)),
    ] {
        let mut answer = answer.clone();
        answer[field] = wrong;
        let told = is_valid(&scratch, "test.v1.Everything", &answer).unwrap_err();
        assert!(told.contains(&format!("$.{field}")), "{field}: {told}");
    }
}
