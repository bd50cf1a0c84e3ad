//! Documents: a small one to the letter, and what must hold in large ones.

mod queries;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::ApiInfo;
use crate::{Comments, Defaults, Lookup, Options, Request, Router, Schema, Transcoder};

fn descriptors(files: &[&str]) -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests/proto", "proto", "../../../proto"].map(|folder| here.join(folder));
    let mut compiler = protox::Compiler::new(folders).unwrap();
    compiler.include_imports(true).include_source_info(true).open_files(files).unwrap();
    compiler.encode_file_descriptor_set()
}

/// The tag of services whose streams are grpc-gateway's.
const RESULTS: u32 = 7;

fn document_text(set: &[u8], router: &Router) -> String {
    let comments = Comments::read(set).unwrap();
    router.openapi(ApiInfo { title: "Test", version: "v1", comments: &comments, results: &[RESULTS] })
}

fn router(set: &[u8], services: &[&str], options: &Options) -> Router {
    let schema = Schema::decode(set).unwrap();
    let builder = Router::builder(&schema);
    services.iter().fold(builder, |builder, name| builder.service_with(name, 0, options)).build().unwrap()
}

struct Rich {
    router: Router,
    document: Value,
}

static RICH: LazyLock<Rich> = LazyLock::new(|| {
    let set = descriptors(&["gallery_v2.proto", "library.proto", "shop/v1/orders.proto"]);
    let services = ["gallery.v1.Gallery", "gallery.v2.Gallery", "shop.v1.OrderService"];
    let schema = Schema::decode(&set).unwrap();
    // One route that prints otherwise than the rest.
    let odd = Options { proto_names: true, enum_numbers: true, ..Options::default() };
    let builder = services.iter().fold(Router::builder(&schema), |it, name| it.service(name, 0));
    let router = builder.service_with("library.v1.Library", 0, &odd).build().unwrap();
    let document = serde_json::from_str(&document_text(&set, &router)).unwrap();
    Rich { router, document }
});

#[test]
fn a_small_document_is_as_it_was() {
    let set = descriptors(&["documented.proto"]);
    let text = document_text(&set, &router(&set, &["documented.v1.Notes"], &Options::default()));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/documented.openapi.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(&golden).unwrap(),
        "run with UPDATE_GOLDEN=1, and read what changed"
    );
}

#[test]
fn streams_in_the_way_of_grpc_gateway_are_results() {
    let set = descriptors(&["shop/v1/orders.proto"]);
    let schema = Schema::decode(&set).unwrap();
    let router = Router::builder(&schema).service("shop.v1.OrderService", RESULTS).build().unwrap();
    let document: Value = serde_json::from_str(&document_text(&set, &router)).unwrap();
    let content = &document["paths"]["/v1/orders/{id}:watch"]["get"]["responses"]["200"]["content"];
    assert_eq!(content.as_object().unwrap().keys().collect::<Vec<_>>(), ["application/json"]);
    let members = &content["application/json"]["schema"]["properties"];
    assert_eq!(members["result"]["$ref"], "#/components/schemas/shop.v1.Order");
    assert_eq!(members["error"]["$ref"], "#/components/schemas/google.rpc.Status");
}

#[test]
fn what_is_printed_as_null_may_be_null() {
    let set = descriptors(&["library.proto"]);
    let options = Options { defaults: Defaults::PrintNull, ..Options::default() };
    let router = router(&set, &["library.v1.Library"], &options);
    let document: Value = serde_json::from_str(&document_text(&set, &router)).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let members = schemas.iter().filter(|(name, _)| name.ends_with("-nulls"));
    let members: Vec<_> =
        members.filter_map(|(_, schema)| schema["properties"].as_object()).flatten().collect();
    let nullable = members.iter().filter(|(_, value)| value["anyOf"][1]["type"] == "null").count();
    assert!(nullable > 0 && nullable < members.len(), "{nullable} of {}", members.len());
}

