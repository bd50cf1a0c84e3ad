//! An OpenAPI 3.1 document of a router's bindings.
//!
//! Where the two differ, this is how a binding becomes an operation:
//!
//! - Each `*` of a template is a parameter of the path; in `{name=shelves/*/books/*}` they are `{shelvesId}` and
//!   `{booksId}`. Templates that differ only in names are one path, with the names of the first.
//! - `**` is a parameter too, whose description says that it may hold slashes: OpenAPI knows no such thing.
//! - What has no place of its own is an element of `x-aqueduct-operations` of its path, with the `method`, the `template`
//!   and the `operation`: custom methods, the method `*`, and a `**` beside a `*` of the same method.
//! - Schemas are named by the full names of messages and enums; where a route prints proto names or enum numbers they
//!   end in `-protoNames` or `-enumNumbers`, since another route may print the same type otherwise.

mod json;
mod operation;
mod path;
mod query;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::router::{Binding, Router};
use crate::schema::{Comments, Schema};
use json::Value;
use operation::{Operations, service_and_method};
use path::Path;
use types::{Style, Types};

/// What a document says of itself.
#[derive(Debug, Clone, Copy)]
pub struct ApiInfo<'a> {
    /// The name of the API.
    pub title: &'a str,
    /// The version of the API (not of OpenAPI).
    pub version: &'a str,
    /// What the `.proto` files say in comments: summaries and descriptions.
    pub comments: &'a Comments,
    /// The [tags](Binding::tag) of services whose streams are grpc-gateway's: `{"result": …}` a line, whatever `Accept` says.
    pub results: &'a [u32],
}

/// The methods that have a place of their own in a path.
const METHODS: [(&str, &str); 8] = [
    ("GET", "get"),
    ("PUT", "put"),
    ("POST", "post"),
    ("DELETE", "delete"),
    ("OPTIONS", "options"),
    ("HEAD", "head"),
    ("PATCH", "patch"),
    ("TRACE", "trace"),
];

/// A path and what is under it.
struct Item {
    names: Vec<String>,
    text: String,
    operations: Vec<(&'static str, Value)>,
    others: Vec<Value>,
}

impl Router {
    /// The OpenAPI 3.1 document of all bindings, as JSON.
    pub fn openapi(&self, info: ApiInfo<'_>) -> String {
        let empty = Schema::decode(&[]).ok();
        let schema = self.bindings().first().map(Binding::schema).or(empty.as_ref());
        let Some(schema) = schema else { return String::new() };
        let mut operations = Operations {
            types: Types::new(schema, info.comments),
            comments: info.comments,
            results: info.results,
        };
        let items = items(self.bindings(), &mut operations);
        let error = operations.error();
        let paths = items
            .into_iter()
            .fold(Value::object(), |paths, item| paths.with(item.text.clone(), item.value()));
        let about = Value::object().with("title", info.title).with("version", info.version);
        let components = Value::object()
            .with("schemas", operations.types.finish())
            .with_some("responses", error.map(|error| Value::object().with("Error", error)));
        Value::object()
            .with("openapi", "3.1.0")
            .with("info", about)
            .with_any("tags", tags(self.bindings(), info.comments))
            .with("paths", paths)
            .with("components", components)
            .to_text()
    }
}

/// The paths, in the order of the bindings. Templates with `**` come last, so that they never take the place of a more
/// specific one.
fn items(bindings: &[Binding], operations: &mut Operations<'_>) -> Vec<Item> {
    let ids = operation_ids(bindings);
    let all = bindings.iter().zip(&ids).filter_map(|(binding, id)| Some((Path::new(binding)?, id)));
    let (last, first): (Vec<_>, Vec<_>) = all.partition(|(path, _)| path.ends_in_many());
    let mut items: Vec<Item> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (path, id) in first.iter().chain(&last) {
        let binding = path.binding();
        let at = *known.entry(path.key()).or_insert_with(|| {
            let names = path.names(Style::of(binding.options()));
            let text = path.text(names.iter().map(String::as_str));
            items.push(Item { names, text, operations: Vec::new(), others: Vec::new() });
            items.len() - 1
        });
        let Some(item) = items.get_mut(at) else { continue };
        let operation = operations.operation(path, &item.names, id);
        let place = METHODS.iter().find(|(method, _)| *method == binding.http_method());
        match place.filter(|(_, place)| item.operations.iter().all(|(taken, _)| taken != place)) {
            Some((_, place)) => item.operations.push((place, operation)),
            None => item.others.push(
                Value::object()
                    .with("method", binding.http_method())
                    .with("template", binding.template())
                    .with("operation", operation),
            ),
        }
    }
    items
}

impl Item {
    fn value(self) -> Value {
        let item =
            self.operations.into_iter().fold(Value::object(), |item, (place, it)| item.with(place, it));
        item.with_any("x-aqueduct-operations", self.others)
    }
}

/// `OrderService_GetOrder`, with a number from the second binding of a method on. Of services that have one name in two
/// packages the whole name is taken.
fn operation_ids(bindings: &[Binding]) -> Vec<String> {
    let mut packages: HashMap<&str, HashSet<&str>> = HashMap::new();
    for binding in bindings {
        let (service, _) = service_and_method(binding);
        packages.entry(last_part(service)).or_default().insert(service);
    }
    let mut taken = HashSet::new();
    let ids = bindings.iter().map(|binding| {
        let (service, method) = service_and_method(binding);
        let short = last_part(service);
        let is_alone = packages.get(short).is_some_and(|services| services.len() == 1);
        let service = if is_alone { short.to_owned() } else { service.replace('.', "_") };
        let id = unique(format!("{service}_{method}"), |id| taken.contains(id));
        taken.insert(id.clone());
        id
    });
    ids.collect()
}

fn last_part(full_name: &str) -> &str {
    full_name.rsplit_once('.').map_or(full_name, |(_, last)| last)
}

/// The services, with what is said of them.
fn tags(bindings: &[Binding], comments: &Comments) -> Vec<Value> {
    let services: BTreeMap<&str, Value> = bindings
        .iter()
        .map(|binding| {
            let (service, _) = service_and_method(binding);
            let text = comments.of(service).map_or("", |comment| comment.text.as_str());
            (service, Value::object().with("name", service).with_any("description", text))
        })
        .collect();
    services.into_values().collect()
}

/// The name, or else with the first number from 2 on that makes it one of its own.
fn unique(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&name) {
        return name;
    }
    let numbered = (2u32..).map(|n| format!("{name}{n}"));
    numbered.into_iter().find(|name| !is_taken(name)).unwrap_or(name)
}
