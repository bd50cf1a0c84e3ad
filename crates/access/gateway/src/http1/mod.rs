//! HTTP/1.1 (RFC 9112), strictly: the server's side of a connection, whatever carries its bytes. `docs/adr/0005-http1-codec.md`
//! says why it is our own.

mod body;
mod chunked;
mod connection;
mod fields;
mod head;
mod progress;
mod scan;
mod socket;
mod syntax;
mod write;

pub(crate) use self::connection::{grace, serve};
pub(crate) use self::fields::expects;
pub(crate) use self::head::unknown;
pub(crate) use self::syntax::is_authority;
