//! The gateway's loop: tokio on a worker of `aqueduct-runtime`, a task a connection.

use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::ready;

use aqueduct_runtime::task;
use aqueduct_runtime::worker::Workers;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::counters::Counters;
use super::session::{Buffers, Session};

/// Serves for ever. `ready` is called on the worker's thread.
pub(super) fn start(
    listener: TcpListener,
    size: usize,
    counters: Arc<Counters>,
    ready: impl Fn() + Send + Sync + 'static,
) -> io::Result<Workers<io::Result<()>>> {
    listener.set_nonblocking(true)?;
    let listener = Arc::new(listener);
    Workers::start("netstack", 1, move |_| {
        ready();
        accept(Arc::clone(&listener), size, Arc::clone(&counters))
    })
}

async fn accept(listener: Arc<TcpListener>, size: usize, counters: Arc<Counters>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
    let buffers = Rc::new(Buffers::new(size));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (buffers, counters) = (Rc::clone(&buffers), Arc::clone(&counters));
        // Detached: it ends with its connection.
        drop(task::spawn_local("echo", async move { connection(stream, &buffers, &counters).await }));
    }
}

async fn connection(mut stream: TcpStream, buffers: &Buffers, counters: &Counters) -> io::Result<()> {
    let mut session = Session::default();
    loop {
        let count = std::future::poll_fn(|cx| {
            let mut room = ReadBuf::new(session.room(buffers));
            let polled = Pin::new(&mut stream).poll_read(cx, &mut room);
            let count = room.filled().len();
            if polled.is_pending() {
                session.nothing(buffers);
            }
            ready!(polled)?;
            io::Result::Ok(count).into()
        });
        let count = count.await?;
        if count == 0 {
            session.nothing(buffers);
            return Ok(());
        }
        session.received(count, counters);
        while let Some(rest) = session.answer() {
            let count = stream.write(rest).await?;
            session.sent(count, buffers, counters);
        }
    }
}
