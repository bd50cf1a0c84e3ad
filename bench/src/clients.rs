//! Our own load: connections that stay open, driven by one epoll loop, at a fixed rate or with a fixed number of requests in
//! flight.
//!
//! h2load measures from when it sends. At a fixed rate that hides what a client waits while the request before its own is
//! late (coordinated omission); here a request's time begins when it was due, whether or not it could be sent by then.

pub(crate) mod grpc;
pub(crate) mod http1;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{Timespec, epoll};

/// Nanoseconds of the machine's monotonic clock, which is one for all processes.
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What is spoken on a connection: one request at a time.
pub(crate) trait Dialect {
    /// What a connection has to remember.
    type State: Default;
    /// What a new connection says first.
    fn preface(&self, out: &mut Vec<u8>);
    /// Appends the next request.
    fn request(&self, state: &mut Self::State, out: &mut Vec<u8>);
    /// Reads on in the answer. `Some` at its end: whether it was a good one.
    fn answer(&self, state: &mut Self::State, input: &[u8], out: &mut Vec<u8>) -> io::Result<Option<bool>>;
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) requests: u64,
    /// The most requests in flight; each has a connection of its own.
    pub(crate) in_flight: usize,
    /// Requests a second, evenly spaced; as fast as they are answered without one.
    pub(crate) rate: Option<f64>,
}

/// What one load brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Nanoseconds from when each answered request was due to the end of its answer, in order of size.
    pub(crate) times: Vec<u64>,
    /// Requests whose answer was a bad one, or did not come.
    pub(crate) failures: u64,
}

impl Outcome {
    /// The time in milliseconds that this part of the requests took at most.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let place = (self.times.len() as f64 * part) as usize;
        self.times.get(place).or(self.times.last()).map_or(f64::NAN, |time| *time as f64 / 1e6)
    }
}

/// Open connections to one address.
pub(crate) struct Clients<D: Dialect> {
    dialect: D,
    address: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection<D::State>>,
    /// The connections without a request. The one that has been idle for longest is used next.
    free: VecDeque<usize>,
    room: Vec<u8>,
}

struct Connection<S> {
    stream: TcpStream,
    state: S,
    out: Vec<u8>,
    written: usize,
    /// When the request in flight was due.
    due: Option<u64>,
}

/// Nothing happens for so long only when something is broken.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

impl<D: Dialect> Clients<D> {
    pub(crate) fn connect(address: SocketAddr, dialect: D, count: usize) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("make an epoll")?;
        let room = vec![0; 256 << 10];
        let mut clients =
            Self { dialect, address, epoll, connections: Vec::new(), free: VecDeque::new(), room };
        for index in 0..count {
            let connection = clients.open(index).with_context(|| format!("connection {index} of {count}"))?;
            clients.connections.push(connection);
            clients.free.push_back(index);
        }
        Ok(clients)
    }

    fn open(&self, index: usize) -> io::Result<Connection<D::State>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let mut preface = Vec::new();
        self.dialect.preface(&mut preface);
        stream.write_all(&preface)?;
        stream.set_nonblocking(true)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(index as u64), flags)?;
        Ok(Connection { stream, state: D::State::default(), out: Vec::new(), written: 0, due: None })
    }

    /// Sends all requests of the plan, and waits for their answers.
    pub(crate) fn run(&mut self, plan: Plan) -> Result<Outcome> {
        ensure!((1..=self.connections.len()).contains(&plan.in_flight), "as many requests as connections");
        let (begin, mut started, mut failures) = (now(), 0, 0);
        let mut times = Vec::with_capacity(usize::try_from(plan.requests)?);
        let mut events: Vec<epoll::Event> = Vec::with_capacity(1024);
        while times.len() as u64 + failures < plan.requests {
            let mut timeout = PATIENCE;
            while started < plan.requests && started - (times.len() as u64 + failures) < plan.in_flight as u64
            {
                let now = now();
                let due = plan.due(begin, started).unwrap_or(now);
                if due > now {
                    timeout = Timespec { tv_sec: 0, tv_nsec: i64::try_from((due - now).min(999_999_999))? };
                    break;
                }
                let index = self.free.pop_front().context("find a free connection")?;
                self.connections[index].due = Some(due);
                started += 1;
                self.start(index)?;
            }
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
            if events.is_empty() && timeout == PATIENCE {
                bail!("no answer from {} for {} s", self.address, PATIENCE.tv_sec);
            }
            for event in &events {
                let index = usize::try_from(event.data.u64())?;
                let Some((due, good)) = self.advance(index)? else { continue };
                if good {
                    times.push(now() - due);
                } else {
                    failures += 1;
                }
                self.free.push_back(index);
            }
        }
        times.sort_unstable();
        Ok(Outcome { times, failures })
    }

    fn start(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        self.dialect.request(&mut connection.state, &mut connection.out);
        // A connection that is broken is found out when it is read.
        connection.flush().or_else(|error| if broken(&error) { Ok(()) } else { Err(error) })
    }

    /// Something happened on a connection. Answers when its request was due, and whether its answer is a good one, if that
    /// is complete. A connection that was closed is opened anew.
    fn advance(&mut self, index: usize) -> io::Result<Option<(u64, bool)>> {
        let connection = &mut self.connections[index];
        let good = if let Ok(good) = connection.advance(&self.dialect, &mut self.room) {
            good
        } else {
            let due = connection.due.take();
            self.connections[index] = self.open(index)?;
            self.connections[index].due = due;
            Some(false)
        };
        let connection = &mut self.connections[index];
        Ok(good.and_then(|good| connection.due.take().map(|due| (due, good))))
    }
}

