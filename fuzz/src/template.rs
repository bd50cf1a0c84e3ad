//! Path templates and the router's tree, against a matcher that looks at every template.

mod reference;
mod service;

use std::collections::BTreeSet;

use aqueduct_transcode::{Lookup, Match, Request, RouteError, Router, Transcoder};
use prost_reflect::{DynamicMessage, Value};

use crate::fixture::descriptor;
use reference::{Answer, Rule};

/// Rules of one input. More find nothing that these do not.
const MOST_RULES: usize = 12;

/// A line with the method and path of a request, then lines with the method and template of a rule each.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let Some((method, path)) = lines.next() else { return };
    let lines: Vec<(&str, &str)> = lines.take(MOST_RULES).collect();

    let rules = Rule::accepted(&lines);
    let router = match build(&lines) {
        Ok(router) => {
            assert_eq!(rules.len(), lines.len(), "only we accept all of {lines:?}");
            router
        }
        Err(refused) => {
            for (index, line) in lines.iter().enumerate() {
                let expected = rules.iter().all(|rule| rule.index != index);
                assert_eq!(refused.contains(&index), expected, "{line:?} is refused by one of two");
            }
            let good: Vec<(&str, &str)> = rules.iter().map(|rule| lines[rule.index]).collect();
            build(&good).unwrap_or_else(|refused| panic!("{refused:?} of {good:?}, without the others"))
        }
    };
    let answer = reference::find(&rules, method, path);
    match (router.find(method, path), answer) {
        (Lookup::Found(found), Answer::Found(rule, values)) => {
            assert_eq!(found.binding.template(), rule.template, "{method} {path} goes to another rule");
            assert_eq!(found.binding.http_method(), rule.method, "{method} {path} goes to another rule");
            check_values(&found, path, &values);
        }
        (Lookup::MethodNotAllowed { allow }, Answer::MethodNotAllowed(expected)) => {
            assert_eq!(allow, expected, "{method} {path}");
        }
        (Lookup::NotFound, Answer::NotFound) | (Lookup::BadPath, Answer::BadPath) => {}
        (found, answer) => panic!("{method} {path}: {found:?}, but expected {answer:?}"),
    }
}

/// A router of these rules, or those that it refuses.
fn build(lines: &[(&str, &str)]) -> Result<Router, BTreeSet<usize>> {
    let schema = service::schema(lines);
    let line = |error: RouteError| match error {
        RouteError::Rule { grpc_path, .. } | RouteError::Conflict { second: grpc_path, .. } => {
            service::index(&grpc_path)
        }
        RouteError::UnknownService(name) => panic!("{name} is there"),
    };
    let built = Router::builder(&schema).service(service::NAME, 0).build();
    built.map_err(|errors| errors.into_iter().map(line).collect())
}

/// The variables arrive in the fields that they are bound to.
fn check_values(found: &Match<'_>, path: &str, values: &[(&str, Vec<u8>)]) {
    let mut wire = Vec::new();
    let request = Request { path, query: None, body: b"" };
    let done = Transcoder::new().encode_request(found, request, &mut wire);
    if values.iter().any(|(_, value)| std::str::from_utf8(value).is_err()) {
        assert!(done.is_err(), "{path} has a variable that is not UTF-8");
        return;
    }
    assert_eq!(done, Ok(()), "{path}");
    let message = DynamicMessage::decode(descriptor(service::MESSAGE), &*wire).unwrap();
    for (name, value) in values {
        let mut at = Value::Message(message.clone());
        for step in name.split('.') {
            at = at.as_message().unwrap().get_field_by_name(step).unwrap().into_owned();
        }
        assert_eq!(at.as_str().unwrap().as_bytes(), value, "{name} of {path}");
    }
}
