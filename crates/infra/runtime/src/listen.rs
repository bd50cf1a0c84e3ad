//! Listening sockets. Each worker has one of its own on the same address (`SO_REUSEPORT`): the kernel spreads
//! connections over them, and no accept lock is shared.

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// How many connections may wait to be accepted, a socket. The kernel lowers it to `net.core.somaxconn`.
pub const BACKLOG: u32 = 4096;

/// A silent connection is asked for a sign of life after this; the kernel gives it up after nine questions without an answer.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// One non-blocking listener that others *of the same user* may join on the same address: any process of that user
/// can take a share of the connections, silently. Prefer [`claim`].
///
/// # Errors
/// As [`claim`].
pub fn reuse_port(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    open(address)
        .and_then(|socket| listen(socket, address, Port::Shared, backlog))
        .map_err(|e| explain(address, &e))
}

/// `count` non-blocking listeners on one address that nobody else listens on; with port 0 all get the same free port.
///
/// Exclusive although the sockets share the port: the first one listens *without* `SO_REUSEPORT`, which the kernel
/// grants to one socket only, and sets the option afterwards, so that the others can join. There is no gap between
/// the proof and the claim, as there would be with a probe that is closed again: of two processes that start at
/// once, exactly one listens first. Sockets in TIME_WAIT that an earlier process left do not count (`SO_REUSEADDR`).
/// A process that calls [`reuse_port`] instead of this is not kept out.
///
/// # Errors
/// The kind is the system's, most often `AddrInUse`; the text names the address and what can be done.
pub fn claim(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    claim_all(address, count).map_err(|error| explain(address, &error))
}

fn claim_all(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let first = listen(open(address)?, address, Port::Exclusive, BACKLOG)?;
    socket2::SockRef::from(&first).set_reuse_port(true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..count {
        all.push(listen(open(address)?, address, Port::Shared, BACKLOG)?);
    }
    Ok(all)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Exclusive,
    Shared,
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn listen(socket: Socket, address: SocketAddr, port: Port, backlog: u32) -> io::Result<TcpListener> {
    socket.set_reuse_port(port == Port::Shared)?;
    // Accepted sockets inherit it. A peer that vanished without a word is otherwise never noticed by who only waits for it.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4))?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// The same kind of error with a text that a user can act on.
fn explain(address: SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "address in use: another process listens there; stop it or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address; choose another one",
        io::ErrorKind::PermissionDenied => {
            "not permitted: ports below 1024 need CAP_NET_BIND_SERVICE or root"
        }
        _ => return io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::{claim, reuse_port};
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn every_listener_gets_its_share() {
        let listeners = claim(any(), 2).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert_eq!(listeners[1].local_addr().unwrap(), address);
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
        let accepted = listeners.iter().map(|listener| std::iter::from_fn(|| listener.accept().ok()).count());
        let accepted: Vec<_> = accepted.collect();
        // Non-blocking, or the counting would not have ended. That 64 go one way has a chance of 2^-63.
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|count| *count > 0), "{accepted:?}");
    }

    #[test]
    fn a_second_claim_is_refused_with_the_address() {
        let listeners = claim(any(), 3).unwrap();
        let address = listeners[0].local_addr().unwrap();
        for count in [1, 2] {
            let error = claim(address, count).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        drop(listeners);
        claim(address, 2).unwrap();
    }

    #[test]
    fn a_claim_respects_an_ordinary_listener() {
        let other = TcpListener::bind(any()).unwrap();
        let error = claim(other.local_addr().unwrap(), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn connections_that_an_earlier_process_closed_are_no_obstacle() {
        let listeners = claim(any(), 1).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (server, _) = loop {
            match listeners[0].accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                accepted => break accepted.unwrap(),
            }
        };
        // Closed by the server first: its side goes to TIME_WAIT on the listening port.
        drop(server);
        drop(client);
        drop(listeners);
        claim(address, 2).unwrap();
    }

    #[test]
    fn of_simultaneous_claims_exactly_one_wins() {
        for _ in 0..50 {
            let address = TcpListener::bind(any()).unwrap().local_addr().unwrap();
            let barrier = std::sync::Barrier::new(4);
            let won = std::thread::scope(|scope| {
                let race = || {
                    barrier.wait();
                    let claimed = claim(address, 2);
                    // Nobody lets go before all have tried.
                    barrier.wait();
                    claimed.is_ok()
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(race)).collect();
                threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
            });
            assert_eq!(won, 1);
        }
    }

    #[test]
    fn reuse_port_may_be_joined() {
        let first = reuse_port(any(), 16).unwrap();
        reuse_port(first.local_addr().unwrap(), 16).unwrap();
    }

    #[test]
    fn advice_fits_the_error() {
        let error = claim(SocketAddr::from(([192, 0, 2, 1], 0)), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    }
}
