//! Between a system and its database: loses the reply to the COMMIT of a batch of orders, when it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to the next COMMIT of a transaction that wrote to the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It reaches the server; its reply is lost with the connection.
    Reply,
    /// The connection breaks before it reaches the server.
    Commit,
}

/// A port that leads to the database.
pub(crate) struct Proxy {
    port: u16,
    next: Arc<Mutex<Option<Loss>>>,
}

impl Proxy {
    pub(crate) fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let next: Arc<Mutex<Option<Loss>>> = Arc::default();
        let shared = Arc::clone(&next);
        // They end with the process of the test.
        thread::spawn(move || {
            for client in listener.incoming() {
                let next = Arc::clone(&shared);
                thread::spawn(move || {
                    if let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) {
                        // An end that is gone is what it is for.
                        _ = carry(client, server, &next);
                    }
                });
            }
        });
        Self { port, next }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn lose(&self, loss: Loss) {
        assert_eq!(self.next.lock().unwrap().replace(loss), None, "the last one was not lost yet");
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }
}

fn carry(mut client: TcpStream, mut server: TcpStream, next: &Mutex<Option<Loss>>) -> std::io::Result<()> {
    let (mut replies, mut to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        _ = std::io::copy(&mut replies, &mut to_client);
        _ = to_client.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 1 << 16];
    let mut of_orders = false;
    loop {
        let read = client.read(&mut buffer)?;
        let bytes = &buffer[..read];
        if bytes.is_empty() {
            return server.shutdown(Shutdown::Both);
        }
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        of_orders |= has(b"INTO order_outbox");
        if has(b"COMMIT") && !has(b"READ COMMITTED") && std::mem::take(&mut of_orders) {
            match next.lock().unwrap().take() {
                None => {}
                Some(Loss::Commit) => {
                    client.shutdown(Shutdown::Both)?;
                    return server.shutdown(Shutdown::Both);
                }
                Some(Loss::Reply) => {
                    // Nothing reaches the client any more; the server is left to finish.
                    client.shutdown(Shutdown::Both)?;
                    return server.write_all(bytes);
                }
            }
        }
        server.write_all(bytes)?;
    }
}
