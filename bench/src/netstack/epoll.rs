//! The bare loop: epoll, edge-triggered, and nothing else.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll;

use super::counters::{Count, Counters};
use super::session::{Buffers, Session};

const LISTENER: u64 = u64::MAX;

/// Serves for ever.
pub(super) fn serve(listener: &TcpListener, size: usize, counters: &Counters) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let buffers = Buffers::new(size);
    let mut connections: HashMap<u64, (TcpStream, Session)> = HashMap::new();
    let mut next = 0;
    let mut events: Vec<epoll::Event> = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        counters.add(Count::Waits, 1);
        for event in &events {
            let token = event.data.u64();
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
                    epoll::add(&epoll, &stream, epoll::EventData::new_u64(next), flags)?;
                    connections.insert(next, (stream, Session::default()));
                    next += 1;
                }
            } else if let Some((stream, session)) = connections.get_mut(&token)
                && !advance(stream, session, &buffers, counters)
            {
                connections.remove(&token);
            }
        }
    }
}

/// Reads and writes what can be; whether the connection goes on.
fn advance(stream: &mut TcpStream, session: &mut Session, buffers: &Buffers, counters: &Counters) -> bool {
    let mut drained = false;
    loop {
        while let Some(rest) = session.answer() {
            match stream.write(rest) {
                Ok(count) => session.sent(count, buffers, counters),
                Err(error) => {
                    counters.add(Count::Writes, 1);
                    return error.kind() == ErrorKind::WouldBlock;
                }
            }
        }
        if drained {
            return true;
        }
        let room = session.room(buffers);
        let size = room.len();
        match stream.read(room) {
            Ok(0) => return false,
            Ok(count) => {
                session.received(count, counters);
                // Fewer bytes than there was room for: there were no more.
                drained = count < size;
            }
            Err(error) => {
                counters.add(Count::Reads, 1);
                session.nothing(buffers);
                return error.kind() == ErrorKind::WouldBlock;
            }
        }
    }
}