#[test]
fn a_router_without_bindings_has_a_document() {
    let text = document_text(&[], &router(&[], &[], &Options::default()));
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["paths"], Value::Object(Map::new()));
}

/// An operation with the path, method and template it stands for.
struct Operation<'a> {
    path: &'a str,
    method: String,
    template: Option<&'a str>,
    value: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, item) in paths {
        for (name, value) in item.as_object().unwrap() {
            if name == "x-aqueduct-operations" {
                all.extend(value.as_array().unwrap().iter().map(|other| Operation {
                    path,
                    method: other["method"].as_str().unwrap().to_owned(),
                    template: other["template"].as_str(),
                    value: &other["operation"],
                }));
            } else {
                all.push(Operation { path, method: name.to_uppercase(), template: None, value });
            }
        }
    }
    all
}

fn each_object<'v>(value: &'v Value, visit: &mut impl FnMut(&'v Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|value| each_object(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| each_object(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = &RICH.document;
    let mut used = BTreeSet::new();
    each_object(document, &mut |object| {
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            used.insert(reference.to_owned());
        }
    });
    for (kind, components) in document["components"].as_object().unwrap() {
        for name in components.as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{name}");
        }
    }
}

#[test]
fn operations_have_ids_of_their_own_and_none_is_lost() {
    let all = operations(&RICH.document);
    let ids: Vec<_> = all.iter().map(|operation| operation.value["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{ids:?}");
    assert_eq!(all.len(), RICH.router.bindings().len());
    for expect in
        ["OrderService_GetOrder", "gallery_v1_Gallery_Get", "gallery_v2_Gallery_Get", "Library_Title5"]
    {
        assert!(ids.contains(&expect), "{expect} in {ids:?}");
    }
    // A method that has the name another one's second binding would have.
    assert!(ids.contains(&"gallery_v1_Gallery_Get2") && ids.contains(&"gallery_v1_Gallery_Get3"), "{ids:?}");
}

#[test]
fn paths_are_distinct_and_have_their_parameters() {
    let mut shapes = HashSet::new();
    for path in RICH.document["paths"].as_object().unwrap().keys() {
        let shape: String =
            path.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect();
        assert!(
            shapes.insert(format!("{shape} {}", path.matches('{').count())),
            "{path} is another one's twin"
        );
    }
    for Operation { path, value, .. } in operations(&RICH.document) {
        let names: Vec<_> = path.split('{').skip(1).map(|part| part.split_once('}').unwrap().0).collect();
        let parameters = value["parameters"].as_array().into_iter().flatten();
        let keys: Vec<_> =
            parameters.map(|it| (it["in"].as_str().unwrap(), it["name"].as_str().unwrap())).collect();
        let in_path: Vec<_> =
            keys.iter().filter(|(place, _)| *place == "path").map(|(_, name)| *name).collect();
        assert_eq!(in_path, names, "{path}");
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "{path}: {keys:?}");
    }
}

#[test]
fn templates_become_paths() {
    let paths = RICH.document["paths"].as_object().unwrap();
    let check = |path: &str, methods: &[&str], others: &[(&str, &str)]| {
        let item = paths.get(path).unwrap_or_else(|| panic!("{path} in {:?}", paths.keys()));
        let own: Vec<_> = item.as_object().unwrap().keys().filter(|name| !name.starts_with("x-")).collect();
        assert_eq!(own, methods, "{path}");
        let listed = item["x-aqueduct-operations"].as_array().into_iter().flatten();
        let listed: Vec<_> =
            listed.map(|it| (it["method"].as_str().unwrap(), it["template"].as_str().unwrap())).collect();
        assert_eq!(listed, others, "{path}");
    };
    check(
        "/v1/pictures/{name}",
        &["delete", "get"],
        &[("LINK", "/v1/pictures/{name}"), ("*", "/v1/pictures/{name}"), ("GET", "/v1/pictures/{path=**}")],
    );
    check("/v1/pictures", &["options"], &[]);
    check("/v1/rooms/{roomsId}/walls/{wallsId}/pictures/{picturesId}", &["get"], &[]);
    check("/v1/rooms/{roomsId}/{name}/{name2}:all", &["get"], &[]);
    check("/v1/{name}/{name2}/and/{segment}/{segment2}/{path}", &["get"], &[]);
    check("/", &["get"], &[]);
    check("/v1/a%2Fb%20c/%C3%BC%3A%7B%7D%3Acustom:verb", &["get"], &[]);
    check("/v1/everything/{fString}", &["get", "put"], &[]);
    check("/v1/books/{id}", &["get", "patch", "put"], &[("LINK", "/v1/books/{id}")]);
    check("/v1/nested/{book.id}/{book.at}", &["put"], &[]);
}

