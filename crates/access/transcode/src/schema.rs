//! The compiled form of a `FileDescriptorSet`: flat tables of messages, enums and methods.

mod builtin;
mod check;
mod comments;
mod compile;
mod error;
mod features;
mod http_rule;
mod index;
mod key;
mod raw;
mod reach;
mod service;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;

pub use comments::Comments;
pub use error::SchemaError;
pub(crate) use http_rule::HttpRule;
pub(crate) use key::Key;
pub use service::{Method, Service};
pub(crate) use tables::{Enum, Field, Kind, Message, NO_ONEOF, Shape, WellKnown};

use compile::TypeRef;

/// A message type of a [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(pub(crate) u32);

/// Everything known about a set of `.proto` files. Immutable, and cheap to clone.
///
/// The well-known types and the error details of `google/rpc` are known even where the set does not have them.
#[derive(Clone)]
pub struct Schema(Arc<Tables>);

pub(crate) struct Tables {
    messages: Box<[Message]>,
    enums: Box<[Enum]>,
    types: HashMap<Box<str>, TypeRef>,
    services: Box<[Service]>,
    /// gRPC path → positions of the service and of the method in it.
    methods: HashMap<Box<str>, (usize, usize)>,
}

impl Schema {
    /// Compiles a serialised `google.protobuf.FileDescriptorSet`, imports included (`protoc --include_imports
    /// --descriptor_set_out`, `buf build`, `protox`). Several sets may be concatenated: files they share are read once.
    pub fn decode(descriptor_set: &[u8]) -> Result<Schema, SchemaError> {
        compile::compile(descriptor_set).map(|tables| Schema(Arc::new(tables)))
    }

    /// The services of the set.
    pub fn services(&self) -> &[Service] {
        &self.0.services
    }

    /// The service with this full name, such as `shop.v1.OrderService`.
    pub fn service(&self, full_name: &str) -> Option<&Service> {
        self.0.services.iter().find(|service| service.name() == full_name)
    }

    /// The method with this gRPC path, such as `/shop.v1.OrderService/GetOrder`.
    pub fn method(&self, grpc_path: &str) -> Option<&Method> {
        let &(service, method) = self.0.methods.get(grpc_path)?;
        self.0.services.get(service)?.methods().get(method)
    }

    /// The message type with this full name, such as `shop.v1.Order`.
    pub fn message(&self, full_name: &str) -> Option<MessageId> {
        match self.0.types.get(full_name)? {
            TypeRef::Message(at) => Some(MessageId(*at)),
            TypeRef::Enum(_) => None,
        }
    }

    /// The full name of a message type of this schema.
    pub fn message_name(&self, id: MessageId) -> &str {
        &self.message_at(id.0).full_name
    }

    /// Indexes come from the tables themselves, so they are within.
    #[inline]
    pub(crate) fn message_at(&self, at: u32) -> &Message {
        &self.0.messages[at as usize]
    }

    #[inline]
    pub(crate) fn enum_at(&self, at: u32) -> &Enum {
        &self.0.enums[at as usize]
    }

    /// The message a field holds.
    #[inline]
    pub(crate) fn message_of(&self, field: &Field) -> &Message {
        self.message_at(field.type_index)
    }

    /// The enum a field holds.
    #[inline]
    pub(crate) fn enum_of(&self, field: &Field) -> &Enum {
        self.enum_at(field.type_index)
    }
}

impl fmt::Debug for Schema {
    /// The names of the services: the tables would fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.services.iter().map(Service::name)).finish()
    }
}