impl<S> Connection<S> {
    fn advance<D: Dialect<State = S>>(&mut self, dialect: &D, room: &mut [u8]) -> io::Result<Option<bool>> {
        self.flush()?;
        loop {
            let count = match self.stream.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            let done = dialect.answer(&mut self.state, &room[..count], &mut self.out)?;
            self.flush()?;
            // What comes later, for instance the end of the connection, is another event.
            if done.is_some() || count < room.len() {
                return Ok(done);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}

fn broken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl Plan {
    /// When a request is due; `None` for as soon as it can be sent.
    fn due(&self, begin: u64, number: u64) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "nanoseconds of a run")]
        self.rate.map(|rate| begin + (number as f64 * 1e9 / rate) as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::http1::Http1;
    use super::{Clients, Plan};

    /// A server that answers one connection's requests one by one, `pauses` before each.
    fn server(pauses: Vec<Duration>, status: &'static str) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut room = [0; 1024];
            for pause in pauses {
                assert!(stream.read(&mut room).unwrap() > 0);
                #[expect(clippy::disallowed_methods, reason = "a slow server is what is tested")]
                std::thread::sleep(pause);
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok").unwrap();
            }
        });
        address
    }

    #[test]
    fn a_late_answer_counts_against_those_that_had_to_wait_for_it() {
        let mut pauses = vec![Duration::ZERO; 10];
        pauses[0] = Duration::from_millis(100);
        let mut clients = Clients::connect(server(pauses, "200 OK"), Http1::get("/"), 1).unwrap();
        // Due every 5 ms: all ten while the first is being answered.
        let outcome = clients.run(Plan { requests: 10, in_flight: 1, rate: Some(200.0) }).unwrap();
        assert_eq!((outcome.times.len(), outcome.failures), (10, 0));
        assert!(outcome.times[0] >= 50_000_000, "the last one was due at 45 ms: {:?}", outcome.times);
    }

    #[test]
    fn a_refusal_and_a_connection_that_closes_are_failures() {
        let mut clients =
            Clients::connect(server(vec![Duration::ZERO; 2], "503 x"), Http1::get("/"), 1).unwrap();
        let outcome = clients.run(Plan { requests: 2, in_flight: 1, rate: None }).unwrap();
        assert_eq!((outcome.times.len(), outcome.failures), (0, 2));
    }
}
