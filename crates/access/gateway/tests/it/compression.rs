//! Answers in the coding that the client asks for.

use aqueduct_gateway::{Algorithm, Compression};
use flate2::{Decompress, FlushDecompress};
use zstd_safe::{DCtx, InBuffer, OutBuffer};

use crate::http::Answer;
use crate::setup::Setup;
use crate::transcoded::wait;

fn setup() -> Setup {
    Setup::with(|options| options.routes[0].compression = Some(Compression::default()))
}

/// What a coding says, as far as it goes.
fn decode(coding: &str, data: &[u8]) -> String {
    let mut out = vec![0; 4 << 20];
    let length = if coding == "gzip" {
        let mut state = Decompress::new_gzip(15);
        state.decompress(data, &mut out, FlushDecompress::Sync).unwrap();
        usize::try_from(state.total_out()).unwrap()
    } else {
        let mut output = OutBuffer::around(out.as_mut_slice());
        let mut input = InBuffer::around(data);
        let mut state = DCtx::create();
        while input.pos() < data.len() {
            state.decompress_stream(&mut output, &mut input).unwrap();
        }
        output.pos()
    };
    out.truncate(length);
    String::from_utf8(out).unwrap()
}

/// The answer to a request with this text and `accept-encoding`.
fn say(setup: &Setup, method: &str, text: &str, accept: &str) -> (Answer, Vec<u8>) {
    let mut client = setup.connect();
    let body = format!(r#"{{"text":"{text}"}}"#);
    let head = format!("{method} /v1/say HTTP/1.1\r\nhost: a\r\naccept-encoding: {accept}\r\n");
    client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    client.raw_answer()
}

#[test]
fn a_whole_answer_is_shorter_and_has_its_own_length() {
    let setup = setup();
    let text = "long ".repeat(1000);
    let plain = format!(r#"{{"text":"{text}"}}"#);
    for (accept, coding) in [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0.1, gzip", "gzip")] {
        let (answer, body) = say(&setup, "POST", &text, accept);
        assert_eq!((answer.status, answer.header("content-encoding")), (200, Some(coding)), "{accept}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
        assert!(body.len() < plain.len() / 10, "{}", body.len());
        assert_eq!(decode(coding, &body), plain);
    }
    for accept in ["", "br", "gzip;q=0", "identity, gzip;q=0.5"] {
        let (answer, body) = say(&setup, "POST", &text, accept);
        assert_eq!(
            (answer.header("content-encoding"), answer.header("vary")),
            (None, Some("accept-encoding"))
        );
        assert_eq!(body, plain.as_bytes(), "{accept}");
    }
}

#[test]
fn what_is_not_worth_it_or_not_asked_for_is_left() {
    let setup = setup();
    let (answer, body) = say(&setup, "POST", "short", "gzip");
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None));
    assert_eq!(body, br#"{"text":"short"}"#);
    let off = Setup::start();
    let (answer, _) = say(&off, "POST", &"long ".repeat(1000), "gzip");
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None));
    let gzip_only = Setup::with(|options| {
        let algorithms = vec![Algorithm::Gzip];
        options.routes[0].compression =
            Some(Compression { algorithms, min_bytes: 0, ..Compression::default() });
    });
    let (answer, _) = say(&gzip_only, "POST", &"a".repeat(100), "zstd, gzip;q=0.1");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
}

#[test]
fn head_is_told_what_get_would_be() {
    let setup = setup();
    let mut client = setup.connect();
    let mut ask = |method: &str| {
        let path = format!("/v1/say/{}", "long".repeat(1000));
        client
            .send(format!("{method} {path} HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n").as_bytes());
        if method == "HEAD" { client.head().unwrap() } else { client.raw_answer().0 }
    };
    let told = |answer: Answer| {
        ["content-encoding", "content-length", "vary"].map(|name| answer.header(name).map(str::to_owned))
    };
    let head = told(ask("HEAD"));
    assert_eq!((&head, head[0].as_deref()), (&told(ask("GET")), Some("gzip")));
}

#[test]
fn a_long_answer_goes_piece_by_piece() {
    let setup = setup();
    // Not only repetition, so that there are several pieces.
    let letter =
        |at: u64| char::from_digit(u32::try_from(at * at * 7919 % 10_007 % 36).unwrap(), 36).unwrap();
    let text: String = (0..600_000).map(letter).collect();
    for coding in ["gzip", "zstd"] {
        let (answer, body) = say(&setup, "POST", &text, coding);
        assert_eq!((answer.status, answer.header("content-encoding")), (200, Some(coding)));
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(decode(coding, &body), format!(r#"{{"text":"{text}"}}"#));
    }
}

#[test]
fn a_stream_stays_live() {
    let setup = setup();
    let error = r#"{"error":{"code":5,"message":"none","details":[]}}"#;
    let ndjson = ("", "{\"count\":\"1\"}\n", format!("{error}\n"));
    let events = (
        "accept: text/event-stream\r\n",
        "data: {\"count\":\"1\"}\n\n",
        format!("event: error\ndata: {error}\n\n"),
    );
    for (accept, first, last) in [ndjson, events] {
        for coding in ["gzip", "zstd"] {
            let mut client = setup.connect();
            let head =
                format!("GET /v1/count/103 HTTP/1.1\r\nhost: a\r\n{accept}accept-encoding: {coding}\r\n\r\n");
            client.send(head.as_bytes());
            let head = client.head().unwrap();
            assert_eq!((head.status, head.header("content-encoding")), (200, Some(coding)));
            let mut data = Vec::new();
            // The upstream says nothing more until it is told to: the message can be read before that.
            while decode(coding, &data) != first {
                data.extend(client.raw_chunk().unwrap());
            }
            wait(&setup.backend.seen.waiting);
            setup.backend.seen.go.notify_one();
            data.extend(std::iter::from_fn(|| client.raw_chunk()).flatten());
            assert_eq!(decode(coding, &data), format!("{first}{last}"));
        }
    }
}

#[test]
fn grpc_web_has_its_own() {
    let setup = Setup::with(|options| {
        let types = vec!["application/*".to_owned()];
        options.routes[0].compression = Some(Compression { min_bytes: 0, types, ..Compression::default() });
    });
    let web = "content-type: application/grpc-web-text\r\naccept-encoding: gzip\r\n";
    let answer = setup.connect().post("/test.v1.Echo/Say", web, "AAAAAAA=");
    assert_eq!((answer.status, answer.header("content-encoding"), answer.header("vary")), (200, None, None));
    assert!(answer.body.starts_with("AAAAAAA"), "{}", answer.body);
}