fn names(operation: &Value, place: &str) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.filter(|it| it["in"] == place).map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

fn find<'a>(document: &'a Value, id: &str) -> &'a Value {
    operations(document).into_iter().find(|it| it.value["operationId"] == id).unwrap().value
}

/// A text for a schema.
fn sample(schema: &Value) -> String {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => RICH.document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    };
    if schema["type"] == "array" {
        return sample(&schema["items"]);
    }
    let first = schema["enum"][0].as_str();
    match (schema["type"].as_str().unwrap(), schema["format"].as_str()) {
        ("string", Some("date-time")) => "2026-01-02T03:04:05Z",
        ("string", Some("int64" | "uint64")) | ("integer" | "number", _) => "1",
        ("boolean", _) => "true",
        ("string", None) if schema["pattern"].is_string() => "1.5s",
        ("string", None) if schema["contentEncoding"].is_string() => "AAAA",
        ("string", None) => first.unwrap_or("x"),
        other => panic!("{other:?}"),
    }
    .to_owned()
}

#[test]
fn what_a_document_says_can_be_sent() {
    let mut transcoder = Transcoder::new();
    let mut sent = 0;
    for Operation { path, method, template, value } in operations(&RICH.document) {
        let mut url = path.to_owned();
        let parameters = value["parameters"].as_array().into_iter().flatten();
        let (in_path, in_query): (Vec<_>, Vec<_>) = parameters.partition(|it| it["in"] == "path");
        for parameter in in_path {
            let name = parameter["name"].as_str().unwrap();
            url = url.replace(&format!("{{{name}}}"), &sample(&parameter["schema"]));
        }
        if template.is_some_and(|template| template.contains("**")) {
            url += "/and/more";
        }
        let method = if method == "*" { "BREW" } else { &method };
        let Lookup::Found(found) = RICH.router.find(method, &url) else { panic!("{method} {url}") };
        if let Some(template) = template {
            assert_eq!(found.binding.template(), template, "{url}");
        }
        let pair = |it: &Value| {
            let pair = format!("{}={}&", it["name"].as_str().unwrap(), sample(&it["schema"]));
            pair.replace('"', "%22").replace(' ', "+")
        };
        let (required, others): (Vec<_>, Vec<_>) =
            in_query.into_iter().partition(|it| it["required"] == true);
        let required: String = required.into_iter().map(pair).collect();
        for other in [None].into_iter().chain(others.into_iter().map(Some)) {
            let query = required.clone() + &other.map(pair).unwrap_or_default();
            // Of the bodies only one has a field that is required.
            let body: &[u8] =
                if (method, url.as_str()) == ("POST", "/v1/legacy") { br#"{"id":1}"# } else { b"" };
            let request = Request { path: &url, query: Some(&query), body };
            let done = transcoder.encode_request(&found, request, &mut Vec::new());
            assert_eq!(done, Ok(()), "{method} {url}?{query}");
            sent += 1;
        }
    }
    assert!(sent > 500, "{sent}");
}
