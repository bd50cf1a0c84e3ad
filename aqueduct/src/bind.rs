//! Listening sockets of the services and of the admin server: one each, so a plain bind, which nobody can join. The
//! edge has a socket a worker and claims its address in `aqueduct_runtime::listen`.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Result, anyhow};

/// Listens on `address`. `flag` is what chooses another one.
pub(crate) fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AddrInUse => "another process listens there",
            ErrorKind::AddrNotAvailable => "no interface of this machine has the address",
            ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE or root",
            _ => return anyhow!("cannot listen on {address}: {error}"),
        };
        anyhow!("cannot listen on {address}: {why}; choose another address with {flag}")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::bind;

    #[test]
    fn an_address_in_use_is_named_with_the_flag() {
        let first = bind("127.0.0.1:0".parse().unwrap(), "--services").unwrap();
        let address = first.local_addr().unwrap();
        let message = bind(address, "--services").unwrap_err().to_string();
        let expect = format!(
            "cannot listen on {address}: another process listens there; choose another address with --services"
        );
        assert_eq!(message, expect);
    }
}
