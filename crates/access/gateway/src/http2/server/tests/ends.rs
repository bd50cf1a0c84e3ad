//! How connections end, and what ends with them.

use super::*;
use frame::{DATA, GOAWAY, HEADERS, PING, RESET, WINDOW_UPDATE};

fn reason(sent: &Sent) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(sent.payload[at..at + 4].try_into().unwrap());
    (number(0), number(4))
}

#[test]
fn a_reset_drops_the_call() {
    run(async {
        let mut raw = Raw::open().await;
        raw.say(&request(1, true, &asks("GET", "/wait"))).await;
        raw.say(&frame(PING, 0, 0, &[0; 8])).await;
        raw.frame(PING).await;
        assert_eq!((raw.server.echo.asked.borrow().len(), raw.server.echo.dropped.get()), (1, 0));
        raw.say(&frame(RESET, 0, 1, &[0, 0, 0, 8])).await;
        raw.say(&frame(PING, 0, 0, &[0; 8])).await;
        raw.frame(PING).await;
        assert_eq!(raw.server.echo.dropped.get(), 1);
        // One that is reset at once is never begun.
        raw.say(&[request(3, true, &asks("GET", "/wait")), frame(RESET, 0, 3, &[0, 0, 0, 8])].concat()).await;
        raw.say(&request(5, true, &asks("GET", "/"))).await;
        assert_eq!(raw.frame(HEADERS).await.head.stream, 5);
        assert_eq!(raw.server.echo.asked.borrow().len(), 2);
    });
}

#[test]
fn a_client_that_goes_drops_its_calls() {
    run(async {
        let mut raw = Raw::open().await;
        raw.say(&request(1, true, &asks("GET", "/wait"))).await;
        raw.say(&frame(PING, 0, 0, &[0; 8])).await;
        raw.frame(PING).await;
        drop(raw.io);
        assert!(!raw.server.task.await.unwrap());
        assert_eq!(raw.server.echo.dropped.get(), 1);
    });
}

#[test]
fn the_good_bye_is_said_twice_and_the_second_names_the_last_stream() {
    run(async {
        let mut raw = Raw::open().await;
        raw.say(&request(1, true, &asks("GET", "/wait"))).await;
        raw.say(&frame(PING, 0, 0, &[0; 8])).await;
        raw.frame(PING).await;
        raw.server.drain.start();
        assert_eq!(reason(&raw.frame(GOAWAY).await), (0x7fff_ffff, 0));
        let ping = raw.frame(PING).await;
        raw.say(&request(3, true, &asks("GET", "/late"))).await;
        raw.say(&frame(PING, frame::ACK, 0, &ping.payload)).await;
        raw.say(&request(5, true, &asks("GET", "/too-late"))).await;
        assert_eq!(reason(&raw.frame(GOAWAY).await), (3, 0));
        let refused = raw.frame(RESET).await;
        assert_eq!((refused.head.stream, &refused.payload[..]), (5, &[0, 0, 0, 7][..]));
        raw.server.echo.go.notify_one();
        loop {
            let sent = raw.next().await.expect("the answer to the first");
            if sent.head.kind == HEADERS && sent.head.stream == 1 && sent.head.has(END_STREAM) {
                break;
            }
        }
        assert!(raw.next().await.is_none());
        assert_eq!(*raw.server.echo.asked.borrow(), ["GET /wait", "GET /late"]);
        drop(raw.io);
        assert!(!raw.server.task.await.unwrap());
    });
}

#[test]
fn whoever_does_not_answer_the_good_bye_is_not_waited_for() {
    run(async {
        let mut raw = Raw::open().await;
        raw.server.drain.start();
        raw.frame(GOAWAY).await;
        let begin = tokio::time::Instant::now();
        while raw.next().await.is_some() {}
        let waited = begin.elapsed();
        assert!((10 * SECOND..40 * SECOND).contains(&waited), "{waited:?}");
    });
}

#[test]
fn an_idle_client_is_told_to_go() {
    run(async {
        let mut raw = Raw::open().await;
        let begin = tokio::time::Instant::now();
        assert_eq!(reason(&raw.frame(GOAWAY).await), (0x7fff_ffff, 0));
        assert_eq!(begin.elapsed(), Timeouts::default().idle);
    });
}

