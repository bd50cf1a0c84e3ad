//! Finds the binding of an HTTP method and path.

use crate::{MessageId, Options, Schema};

/// Why a router cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The schema has no such service.
    #[error("the descriptors have no service {0}")]
    UnknownService(String),
}

/// How the HTTP body becomes part of the request message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// No `body` in the rule: everything comes from path and query, a body is ignored.
    None,
    /// `body: "*"`: the body is the message.
    All,
    /// `body: "field"`: the body is this field of the message.
    Field,
}

/// One `google.api.http` rule of a method, ready for use.
#[derive(Debug)]
pub struct Binding {
    tag: u32,
    http_method: Box<str>,
    template: Box<str>,
    grpc_path: Box<str>,
    input: MessageId,
    output: MessageId,
    client_streaming: bool,
    server_streaming: bool,
    body: BodyRule,
    options: Options,
}

impl Binding {
    /// The caller's mark, given to [`RouterBuilder::service`].
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// `GET`, `POST`, a custom kind, or `*` for any method.
    pub fn http_method(&self) -> &str {
        &self.http_method
    }

    /// The path template as it is written in the rule: a metric label of bounded cardinality.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The `:path` of the upstream call, such as `/shop.v1.OrderService/GetOrder`.
    pub fn grpc_path(&self) -> &str {
        &self.grpc_path
    }

    /// The request type.
    pub fn input(&self) -> MessageId {
        self.input
    }

    /// The response type.
    pub fn output(&self) -> MessageId {
        self.output
    }

    /// Whether the client sends a stream.
    pub fn client_streaming(&self) -> bool {
        self.client_streaming
    }

    /// Whether the server answers with a stream.
    pub fn server_streaming(&self) -> bool {
        self.server_streaming
    }

    /// What the HTTP body is.
    pub fn body(&self) -> BodyRule {
        self.body
    }

    /// The JSON conventions and limits of this route.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

/// A binding that matched, with its path variables as ranges of the path. `Copy`, borrows only the router.
#[derive(Debug, Clone, Copy)]
pub struct Match<'r> {
    /// The binding.
    pub binding: &'r Binding,
}

/// What [`Router::find`] found.
#[derive(Debug)]
pub enum Lookup<'r> {
    /// A binding for this method and path.
    Found(Match<'r>),
    /// The path exists with other methods: 405. `allow` is the value of the `Allow` header (HEAD is in it where GET
    /// is, and OPTIONS always); an OPTIONS request that no binding takes ends here too, and can be answered from it.
    MethodNotAllowed {
        /// Such as `GET, HEAD, OPTIONS, POST`.
        allow: String,
    },
    /// No template matches the path: 404.
    NotFound,
    /// The path is not one: it does not start with `/`, is longer than 65,535 bytes, or has a broken percent-escape.
    BadPath,
}

/// The bindings of all routed services, in a tree over path segments.
#[derive(Debug)]
pub struct Router {
    bindings: Box<[Binding]>,
}

/// Collects the services to route; see [`Router::builder`].
#[derive(Debug)]
pub struct RouterBuilder {
    #[expect(dead_code, reason = "the matcher follows")]
    schema: Schema,
    errors: Vec<RouteError>,
}

impl Router {
    /// Starts a router over the bindings of `schema`.
    pub fn builder(schema: &Schema) -> RouterBuilder {
        RouterBuilder { schema: schema.clone(), errors: Vec::new() }
    }

    /// Finds the most specific template that matches `path` (the raw path of the request line, without the query):
    /// a literal segment goes before `*`, `*` before `**`.
    pub fn find(&self, method: &str, path: &str) -> Lookup<'_> {
        let _ = (method, path);
        Lookup::NotFound
    }

    /// All bindings.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }
}

impl RouterBuilder {
    /// Routes every binding of a service. `tag` is the caller's own mark (an upstream's index), found again in
    /// [`Binding::tag`].
    #[must_use]
    pub fn service(self, name: &str, tag: u32) -> Self {
        self.service_with(name, tag, Options::default())
    }

    /// The same with JSON conventions and limits of its own.
    #[must_use]
    pub fn service_with(mut self, name: &str, tag: u32, options: Options) -> Self {
        let _ = (tag, options);
        self.errors.push(RouteError::UnknownService(name.to_owned()));
        self
    }

    /// Compiles the tree, or reports every bad template, unknown field and conflict at once.
    pub fn build(self) -> Result<Router, Vec<RouteError>> {
        if self.errors.is_empty() { Ok(Router { bindings: Box::new([]) }) } else { Err(self.errors) }
    }
}
