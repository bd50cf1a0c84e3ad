//! What is understood of a client's bytes, and what comes of it.

use super::*;
use frame::{CONTINUATION, DATA, HEADERS, PADDED, PING, PRIORITISED, RESET, SETTINGS, WINDOW_UPDATE};

use crate::http2::hpack::Decoder;

/// Everything that a request may be made of.
fn wire() -> Vec<u8> {
    let head = block(&[asks("POST", "/a"), vec![("te", "trailers")]].concat());
    let padded =
        |kind, flags, payload: &[u8]| frame(kind, flags | PADDED, 1, &[&[3], payload, &[0; 3]].concat());
    let prioritised = [&[0, 0, 0, 0, 9], &block(&[("x-sum", "1")])[..]].concat();
    [
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 100]),
        frame(HEADERS, 0, 1, &head[..5]),
        frame(CONTINUATION, 0, 1, &head[5..6]),
        frame(CONTINUATION, END_HEADERS, 1, &head[6..]),
        data(1, false, b"one "),
        frame(77, 0xff, 1, b"unknown"),
        padded(DATA, 0, b"two "),
        request(3, true, &asks("GET", "/b?c=d")),
        data(1, false, b""),
        data(1, false, &[b'x'; 3000]),
        frame(PING, 0, 0, b"12345678"),
        padded(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, &prioritised),
        frame(WINDOW_UPDATE, 0, 1, &[0, 1, 0, 0]),
    ]
    .concat()
}

/// What the server says on its streams: heads, bodies and trailers.
async fn answers(pieces: &[&[u8]]) -> (Vec<String>, Vec<(Vec<String>, usize)>) {
    let (near, io) = tokio::io::duplex(1 << 20);
    let mut raw = Raw { io, server: Server::on(near, Limits::default()) };
    for piece in pieces {
        raw.say(piece).await;
        tokio::task::yield_now().await;
    }
    let mut decoder = Decoder::new(1 << 20, usize::MAX);
    let mut got = vec![(Vec::new(), 0); 2];
    let mut ended = 0;
    while ended < 2 {
        let sent = raw.next().await.expect("an answer");
        if sent.head.kind != HEADERS && sent.head.kind != DATA {
            continue;
        }
        let (heads, length) = &mut got[usize::try_from(sent.head.stream / 2).unwrap()];
        if sent.head.kind == DATA {
            *length += sent.payload.len();
        } else {
            let found = decoder.decode(&sent.payload).unwrap();
            let mut names: Vec<_> = found.fields.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            heads.push(format!("{:?} {names:?}", found.status));
        }
        ended += usize::from(sent.head.has(END_STREAM));
    }
    let mut asked = raw.server.echo.asked.borrow().clone();
    asked.sort();
    (asked, got)
}

