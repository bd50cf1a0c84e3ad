//! A small blocking HTTP/1.1 server in this process: what a participant is to the coordinator. How it answers, or fails to, is the
//! test's choice, call by call.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use aqueduct_kit::Port;

/// A request, as its bytes came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header that must be there once, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(have, _)| have == name);
        values.next().map(|(_, value)| value.as_str()).filter(|_| values.next().is_none())
    }
}

/// What becomes of a request.
pub(crate) enum Answer {
    /// A status and a body, and the connection stays.
    Reply(u16, Vec<u8>),
    /// These bytes, whatever they are, and then the connection's end.
    Raw(Vec<u8>),
    /// The connection's end instead of an answer.
    Close,
    /// Nothing, until the other side closes.
    Silence,
    /// Another answer, and something to be done once its last byte is written.
    Then(Box<Self>, Box<dyn FnOnce() + Send>),
}

impl Answer {
    pub(crate) fn ok() -> Self {
        Self::Reply(200, b"{}".to_vec())
    }

    /// The status that is going to be written, if it is one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Reply(status, _) => Some(*status),
            Self::Then(first, _) => first.status(),
            _ => None,
        }
    }
}

/// Answers requests of many connections at a time.
pub(crate) trait Handler: Send + Sync + 'static {
    fn handle(&self, request: &Request) -> Answer;
}

impl<F: Fn(&Request) -> Answer + Send + Sync + 'static> Handler for F {
    fn handle(&self, request: &Request) -> Answer {
        self(request)
    }
}

/// A server; it serves until the process of the test ends.
pub(crate) struct Peer {
    port: Port,
}

impl Peer {
    pub(crate) fn start(handler: impl Handler) -> Self {
        let port = Port::free();
        let listener = TcpListener::bind(port.address()).unwrap();
        let handler = Arc::new(handler);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, handler) = (stream.unwrap(), Arc::clone(&handler));
                // A coordinator that is killed breaks connections anywhere: no error of the test.
                thread::spawn(move || drop(serve(&stream, &*handler)));
            }
        });
        Self { port }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The URL of a step here.
    pub(crate) fn url(&self, what: &str) -> String {
        format!("http://{}/{what}", self.address())
    }
}

fn serve(stream: &TcpStream, handler: &dyn Handler) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        if !answer(stream, &mut reader, handler.handle(&request))? {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

/// Whether the connection stays.
fn answer(mut stream: &TcpStream, reader: &mut BufReader<&TcpStream>, answer: Answer) -> io::Result<bool> {
    match answer {
        Answer::Reply(status, body) => {
            // A redirect leads back here, where whoever follows it is noticed.
            let location = if (300..400).contains(&status) { "location: /followed\r\n" } else { "" };
            let head = format!("HTTP/1.1 {status} X\r\n{location}content-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).map(|()| true)
        }
        Answer::Raw(bytes) => stream.write_all(&bytes).map(|()| false),
        Answer::Close => Ok(false),
        Answer::Silence => io::copy(reader, &mut io::sink()).map(|_| false),
        Answer::Then(first, then) => {
            let stays = self::answer(stream, reader, *first);
            then();
            stays
        }
    }
}

/// `None` at the end of the connection.
fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let first = line(reader)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path), Some(_)) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method, path, headers, body: Vec::new() };
    if request.header("transfer-encoding").is_some() {
        loop {
            let size = u64::from_str_radix(&line(reader)?, 16).map_err(io::Error::other)?;
            reader.take(size).read_to_end(&mut request.body)?;
            line(reader)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = request.header("content-length") {
        let length = length.parse().map_err(io::Error::other)?;
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

fn line(reader: &mut BufReader<&TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