#[test]
fn a_silent_client_is_asked_whether_it_is_there_and_then_given_up() {
    run(async {
        let mut raw = Raw::open().await;
        let _busy = raw.server.client.begin();
        raw.say(&request(1, true, &asks("GET", "/wait"))).await;
        let begin = tokio::time::Instant::now();
        let ping = raw.frame(PING).await;
        assert!((30 * SECOND..=40 * SECOND).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        raw.say(&frame(PING, frame::ACK, 0, &ping.payload)).await;
        let begin = tokio::time::Instant::now();
        raw.frame(PING).await;
        while raw.next().await.is_some() {}
        assert!((50 * SECOND..=80 * SECOND).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        assert_eq!(raw.server.echo.dropped.get(), 1);
    });
}

#[test]
fn half_a_head_is_not_waited_for_while_others_are_in_flight() {
    run(async {
        let mut raw = Raw::open().await;
        let _busy = raw.server.client.begin();
        raw.say(&request(1, true, &asks("GET", "/wait"))).await;
        raw.say(&frame(HEADERS, END_STREAM, 3, &block(&asks("GET", "/")))).await;
        let begin = tokio::time::Instant::now();
        assert_eq!(reason(&raw.frame(GOAWAY).await), (1, 11));
        assert!((10 * SECOND..=20 * SECOND).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    });
}

#[test]
fn a_client_that_reads_nothing_makes_no_more_wait_for_it_than_a_bound() {
    run(async {
        let (near, io) = tokio::io::duplex(1000);
        let mut raw = Raw { io, server: Server::on(near, Limits::default()) };
        let _busy = raw.server.client.begin();
        raw.say(&frame(frame::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).await;
        raw.say(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0])).await;
        for at in 0..100 {
            raw.say(&request(at * 2 + 1, true, &asks("GET", "/long"))).await;
        }
        // A megabyte each, and the answers to pings behind them.
        let flood = frame(PING, 0, 0, &[0; 8]).repeat(100);
        let mut pings = 0;
        while tokio::time::timeout(SECOND, raw.io.write_all(&flood)).await.is_ok_and(|sent| sent.is_ok()) {
            pings += 100;
        }
        assert!(pings < 20_000, "{pings}");
        let begin = tokio::time::Instant::now();
        raw.server.task.await.unwrap();
        assert!(begin.elapsed() <= Timeouts::default().write + 20 * SECOND);
        let mut read = Vec::new();
        raw.io.read_to_end(&mut read).await.unwrap();
        assert!(read.len() < 2000, "{}", read.len());
    });
}

#[test]
fn a_flood_is_cut_with_a_word_that_arrives() {
    let check = |first: Vec<u8>, next: fn(u32) -> Vec<u8>, most: u32| {
        run(async {
            let mut raw = Raw::open().await;
            raw.say(&first).await;
            let (mut reader, mut writer) = tokio::io::split(raw.io);
            let writes = async {
                for at in 0..most {
                    if writer.write_all(&next(at)).await.is_err() {
                        return;
                    }
                }
            };
            let reads = async {
                let mut read = Vec::new();
                reader.read_to_end(&mut read).await.unwrap();
                read
            };
            let ((), read) = tokio::join!(writes, reads);
            let goodbye = &read[read.len() - 17..];
            assert_eq!((goodbye[3], &goodbye[13..]), (GOAWAY, &[0, 0, 0, 11][..]));
            assert!(raw.server.task.await.unwrap(), "counted");
        });
    };
    let post = request(1, false, &asks("POST", "/"));
    check(vec![], |_| frame(PING, 0, 0, &[0; 8]), 20_000);
    check(vec![], |_| frame(PING, frame::ACK, 0, &[0; 8]), 12_000);
    check(vec![], |_| frame(frame::SETTINGS, 0, 0, &[]), 20_000);
    check(vec![], |_| frame(frame::PRIORITY, 0, 9, &[0; 5]), 12_000);
    check(vec![], |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 45_000);
    check(post.clone(), |_| data(1, false, b""), 12_000);
    check(post, |_| frame(DATA, frame::PADDED, 1, &[1, 0]), 12_000);
    // Requests that come to nothing.
    let reset = |at: u32| {
        [request(at * 2 + 1, true, &asks("GET", "/")), frame(RESET, 0, at * 2 + 1, &[0, 0, 0, 8])].concat()
    };
    check(vec![], reset, 1200);
    check(vec![], |at| request(at * 2 + 1, true, &[("x", "y")]), 1300);
    check(vec![], |at| request(at * 2 + 1, false, &asks("GET", "/wait")), 1700);
}
