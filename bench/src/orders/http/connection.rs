//! One HTTP/1.1 connection with one request at a time: as little as can be, so that the client's share of the machine
//! stays small.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect to the edge")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// POSTs JSON, with header lines besides; the answer must be a 200 with JSON and its length.
    pub(crate) async fn post(&mut self, path: &str, headers: &str, body: &str) -> Result<Value> {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n");
        let request = format!("{head}{headers}content-length: {length}\r\n\r\n{body}");
        self.stream.write_all(request.as_bytes()).await?;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the edge closed the connection instead of answering {path}");
            }
            if let Some(body) = whole_body(&self.received)? {
                return serde_json::from_slice(body).with_context(|| format!("read the answer to {path}"));
            }
        }
    }
}

/// The body of a 200 with a `content-length`, once all of it is there.
fn whole_body(bytes: &[u8]) -> Result<Option<&[u8]>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (str::from_utf8(&bytes[..end])?, &bytes[end + 4..]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.with_context(|| format!("find the length in: {head}"))?;
    if body.len() < length {
        return Ok(None);
    }
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}\n{}", String::from_utf8_lossy(body));
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::whole_body;

    #[test]
    fn an_answer_is_read_when_it_is_whole_and_good() {
        let good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(whole_body(good).unwrap(), Some(&b"{}"[..]));
        assert_eq!(whole_body(&good[..good.len() - 1]).unwrap(), None);
        assert_eq!(whole_body(&good[..10]).unwrap(), None);
        assert!(whole_body(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{}").is_err());
        assert!(whole_body(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
