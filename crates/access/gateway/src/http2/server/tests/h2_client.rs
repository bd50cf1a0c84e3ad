//! The same requests by h2's client.

use super::*;

/// One request with `body` in one piece or in several; its answer is what was sent.
async fn call(mut send: h2::client::SendRequest<Bytes>, number: usize, body: Bytes) {
    let mut head = Request::post(format!("http://test/path/{}", number % 3)).body(()).unwrap();
    head.headers_mut().insert("x-number", HeaderValue::from(number));
    head.headers_mut().append("x-number", HeaderValue::from(number % 7));
    if number.is_multiple_of(2) {
        head.headers_mut().insert("content-length", HeaderValue::from(body.len()));
    }
    let mut expect = head.headers().clone();
    expect.remove("content-length");
    expect.insert("host", HeaderValue::from_static("test"));
    std::future::poll_fn(|cx| send.poll_ready(cx)).await.unwrap();
    let (answer, mut stream) = send.send_request(head, body.is_empty()).unwrap();
    let writes = async {
        for mut piece in body.chunks(30_000).map(Bytes::copy_from_slice) {
            while !piece.is_empty() {
                stream.reserve_capacity(piece.len());
                let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
                stream.send_data(piece.split_to(room.min(piece.len())), false).unwrap();
            }
        }
        if !body.is_empty() {
            stream.send_data(Bytes::new(), true).unwrap();
        }
    };
    let reads = async {
        let mut answer = answer.await.unwrap();
        assert!(answer.headers_mut().remove("date").is_some());
        assert_eq!(*answer.headers(), expect);
        let mut body = answer.into_body();
        let mut got = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            got.extend_from_slice(&data);
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["x-total"], got.len().to_string());
        got
    };
    let ((), got) = tokio::join!(writes, reads);
    assert!(got == body, "request {number}");
}

#[test]
fn everything_arrives_both_ways() {
    for settings in 0..9 {
        run(async {
            let (near, far) = tokio::io::duplex([100, 4096, 1 << 20][settings % 3]);
            let server = Server::on(near, Limits { streams: [256, 1, 7][settings / 3], ..Limits::default() });
            // Windows, tables and numbers of requests of all kinds.
            let mut builder = h2::client::Builder::new();
            builder
                .initial_window_size([65_535, 1000, 1 << 20][settings % 3])
                .initial_connection_window_size([65_535, 100_000, 1 << 24][settings / 3])
                .header_table_size([4096, 0, 200][settings / 3])
                .initial_max_send_streams(1);
            // h2 sends its preface itself, which is no part of what is served.
            let (send, connection) = builder.handshake::<_, Bytes>(Behind::new(far)).await.unwrap();
            let connection = task::spawn_local("client", connection);
            let calls: Vec<_> = (0..40)
                .map(|number| {
                    let body = Bytes::from(vec![u8::try_from(number).unwrap(); number * number * 100]);
                    task::spawn_local("call", call(send.clone(), number, body))
                })
                .collect();
            for call in calls {
                call.await.unwrap();
            }
            assert_eq!(server.echo.asked.borrow().len(), 40);
            drop(send);
            connection.await.unwrap().unwrap();
            assert!(!server.task.await.unwrap(), "nobody floods");
        });
    }
}

#[test]
fn a_drain_lets_what_is_in_flight_finish() {
    run(async {
        let (near, far) = tokio::io::duplex(4096);
        let server = Server::on(near, Limits::default());
        let (mut send, connection) =
            h2::client::Builder::new().handshake::<_, Bytes>(Behind::new(far)).await.unwrap();
        let connection = task::spawn_local("client", connection);
        let (answer, _) =
            send.send_request(Request::get("http://test/wait").body(()).unwrap(), true).unwrap();
        while server.echo.asked.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        server.drain.start();
        tokio::time::sleep(SECOND).await;
        let more = Request::get("http://test/more").body(()).unwrap();
        assert!(send.ready().await.and_then(|mut send| send.send_request(more, true).map(drop)).is_err());
        server.echo.go.notify_one();
        assert_eq!(answer.await.unwrap().status(), 200);
        connection.await.unwrap().unwrap();
        assert!(!server.task.await.unwrap());
    });
}

/// The client's side of a pipe, without the preface that it begins with.
struct Behind {
    io: DuplexStream,
    left: usize,
}

impl Behind {
    fn new(io: DuplexStream) -> Self {
        Self { io, left: 24 }
    }
}

impl AsyncRead for Behind {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Behind {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if self.left > 0 {
            let count = self.left.min(buf.len());
            self.left -= count;
            return std::task::Poll::Ready(Ok(count));
        }
        std::pin::Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
