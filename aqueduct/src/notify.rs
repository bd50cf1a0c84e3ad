//! What a service manager is told when it asked to be (`Type=notify` of systemd): that the process is ready, and which
//! process goes on after an upgrade.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Sends the message to the socket that the environment names, if it does.
pub(crate) fn notify(message: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(Path::new(&socket), message)
    {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

fn send(socket: &Path, message: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.to_str().and_then(|path| path.strip_prefix('@')) {
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return sender.send_to_addr(message.as_bytes(), &address).map(drop);
    }
    sender.send_to(message.as_bytes(), socket).map(drop)
}

#[cfg(test)]
mod tests {
    use super::send;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn the_message_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(&path, "READY=1").unwrap();
        let mut room = [0; 16];
        let count = manager.recv(&mut room).unwrap();
        assert_eq!(&room[..count], b"READY=1");
    }
}
