//! Why a descriptor set cannot be used.

use crate::wire::WireError;

/// Why a descriptor set cannot be used. Names are full protobuf names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The bytes are not a `FileDescriptorSet`.
    #[error("this is not a FileDescriptorSet: {what} at byte {at}")]
    Malformed {
        /// What is wrong there.
        what: &'static str,
        /// Byte within the innermost part that could be read.
        at: usize,
    },
    /// Two files of one name with different contents.
    #[error("the file {0} is there twice, with different contents")]
    FileConflict(String),
    /// A syntax or edition this version does not know.
    #[error("{file}: the syntax or edition {syntax} is not supported (proto2, proto3, 2023 and 2024 are)")]
    Syntax {
        /// The file.
        file: String,
        /// What it asks for.
        syntax: String,
    },
    /// Two types or services of one name.
    #[error("the name {0} is declared twice")]
    NameConflict(String),
    /// A field, extension or method names a type that is not in the set.
    #[error("{user}: the type {name} is not in the descriptor set (was it written with --include_imports?)")]
    Unresolved {
        /// The field, extension or method.
        user: String,
        /// The type it names.
        name: String,
    },
    /// A declaration that no protobuf compiler would write.
    #[error("{name}: {what}")]
    Invalid {
        /// The message, field, enum or service.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl SchemaError {
    pub(super) fn invalid(name: &str, what: &'static str) -> Self {
        SchemaError::Invalid { name: name.to_owned(), what }
    }
}

impl From<WireError> for SchemaError {
    fn from(error: WireError) -> Self {
        SchemaError::Malformed { what: error.what, at: error.at }
    }
}
