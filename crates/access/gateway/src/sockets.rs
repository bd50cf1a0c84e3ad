//! What is listened on: the sockets of each address, and which worker accepts from which.
//!
//! A listening socket is never closed while its address is configured: closing it would reset the connections in its
//! accept queue. With fewer workers than sockets a worker accepts from several, with fewer sockets than workers several
//! accept from one.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use aqueduct_runtime::listen::{self, BACKLOG};

use crate::options::{Listen, Problem};

/// All sockets, by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sockets {
    groups: Vec<Group>,
    /// The id of the next socket.
    next: u64,
}

/// The sockets of one address.
#[derive(Debug, Clone)]
struct Group {
    /// As it is configured; its port may be 0.
    asked: SocketAddr,
    address: SocketAddr,
    sockets: Vec<Socket>,
}

/// A listening socket. The gateway holds it; workers accept from duplicates.
#[derive(Debug, Clone)]
pub(crate) struct Socket {
    pub(crate) id: u64,
    listener: Arc<TcpListener>,
}

impl Socket {
    /// A handle for a worker to accept from.
    pub(crate) fn duplicate(&self) -> io::Result<TcpListener> {
        self.listener.try_clone()
    }
}

impl Sockets {
    /// Sockets that another process has opened. They are used for what the options name, and dropped otherwise.
    pub(crate) fn inherited(listeners: Vec<TcpListener>) -> io::Result<Self> {
        let mut all = Self::default();
        for listener in listeners {
            let address = listener.local_addr()?;
            listener.set_nonblocking(true)?;
            all.add(address, address, vec![listener]);
        }
        Ok(all)
    }

    fn add(&mut self, asked: SocketAddr, address: SocketAddr, listeners: Vec<TcpListener>) {
        let ids = self.next..;
        self.next += listeners.len() as u64;
        let sockets = ids.zip(listeners).map(|(id, listener)| Socket { id, listener: Arc::new(listener) });
        match self.groups.iter_mut().find(|group| group.address == address) {
            Some(group) => group.sockets.extend(sockets),
            None => self.groups.push(Group { asked, address, sockets: sockets.collect() }),
        }
    }

    /// The sockets for other addresses or workers: those that are there already, and new ones. Or all that cannot be had.
    pub(crate) fn changed(&self, listen: &[Listen], workers: usize) -> Result<Self, Vec<Problem>> {
        let mut known = self.groups.clone();
        let mut changed = Self { groups: Vec::new(), next: self.next };
        let mut problems = Vec::new();
        // Exact ones first, so that a port 0 does not take what another entry names.
        let mut found: Vec<_> =
            listen.iter().map(|listen| take(&mut known, |group| group.asked == listen.address)).collect();
        for (found, listen) in found.iter_mut().zip(listen) {
            let any_port =
                |group: &Group| listen.address.port() == 0 && group.address.ip() == listen.address.ip();
            *found = found.take().or_else(|| take(&mut known, any_port));
        }
        for (index, (found, listen)) in found.into_iter().zip(listen).enumerate() {
            match found {
                Some(group) => {
                    changed.groups.push(Group { asked: listen.address, ..group });
                }
                None => match claim(listen.address, workers) {
                    Ok((address, listeners)) => changed.add(listen.address, address, listeners),
                    Err(error) => problems.push(Problem {
                        path: format!("listen[{index}].address"),
                        message: error.to_string(),
                    }),
                },
            }
        }
        if problems.is_empty() { Ok(changed) } else { Err(problems) }
    }

    /// A socket for each worker, of every address. Only when somebody is about to accept from them: a socket that listens gets
    /// connections. Those that cannot be had are no failure: workers then share one.
    #[must_use]
    pub(crate) fn grown(mut self, workers: usize) -> Self {
        for Group { address, sockets, .. } in &mut self.groups {
            while sockets.len() < workers {
                match listen::reuse_port(*address, BACKLOG) {
                    Ok(listener) => {
                        sockets.push(Socket { id: self.next, listener: Arc::new(listener) });
                        self.next += 1;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no socket for each worker: some share one");
                        break;
                    }
                }
            }
        }
        self
    }

