//! The examples of the documentation: each page brings its own services, and every request on it is sent.
#![expect(clippy::panic, reason = "a test fails by panicking, in its helpers too")]

pub(crate) mod echo;
mod page;
mod route;

use std::fmt::Write as _;
use std::path::Path;

use aqueduct_gateway::{Descriptors, Options, Route};
use aqueduct_transcode::Schema;

use crate::http::Answer;
use crate::setup::Setup;
use page::{Example, Expected, Page, Refused};

#[test]
fn transcoding() {
    check("transcoding.md", include_str!("../../../../../docs/transcoding.md"), 250);
}

#[test]
fn migrating_from_envoy() {
    check("migrating-from-envoy.md", include_str!("../../../../../docs/migrating-from-envoy.md"), 10);
}

#[test]
fn migrating_from_grpc_gateway() {
    let page = include_str!("../../../../../docs/migrating-from-grpc-gateway.md");
    check("migrating-from-grpc-gateway.md", page, 10);
}

/// Sends all requests of a page. `least` of them: a page whose examples are not found must not pass.
fn check(name: &str, text: &str, least: usize) {
    let page = Page::read(text);
    assert!(page.examples.len() >= least, "{name} has {} examples", page.examples.len());
    let setup = Setup::with(|options| configure(options, &page));
    let mut wrong = String::new();
    for example in &page.examples {
        if let Err(why) = send(&setup, example) {
            writeln!(wrong, "docs/{name}:{}: {} {}: {why}", example.line, example.method, example.target)
                .unwrap();
        }
    }
    for refused in &page.refused {
        if let Err(why) = load(&page, refused) {
            writeln!(wrong, "docs/{name}:{}: {}: {why}", refused.line, refused.rule).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The gateway that the page describes.
fn configure(options: &mut Options, page: &Page) {
    let set = compile(&page.protos);
    let schema = Schema::decode(&set).unwrap();
    options.routes = schema.services().iter().map(|service| Route::new(service.name(), "echo")).collect();
    options.descriptors = vec![Descriptors::set("page", set)];
    for block in &page.configuration {
        route::apply(options, block);
    }
}

fn compile(protos: &[String]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../proto");
    let types = concat!(env!("CARGO_MANIFEST_DIR"), "/../transcode/proto");
    let mut compiler = protox::Compiler::new([folder.path(), Path::new(shared), Path::new(types)]).unwrap();
    compiler.include_imports(true);
    for (index, proto) in protos.iter().enumerate() {
        let name = format!("page{index}.proto");
        std::fs::write(folder.path().join(&name), proto).unwrap();
        compiler.open_file(&name).unwrap_or_else(|error| panic!("{error:?}"));
    }
    compiler.encode_file_descriptor_set()
}

fn send(setup: &Setup, example: &Example) -> Result<(), String> {
    let mut client = setup.connect();
    let Example { method, target, headers, body, .. } = example;
    let headers = headers.join("\r\n") + if headers.is_empty() { "" } else { "\r\n" };
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: library.example\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    client.send(format!("{head}{body}").as_bytes());
    let answer = if method == "HEAD" { client.head() } else { client.answer() };
    compare(example, &answer.ok_or("there is no answer")?)
}

fn compare(example: &Example, answer: &Answer) -> Result<(), String> {
    let found = format!("{} {:?}", answer.status, answer.body);
    if answer.status != example.status {
        return Err(format!("expected {}, found {found}", example.status));
    }
    for (name, expect) in &example.answer_headers {
        let value = answer.header(name).unwrap_or("(none)");
        if !matches(expect, value) {
            return Err(format!("expected {name}: {expect}, found {value}"));
        }
    }
    let same = match &example.expected {
        Expected::Anything => true,
        Expected::Body(body) => {
            matches(body.trim_end(), answer.body.trim_end()) || matches(&compact(body), &answer.body)
        }
        Expected::Message(message) => {
            let message = message.replace('"', "\\\"");
            matches(&format!("{{\"code\":…,\"message\":\"{message}\",\"details\":…}}"), &answer.body)
        }
    };
    if same { Ok(()) } else { Err(format!("found {found}")) }
}

/// Tries the page's descriptors with one more rule, which must not be taken.
fn load(page: &Page, refused: &Refused) -> Result<(), String> {
    let mut protos = page.protos.clone();
    let rule = &refused.rule;
    let service = format!(
        "service Refused {{ rpc Call(Place) returns (Place) {{ option (google.api.http) = {{ {rule} }}; }} }}"
    );
    protos.first_mut().unwrap().push_str(&service);
    let page = Page { protos, ..page.clone() };
    let mut options = crate::setup::options(vec!["127.0.0.1:1".into()]);
    configure(&mut options, &page);
    let problems: Vec<_> = options.validate().into_iter().map(|problem| problem.message).collect();
    let good = problems.iter().any(|problem| matches(&format!("…{}", refused.why), problem));
    if good { Ok(()) } else { Err(format!("found {problems:?}")) }
}

/// Whether a text is as expected, where `…` stands for anything.
fn matches(expect: &str, text: &str) -> bool {
    let Some((first, rest)) = expect.split_once('…') else { return expect == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    match rest.split_once('…') {
        None => text.ends_with(rest),
        Some((next, _)) => {
            text.find(next).is_some_and(|at| text.get(at..).is_some_and(|text| matches(rest, text)))
        }
    }
}

/// JSON without the blanks between its tokens.
fn compact(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |character: &char| {
        let kept = quoted || !character.is_ascii_whitespace();
        quoted ^= *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        kept
    };
    json.chars().filter(keep).collect()
}
