//! A participant of a test: an HTTP/1.1 server that notes what it is asked, and answers as the test says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aqueduct_kit::{Port, until};

/// What a call is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status and a body.
    With(u16, &'static str),
    /// A redirect to this place.
    Redirect(String),
    /// The connection is closed: a lost answer.
    Lost,
    /// Bytes that are no HTTP.
    Garbage,
    /// Nothing, until the participant ends.
    Silence,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// `debit execute 1`: step, operation, attempt.
    pub(crate) fn short(&self) -> String {
        ["x-saga-step", "x-saga-op", "x-saga-attempt"].map(|name| self.header(name)).join(" ")
    }
}

type Answers = dyn Fn(&Seen) -> Reply + Send + Sync;

/// It answers until it is dropped.
pub(crate) struct Participant {
    port: Port,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
}

impl Participant {
    pub(crate) fn start(answers: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let port = Port::free();
        let listener = TcpListener::bind(port.address()).unwrap();
        let (seen, ended) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicBool>::default());
        let (answers, notes, end): (Arc<Answers>, _, _) =
            (Arc::new(answers), Arc::clone(&seen), Arc::clone(&ended));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(SeqCst) {
                    return;
                }
                let (answers, notes, end) = (Arc::clone(&answers), Arc::clone(&notes), Arc::clone(&end));
                thread::spawn(move || serve(&stream.unwrap(), (&*answers, &notes, &end)));
            }
        });
        Self { port, seen, ended }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The url of a step.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// All it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The same, in short.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.seen().iter().map(Seen::short).collect()
    }

    /// Waits until it was asked so often.
    pub(crate) fn wait(&self, count: usize) -> Vec<String> {
        let calls =
            until(Duration::from_secs(30), || Some(self.calls()).filter(|calls| calls.len() >= count));
        assert!(calls.is_some(), "only {:?}", self.calls());
        calls.unwrap()
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.ended.store(true, SeqCst);
        // Wakes the accept.
        drop(TcpStream::connect(self.address()));
    }
}

fn serve(stream: &TcpStream, (answers, notes, ended): (&Answers, &Mutex<Vec<Seen>>, &AtomicBool)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(seen) = read(&mut reader) {
        // Noted first: who looks when the answer is there finds it.
        notes.lock().unwrap().push(seen.clone());
        let bytes = match answers(&seen) {
            Reply::With(status, body) => {
                format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            Reply::Redirect(to) => {
                format!("HTTP/1.1 307 Said\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
            }
            Reply::Garbage => "\u{1}\u{2} no HTTP\r\n\r\n".to_owned(),
            Reply::Lost => return,
            Reply::Silence => {
                until(Duration::from_mins(1), || ended.load(SeqCst).then_some(()));
                return;
            }
        };
        if (&*stream).write_all(bytes.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    };
    let line = next()?;
    let mut headers = BTreeMap::new();
    loop {
        let header = next()?;
        let Some((name, value)) = header.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { line, headers, body: String::from_utf8(body).unwrap() })
}
