//! Descriptors of a service with given rules.

use std::sync::LazyLock;

use aqueduct_transcode::Schema;
use prost::Message;

pub(super) const NAME: &str = "fuzz.v1.Rules";
/// The request of every method, in `proto/fuzz.proto`.
pub(super) const MESSAGE: &str = "fuzz.v1.Path";

/// A `FileDescriptorSet` as far as it is needed here: prost's own types have no place for `google.api.http`.
#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(message, repeated, tag = "1")]
    files: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    package: String,
    #[prost(bytes = "vec", repeated, tag = "4")]
    messages: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "6")]
    services: Vec<Service>,
    #[prost(string, tag = "12")]
    syntax: String,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<Method>,
}

#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    input: String,
    #[prost(string, tag = "3")]
    output: String,
    #[prost(message, optional, tag = "4")]
    options: Option<Options>,
}

#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(message, optional, tag = "72295728")]
    http: Option<HttpRule>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRule {
    #[prost(message, optional, tag = "8")]
    custom: Option<Custom>,
}

#[derive(Clone, PartialEq, Message)]
struct Custom {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}

/// The request's type, as protox compiled it.
static PATH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let descriptor = crate::fixture::descriptor(MESSAGE);
    descriptor.descriptor_proto().encode_to_vec()
});

/// A service with one method a rule.
pub(super) fn schema(rules: &[(&str, &str)]) -> Schema {
    let method = |(index, (kind, path)): (usize, &(&str, &str))| {
        let custom = Custom { kind: (*kind).to_owned(), path: (*path).to_owned() };
        let type_name = format!(".{MESSAGE}");
        Method {
            name: format!("M{index}"),
            input: type_name.clone(),
            output: type_name,
            options: Some(Options { http: Some(HttpRule { custom: Some(custom) }) }),
        }
    };
    let methods = rules.iter().enumerate().map(method).collect();
    let file = File {
        name: "rules.proto".to_owned(),
        package: "fuzz.v1".to_owned(),
        messages: vec![PATH.clone()],
        services: vec![Service { name: "Rules".to_owned(), methods }],
        syntax: "proto3".to_owned(),
    };
    Schema::decode(&Set { files: vec![file] }.encode_to_vec()).unwrap()
}

/// Which rule a method was made for.
pub(super) fn index(grpc_path: &str) -> usize {
    grpc_path.rsplit_once("/M").unwrap().1.parse().unwrap()
}
