//! Services and methods, as the router and the gateway see them.

use super::MessageId;
use super::http_rule::HttpRule;

/// A gRPC service.
#[derive(Debug)]
pub struct Service {
    pub(super) name: Box<str>,
    pub(super) methods: Box<[Method]>,
}

/// A method of a gRPC service.
#[derive(Debug)]
pub struct Method {
    pub(super) grpc_path: Box<str>,
    pub(super) input: MessageId,
    pub(super) output: MessageId,
    pub(super) client_streaming: bool,
    pub(super) server_streaming: bool,
    pub(super) idempotent: bool,
    pub(super) http: Option<HttpRule>,
}

impl Service {
    /// The full name, such as `shop.v1.OrderService`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its methods, in the order of the file.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }
}

impl Method {
    /// The `:path` of a call, such as `/shop.v1.OrderService/GetOrder`.
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

    /// Whether calling it twice is as good as once: `idempotency_level` is `NO_SIDE_EFFECTS` or `IDEMPOTENT`.
    pub fn idempotent(&self) -> bool {
        self.idempotent
    }

    /// The `google.api.http` annotation, when there is one.
    pub(crate) fn http(&self) -> Option<&HttpRule> {
        self.http.as_ref()
    }
}
