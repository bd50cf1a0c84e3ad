//! Load from clients that never try again: each request is answered with 200, or a fault is noted. They do what the
//! protocol asks of a client and no more: a connection whose answer says `connection: close`, or that got a GOAWAY, is
//! used no longer.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use aqueduct_kit::process::within;
use aqueduct_kit::until;
use h2::client::SendRequest;

use crate::load::Faults;

/// Clients of each kind.
const KEPT: usize = 6;
const NEW: usize = 2;
const MULTIPLEXED: usize = 2;

#[derive(Debug)]
pub(crate) struct Steady {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    edge: SocketAddr,
    path: String,
    answered: AtomicUsize,
    opened: AtomicUsize,
    stop: AtomicBool,
    faults: Faults,
}

/// What was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) answered: usize,
    pub(crate) connections: usize,
}

impl Steady {
    /// All clients ask for `path` until the end.
    pub(crate) fn start(edge: SocketAddr, path: String) -> Self {
        let shared = Arc::new(Shared {
            edge,
            path,
            answered: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            faults: Faults::default(),
        });
        let clients = (0..KEPT + NEW + MULTIPLEXED).map(|index| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || match index {
                _ if index < KEPT => shared.one_after_the_other("keep-alive"),
                _ if index < KEPT + NEW => shared.one_after_the_other("close"),
                _ => shared.multiplexed(),
            })
        });
        let clients = clients.collect();
        Self { shared, clients }
    }

    /// Waits until so many requests are answered.
    pub(crate) fn wait(&self, answered: usize) {
        let mut before = 0;
        // The limit is for one stretch of silence: how long all of it takes depends on the machine.
        while until(within(60), || (self.shared.answered.load(Relaxed) >= answered).then_some(())).is_none() {
            let now = self.shared.answered.load(Relaxed);
            assert!(now > before, "no request is answered any more, after {now}");
            before = now;
            self.shared.faults.assert_none();
        }
    }

    /// Ends the load. Any fault fails the test.
    pub(crate) fn end(self) -> Done {
        self.shared.stop.store(true, Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        self.shared.faults.assert_none();
        Done { answered: self.shared.answered.load(Relaxed), connections: self.shared.opened.load(Relaxed) }
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    /// HTTP/1.1, with this `connection` header.
    fn one_after_the_other(&self, connection: &str) {
        let request = format!("GET {} HTTP/1.1\r\nhost: edge\r\nconnection: {connection}\r\n\r\n", self.path);
        while self.goes_on() {
            let mut asked = 0;
            let ended = self.one_connection(&request, &mut asked);
            if let Err(error) = ended {
                self.faults.add(format!("HTTP/1.1 ({connection}), request {asked} of a connection: {error}"));
            }
        }
    }

    /// Asks until the server says that this was the last.
    fn one_connection(&self, request: &str, asked: &mut usize) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.edge)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(within(30)))?;
        self.opened();
        loop {
            *asked += 1;
            stream.write_all(request.as_bytes())?;
            let last = read_answer(&mut stream)?;
            self.answered();
            if last || !self.goes_on() {
                return Ok(());
            }
        }
    }

    /// HTTP/2, four requests at a time.
    fn multiplexed(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            while self.goes_on() {
                let opened = tokio::net::TcpStream::connect(self.edge).await;
                let shaken = match opened {
                    Ok(stream) => h2::client::handshake(stream).await.map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                let (sender, connection) = match shaken {
                    Ok(shaken) => shaken,
                    Err(error) => {
                        self.faults.add(format!("HTTP/2, connecting: {error}"));
                        continue;
                    }
                };
                self.opened();
                let ask = || self.ask(sender.clone());
                let asking = async { tokio::join!(ask(), ask(), ask(), ask()) };
                let (mut asking, mut connection) = (std::pin::pin!(asking), std::pin::pin!(connection));
                let early = tokio::select! {
                    biased;
                    _ = &mut asking => continue,
                    ended = &mut connection => ended,
                };
                // All that was asked has been answered by now, or says itself that it was not.
                drop(early);
                asking.await;
            }
        });
    }

    /// Asks for as long as the connection takes requests.
    async fn ask(&self, mut sender: SendRequest<bytes::Bytes>) {
        while self.goes_on() {
            // An error here is a GOAWAY: nothing has been sent yet.
            let Ok(mut free) = sender.ready().await else { return };
            let uri = format!("http://{}{}", self.edge, self.path);
            let request = http::Request::get(uri).body(()).unwrap();
            let Ok((answer, _)) = free.send_request(request, true) else { return };
            match read_stream(answer).await {
                Ok(()) => self.answered(),
                Err(error) => self.faults.add(format!("HTTP/2: {error}")),
            }
            sender = free;
        }
    }
}

async fn read_stream(answer: h2::client::ResponseFuture) -> Result<(), String> {
    let answer = answer.await.map_err(|error| error.to_string())?;
    if answer.status() != 200 {
        return Err(format!("status {}", answer.status()));
    }
    let mut body = answer.into_body();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| format!("in the body: {error}"))?;
        body.flow_control().release_capacity(data.len()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Reads a whole answer that has a length; whether it is the last of its connection.
fn read_answer(stream: &mut TcpStream) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let mut room = [0; 4096];
    loop {
        let count = stream.read(&mut room)?;
        if count == 0 {
            let message = format!("closed after {} bytes of the answer", bytes.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        bytes.extend_from_slice(&room[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let length: usize = field("content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
        if bytes.len() < end + 4 + length {
            continue;
        }
        if !head.starts_with("http/1.1 200 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&bytes).into_owned()));
        }
        return Ok(field("connection") == Some("close"));
    }
}