#[test]
fn requests_are_the_same_wherever_they_are_cut() {
    let wire = wire();
    let head = r#"Some(200) ["date", "host", "te"]"#.to_owned();
    let trailers = r#"None ["x-total"]"#.to_owned();
    let expect = (
        vec!["GET /b?c=d".to_owned(), "POST /a".to_owned()],
        vec![
            (vec![head, trailers.clone()], 3008),
            (vec![r#"Some(200) ["date", "host"]"#.to_owned(), trailers], 0),
        ],
    );
    for cut in 0..wire.len().min(400) {
        let (before, behind) = wire.split_at(cut);
        assert_eq!(run(answers(&[before, behind])), expect, "cut at {cut}");
    }
    for size in [1, 2, 7, 50] {
        assert_eq!(run(answers(&wire.chunks(size).collect::<Vec<_>>())), expect, "pieces of {size}");
    }
}

/// Counts writes.
struct Counted(DuplexStream, Rc<Cell<usize>>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.1.set(self.1.get() + 1);
        std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[test]
fn the_answers_of_a_turn_are_one_write() {
    run(async {
        let (near, io) = tokio::io::duplex(1 << 20);
        let writes = Rc::new(Cell::new(0));
        let mut raw = Raw { io, server: Server::on(Counted(near, Rc::clone(&writes)), Limits::default()) };
        raw.say(&frame(SETTINGS, 0, 0, &[])).await;
        raw.frame(SETTINGS).await;
        raw.frame(SETTINGS).await;
        writes.set(0);
        let many: Vec<_> = (0..20u32)
            .flat_map(|at| [request(at * 2 + 1, false, &asks("POST", "/")), data(at * 2 + 1, true, b"hello")])
            .collect();
        raw.say(&many.concat()).await;
        for _ in 0..20 {
            assert_eq!(raw.frame(DATA).await.payload, b"hello");
        }
        assert_eq!(raw.frame(HEADERS).await.head.stream, 39, "trailers");
        assert_eq!(writes.get(), 1);
    });
}

#[test]
fn whoever_expects_to_be_told_to_go_on_is_told_once_the_body_is_wanted() {
    run(async {
        let mut raw = Raw::open().await;
        let expects = |path| [asks("POST", path), vec![("expect", "100-continue")]].concat();
        raw.say(&request(1, false, &expects("/"))).await;
        assert_eq!(raw.frame(HEADERS).await.payload, b"\x08\x03100");
        raw.say(&data(1, true, b"body")).await;
        assert_eq!(raw.frame(HEADERS).await.payload[0], 0x88);
        assert_eq!(raw.frame(DATA).await.payload, b"body");
        raw.frame(HEADERS).await;
        // Nobody wants it: the answer is the first that comes, and the rest is not waited for.
        raw.say(&request(3, false, &expects("/ignore"))).await;
        assert_eq!(raw.frame(HEADERS).await.payload[0], 0x88);
        raw.frame(HEADERS).await;
        let reset = raw.frame(RESET).await;
        assert_eq!((reset.head.stream, &reset.payload[..]), (3, &[0; 4][..]));
        // It may be on its way, and is no error.
        raw.say(&data(3, true, b"body")).await;
        raw.say(&request(5, true, &[asks("GET", "/"), vec![("expect", "tea")]].concat())).await;
        assert_eq!(raw.frame(HEADERS).await.head.stream, 5);
        assert_eq!(*raw.server.echo.refused.borrow(), ["expect"]);
    });
}

#[test]
fn what_is_malformed_is_reset_and_spoils_no_other() {
    run(async {
        let mut raw = Raw::open().await;
        let get = |more: &[(&'static str, &'static str)]| [asks("GET", "/"), more.to_vec()].concat();
        let connect = vec![(":method", "CONNECT"), (":authority", "test:80")];
        let path = |path: &'static str| asks("GET", path);
        let bad = [
            get(&[("x-y", " blank")]),
            get(&[("x-y", "blank\t")]),
            get(&[("content-length", "3")]),
            get(&[("content-length", "+0")]),
            get(&[("content-length", "0"), ("content-length", "00")]),
            get(&[("content-length", "0"), ("content-length", "0")]),
            get(&[("te", "gzip")]),
            get(&[("upgrade", "h2c")]),
            get(&[("transfer-encoding", "chunked")]),
            get(&[("x\u{7f}", "y")]),
            get(&[("x-y", "a\nb")]),
            get(&[(":authority", "test")]),
            [connect.clone(), vec![(":scheme", "http"), (":path", "/")]].concat(),
            vec![(":method", "CONNECT")],
            path("no-slash"),
            path("/a b"),
            path("/a#b"),
            path("**"),
            vec![(":method", "G T"), (":scheme", "http"), (":path", "/")],
            vec![(":method", "GET"), (":scheme", "ftp"), (":path", "/")],
            vec![],
        ];
        let mut stream = 1;
        for list in bad {
            raw.say(&request(stream, true, &list)).await;
            let reset = raw.frame(RESET).await;
            assert_eq!((reset.head.stream, &reset.payload[..]), (stream, &[0, 0, 0, 1][..]), "{list:?}");
            stream += 2;
        }
        assert!(raw.server.echo.asked.borrow().is_empty());
        for body in [|id| data(id, true, b"ab"), |id| data(id, false, b"abcd"), |id| request(id, true, &[])] {
            let head = [asks("POST", "/wait"), vec![("content-length", "3")]].concat();
            raw.say(&[request(stream, false, &head), body(stream)].concat()).await;
            let reset = raw.frame(RESET).await;
            assert_eq!((reset.head.stream, &reset.payload[..]), (stream, &[0, 0, 0, 1][..]));
            stream += 2;
        }
        raw.server.echo.asked.borrow_mut().clear();
        for (list, asked) in [
            (connect, "CONNECT test:80"),
            (vec![(":method", "OPTIONS"), (":scheme", "https"), (":path", "*")], "OPTIONS *"),
            (get(&[("content-length", "0")]), "GET /"),
            (get(&[("host", "TEST")]), "GET /"),
            (get(&[("host", "other")]), "GET http://test/"),
        ] {
            raw.say(&request(stream, true, &list)).await;
            assert_eq!(raw.frame(HEADERS).await.head.stream, stream, "{list:?}");
            assert_eq!(raw.server.echo.asked.borrow().last().unwrap(), asked);
            raw.frame(HEADERS).await;
            stream += 2;
        }
    });
}

#[test]
fn windows_open_as_far_as_somebody_reads() {
    run(async {
        let mut raw = Raw::open().await;
        raw.say(&request(1, false, &asks("POST", "/wait"))).await;
        for _ in 0..16 {
            raw.say(&data(1, false, &[0; 16 << 10])).await;
        }
        raw.say(&frame(PING, 0, 0, &[1; 8])).await;
        // What came before its answer: nothing that would open a window.
        assert_eq!(raw.next().await.unwrap().head.kind, PING);
        raw.server.echo.go.notify_one();
        let opened: Vec<_> = [raw.frame(WINDOW_UPDATE).await, raw.frame(WINDOW_UPDATE).await].into();
        assert!(opened.iter().all(|it| it.head.stream == 1), "{opened:?}");
        // A byte more than there is room for.
        raw.say(&request(3, false, &asks("POST", "/wait"))).await;
        for _ in 0..16 {
            raw.say(&data(3, false, &[0; 16 << 10])).await;
        }
        raw.say(&data(3, false, &[0])).await;
        let reset = raw.frame(RESET).await;
        assert_eq!((reset.head.stream, &reset.payload[..]), (3, &[0, 0, 0, 3][..]));
        assert_eq!(raw.server.echo.dropped.get(), 1);
    });
}

/// The connection's window opens for what is thrown away too: what was on its way, what was not wanted, what was reset.
#[test]
fn what_nobody_reads_does_not_use_up_the_window() {
    run(async {
        let mut raw = Raw::open().await;
        let mut stream = 1;
        for path in ["/ignore", "/wait"].repeat(6) {
            raw.say(&request(stream, false, &asks("POST", path))).await;
            raw.say(&frame(PING, 0, 0, &[1; 8])).await;
            raw.frame(PING).await;
            for _ in 0..15 {
                raw.say(&data(stream, false, &[0; 16 << 10])).await;
            }
            if path == "/wait" {
                raw.say(&frame(RESET, 0, stream, &[0, 0, 0, 8])).await;
            }
            stream += 2;
        }
        // More than was announced, which is not kept.
        for _ in 0..70 {
            let head = [asks("POST", "/wait"), vec![("content-length", "3")]].concat();
            raw.say(&[request(stream, false, &head), data(stream, false, &[0; 16 << 10])].concat()).await;
            raw.frame(RESET).await;
            stream += 2;
        }
        raw.say(&request(stream, true, &asks("GET", "/"))).await;
        while raw.frame(HEADERS).await.head.stream != stream {}
    });
}