    /// Where clients connect, in the order of the options.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.groups.iter().map(|group| group.address).collect()
    }

    /// A handle of each socket, for another process.
    pub(crate) fn duplicates(&self) -> io::Result<Vec<TcpListener>> {
        self.groups.iter().flat_map(|group| &group.sockets).map(Socket::duplicate).collect()
    }

    /// Those from which this one of the workers accepts, and their addresses as they are configured. Every socket has an acceptor, and every worker a socket of each
    /// address.
    pub(crate) fn of_worker(&self, index: usize, workers: usize) -> Vec<(SocketAddr, Socket)> {
        let of_group = |group: &Group| {
            let count = group.sockets.len();
            let is_mine = |at: usize| at % workers == index || (count < workers && index % count == at);
            let mine = group.sockets.iter().enumerate().filter(|(at, _)| is_mine(*at));
            mine.map(|(_, socket)| (group.asked, socket.clone())).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of_group).collect()
    }
}

fn take(groups: &mut Vec<Group>, wanted: impl Fn(&Group) -> bool) -> Option<Group> {
    let at = groups.iter().position(wanted)?;
    Some(groups.remove(at))
}

fn claim(address: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let listeners = listen::claim(address, workers)?;
    let address = listeners.first().map_or(Ok(address), TcpListener::local_addr)?;
    Ok((address, listeners))
}

#[cfg(test)]
mod tests {
    use super::Sockets;
    use crate::options::Listen;

    fn listen(count: usize) -> Vec<Listen> {
        vec![Listen::plain("127.0.0.1:0".parse().unwrap()); count]
    }

    fn ids(sockets: &Sockets, workers: usize) -> Vec<Vec<u64>> {
        let ids = |index| sockets.of_worker(index, workers).iter().map(|(_, socket)| socket.id).collect();
        (0..workers).map(ids).collect()
    }

    #[test]
    fn no_socket_is_closed_while_its_address_is_configured() {
        let first = Sockets::default().changed(&listen(2), 3).unwrap();
        assert_eq!(ids(&first, 3), [[0, 3], [1, 4], [2, 5]]);
        let fewer = first.changed(&listen(2), 2).unwrap();
        assert_eq!(ids(&fewer, 2), [vec![0, 2, 3, 5], vec![1, 4]]);
        let more = fewer.changed(&listen(2), 4).unwrap().grown(4);
        assert_eq!(ids(&more, 4), [[0, 3], [1, 4], [2, 5], [6, 7]]);
        assert_eq!(more.addresses(), first.addresses());
        let one = more.changed(&listen(1), 1).unwrap();
        assert_eq!(
            (one.addresses(), ids(&one, 1)),
            (first.addresses()[..1].to_vec(), vec![vec![0, 1, 2, 6]])
        );
    }

    #[test]
    fn inherited_sockets_serve_what_is_configured() {
        let first = Sockets::default().changed(&listen(2), 2).unwrap();
        let inherited = Sockets::inherited(first.duplicates().unwrap()).unwrap();
        let addresses = first.addresses();
        // The second by its address, the first by a port 0.
        let named = [Listen::plain("127.0.0.1:0".parse().unwrap()), Listen::plain(addresses[1])];
        let second = inherited.changed(&named, 3).unwrap().grown(3);
        assert_eq!(second.addresses(), addresses);
        assert_eq!(ids(&second, 3), [[0, 2], [1, 3], [4, 5]]);
        assert_eq!(second.changed(&named, 3).unwrap().addresses(), addresses, "and again");
    }

    #[test]
    fn workers_share_a_socket_that_cannot_be_multiplied() {
        let lone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let named = [Listen::plain(lone.local_addr().unwrap())];
        let shared = Sockets::inherited(vec![lone]).unwrap().changed(&named, 2).unwrap().grown(2);
        assert_eq!(ids(&shared, 2), [[0], [0]]);
    }

    #[test]
    fn every_address_that_cannot_be_had_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut wanted = listen(3);
        wanted[0].address = taken.local_addr().unwrap();
        wanted[2].address = taken.local_addr().unwrap();
        let paths: Vec<_> = Sockets::default()
            .changed(&wanted, 1)
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        assert_eq!(paths, ["listen[0].address", "listen[2].address"]);
    }
}
