//! What a request costs a server's thread in our HTTP/1 codec and in hyper's, with a service that reads the body and answers at
//! once, and what a connection costs in memory while it is idle: `cargo bench -p aqueduct-gateway --features fuzzing`. Over loopback the kernel's part is in both.
//! Rounds alternate, and the ratio is of the medians.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that prints a table")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aqueduct_gateway::fuzzing::serve_idle;
use aqueduct_runtime::task;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const ROUNDS: usize = 7;
const CLIENTS: usize = 8;
const REQUESTS: usize = 5000;
const IDLE: usize = 5000;

/// Sends a request so many times; the CPU time of one.
type Round = fn(&[u8], usize, bool) -> Duration;

fn main() {
    let fields = "host: api.example.com\r\nuser-agent: bench/1.0\r\naccept: application/json\r\nauthorization: Bearer 0123456789abcdef\r\n\
                  traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx-request-id: 7f3c\r\n";
    let body = "x".repeat(1024);
    let get = format!("GET /v1/orders/123456?view=full HTTP/1.1\r\n{fields}\r\n");
    let post = format!(
        "POST /v1/orders HTTP/1.1\r\n{fields}content-type: application/json\r\ncontent-length: 1024\r\n\r\n{body}"
    );
    let long =
        format!("POST /v1/orders HTTP/1.1\r\n{fields}content-length: 1048576\r\n\r\n{}", "x".repeat(1 << 20));
    if let Some(codec) = std::env::args().skip_while(|argument| argument != "--idle").nth(1) {
        return println!("{}", idle(get.as_bytes(), codec == "hyper"));
    }
    for codec in ["ours", "hyper"] {
        let own = std::env::current_exe().unwrap();
        let output = std::process::Command::new(own).args(["--idle", codec]).output().unwrap();
        let bytes = String::from_utf8(output.stdout).unwrap();
        println!("memory of an idle connection, of {IDLE}: {codec} {} bytes", bytes.trim());
    }
    println!("CPU time of the server's thread per request, median of {ROUNDS} rounds");
    for (name, request, count) in
        [("GET", get, REQUESTS), ("POST of 1 KB", post, REQUESTS), ("POST of 1 MB", long, REQUESTS / 100)]
    {
        let rounds: [(_, Round); 2] = [("over loopback", round), ("in memory", replay)];
        for (how, round) in rounds {
            let mut costs = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (hyper, costs) in [false, true].into_iter().zip(&mut costs) {
                    costs.push(round(request.as_bytes(), count, hyper));
                }
            }
            let [own, hyper] = costs.map(|mut costs| {
                costs.sort_unstable();
                costs[ROUNDS / 2]
            });
            let ratio = own.as_secs_f64() / hyper.as_secs_f64();
            println!("{name} {how}: ours {own:?}, hyper {hyper:?}, ratio {ratio:.2}");
        }
    }
}

/// A client in memory: sends a request each time it is asked for bytes, so many times, and throws answers away.
struct Replay {
    request: Vec<u8>,
    at: usize,
    left: usize,
}

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left > 0 {
            let rest = &self.request[self.at..];
            let count = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..count]);
            self.at = (self.at + count) % self.request.len();
            self.left -= usize::from(self.at == 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }
}

/// The codec's own CPU time per request, without the kernel.
fn replay(request: &[u8], count: usize, hyper: bool) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let count = CLIENTS * count;
    let before = cpu();
    runtime.block_on(serve_idle(Replay { request: request.to_vec(), at: 0, left: count }, hyper));
    cpu().checked_sub(before).unwrap() / u32::try_from(count).unwrap()
}

/// The memory that a connection takes which has had a request and waits for another. In a process of its own, in which nothing
/// is used again.
fn idle(request: &[u8], hyper: bool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let before = resident();
    let mut clients = Vec::with_capacity(IDLE);
    local.block_on(&runtime, async {
        for _ in 0..IDLE {
            let mut client = TcpStream::connect(address).unwrap();
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            task::spawn_local("idle", serve_idle(tokio::net::TcpStream::from_std(stream).unwrap(), hyper));
            client.write_all(request).unwrap();
            client.set_nonblocking(true).unwrap();
            while client.read(&mut [0; 512]).is_err() {
                tokio::task::yield_now().await;
            }
            clients.push(client);
        }
    });
    resident().checked_sub(before).unwrap() / IDLE
}

/// The memory of this process that is in use.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The server's CPU time per request.
fn round(request: &[u8], count: usize, hyper: bool) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || serve(&listener, hyper));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| ask(address, request, count));
        }
    });
    server.join().unwrap() / u32::try_from(CLIENTS * count).unwrap()
}

/// Serves so many connections until they are closed; the CPU time that this took.
fn serve(listener: &TcpListener, hyper: bool) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let streams: Vec<_> = (0..CLIENTS).map(|_| listener.accept().unwrap().0).collect();
    let before = cpu();
    local.block_on(&runtime, async {
        let connections = streams.into_iter().map(|stream| {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            task::spawn_local("connection", serve_idle(stream, hyper))
        });
        for connection in connections.collect::<Vec<_>>() {
            connection.await.unwrap();
        }
    });
    cpu().checked_sub(before).unwrap()
}

/// The time that this thread has been on a core.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn ask(address: SocketAddr, request: &[u8], count: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = vec![0; 4096];
    for _ in 0..count {
        stream.write_all(request).unwrap();
        let mut length = 0;
        while !answer[..length].ends_with(br#"{"text":"hello"}"#) {
            let read = stream.read(&mut answer[length..]).unwrap();
            assert!(read > 0, "the server has hung up");
            length += read;
        }
    }
}
