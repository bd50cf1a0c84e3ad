//! Routers over rules that a test writes itself, and the requests that go through them.

use std::path::Path;

use aqueduct_transcode::{
    Lookup, Match, Options, Request, RouteError, Router, Schema, Target, TranscodeError, Transcoder,
};
use protox::file::{ChainFileResolver, File, FileResolver, IncludeFileResolver};

/// One rule: request type, response type, and what stands in `option (google.api.http) = { … }`.
pub(crate) type Rule<'a> = (&'a str, &'a str, &'a str);

struct Source(String);

impl FileResolver for Source {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "rules.proto" {
            File::from_source(name, &self.0)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

pub(crate) fn schema(rules: &[Rule<'_>]) -> Schema {
    let methods: Vec<String> = (0..)
        .zip(rules)
        .map(|(number, (input, output, rule))| {
            let option = format!("option (google.api.http) = {{ {rule} }};");
            format!("rpc M{number}({input}) returns ({output}) {{ {option} }}")
        })
        .collect();
    let methods = methods.join("\n");
    let source = format!(
        "syntax = \"proto3\"; package shaping.v1; import \"google/api/annotations.proto\"; \
         import \"google/api/httpbody.proto\"; import \"google/protobuf/empty.proto\"; import \"shaping.proto\"; import \"shaping_legacy.proto\"; \
         service Rules {{ {methods} }}"
    );
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Source(source));
    for folder in ["tests/proto", "proto", "../../../proto"] {
        resolver.add(IncludeFileResolver::new(here.join(folder)));
    }
    resolver.add(protox::file::GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    let set = compiler.open_file("rules.proto").unwrap().include_imports(true).encode_file_descriptor_set();
    Schema::decode(&set).unwrap()
}

pub(crate) fn router(options: &Options, rules: &[Rule<'_>]) -> Router {
    let schema = schema(rules);
    Router::builder(&schema).service_with("shaping.v1.Rules", 0, options).build().unwrap()
}

/// What is wrong with the rules.
pub(crate) fn problems(rules: &[Rule<'_>]) -> Vec<String> {
    let schema = schema(rules);
    let errors = Router::builder(&schema).service("shaping.v1.Rules", 0).build().expect_err("they are bad");
    errors.iter().map(RouteError::to_string).collect()
}

/// The way from a request to its message.
pub(crate) type Encode =
    fn(&mut Transcoder, &Match<'_>, Request<'_>, &mut Vec<u8>) -> Result<(), TranscodeError>;

pub(crate) const JSON: Encode =
    |transcoder, found, request, out| transcoder.encode_request(found, request, out);
pub(crate) const FORM: Encode =
    |transcoder, found, request, out| transcoder.encode_form_request(found, request, out);
pub(crate) const RAW: Encode =
    |transcoder, found, request, out| transcoder.encode_raw_request(found, request, Some("text/csv"), out);

pub(crate) fn find<'r>(router: &'r Router, method: &str, path: &str) -> Match<'r> {
    match router.find(method, path) {
        Lookup::Found(found) => found,
        other => panic!("{method} {path}: {other:?}"),
    }
}

/// The request message, as JSON; or why there is none, as `kind: words`.
pub(crate) fn message(
    router: &Router,
    encode: Encode,
    (method, url): (&str, &str),
    body: &[u8],
) -> Result<String, String> {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let found = find(router, method, path);
    let mut transcoder = Transcoder::new();
    let mut wire = b"frame".to_vec();
    if let Err(error) = encode(&mut transcoder, &found, Request { path, query, body }, &mut wire) {
        assert_eq!(wire, b"frame", "nothing is left of a failed request");
        assert_eq!(error.code().http_status(), 400);
        return Err(format!("{}: {error}", error.kind().as_str()));
    }
    Ok(printed(&found, &wire[5..]))
}

/// A request message as JSON.
pub(crate) fn printed(found: &Match<'_>, wire: &[u8]) -> String {
    let options = Options::default();
    let target = Target { schema: found.binding.schema(), message: found.binding.input(), options: &options };
    let mut json = Vec::new();
    Transcoder::new().wire_to_json(target, wire, &mut json).unwrap();
    String::from_utf8(json).unwrap()
}
