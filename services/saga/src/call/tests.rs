use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_saga::{Call, Definition, Executor as _, Op, Outcome, SagaId};
use aqueduct_telemetry::metrics::Registry;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use super::connect::Connect;
use super::{Caller, MOST_OUTPUT};
use crate::proto::participant_server::{Participant, ParticipantServer};
use crate::proto::{CallRequest, CallResponse};

const PAYLOAD: &str = r#"{ "cents" : 1.10, "to":12345678901234567890 }"#;

fn call(target: String, op: Op) -> Call {
    Call {
        saga: SagaId::new("t-1").unwrap(),
        definition: Definition::Dynamic,
        step: "debit".into(),
        number: 0,
        op,
        attempt: 7,
        target,
        payload: PAYLOAD.into(),
        context: vec![("traceparent".into(), "00-1-2-01".into()), ("x-aqueduct-color".into(), "blue".into())],
        outputs: Vec::new(),
        timeout: Duration::from_secs(5),
    }
}

/// Answers every gRPC call with what it is told to, and notes what it is asked.
#[derive(Clone, Default)]
struct Bank(Arc<Mutex<(Option<Status>, Vec<String>)>>);

impl Bank {
    fn answer(&self, method: &str, request: Request<CallRequest>) -> Result<Response<CallResponse>, Status> {
        let mut state = self.0.lock().unwrap();
        let told =
            |name: &str| request.metadata().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let metadata =
            ["x-saga-id", "x-saga-step", "x-saga-op", "x-saga-attempt", "traceparent", "x-aqueduct-color"]
                .map(told);
        assert!(!told("grpc-timeout").is_empty());
        let CallRequest { saga_id, step, attempt, payload } = request.into_inner();
        state.1.push(format!("{method} {} | {saga_id} {step} {attempt} {payload}", metadata.join(" ")));
        match &state.0 {
            Some(status) => Err(status.clone()),
            None => Ok(Response::new(CallResponse { output: "{\"id\":1.10}".into() })),
        }
    }
}

#[tonic::async_trait]
impl Participant for Bank {
    async fn execute(&self, request: Request<CallRequest>) -> Result<Response<CallResponse>, Status> {
        self.answer("Execute", request)
    }

    async fn compensate(&self, request: Request<CallRequest>) -> Result<Response<CallResponse>, Status> {
        self.answer("Compensate", request)
    }
}

async fn grpc(bank: Bank) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(ParticipantServer::new(bank));
    aqueduct_runtime::task::spawn("bank", server.serve_with_incoming(TcpIncoming::from(listener)));
    format!("grpc://{address}")
}

#[tokio::test]
async fn a_grpc_participant_is_asked_with_everything_and_its_code_decides() {
    let bank = Bank::default();
    let target = grpc(bank.clone()).await;
    let caller = Caller::new(&Registry::new());
    let done = caller.send(call(target.clone(), Op::Execute)).await;
    assert_eq!(done, Outcome::Done("{\"id\":1.10}".into()));
    let named = format!("{target}/aqueduct.saga.v1.Participant");
    assert_eq!(caller.send(call(named, Op::Compensate)).await, done);
    let seen =
        |method: &str, op: &str| format!("{method} t-1 debit {op} 7 00-1-2-01 blue | t-1 debit 7 {PAYLOAD}");
    assert_eq!(bank.0.lock().unwrap().1, [seen("Execute", "execute"), seen("Compensate", "compensate")]);
    for code in (1..=16).map(Code::from_i32) {
        bank.0.lock().unwrap().0 = Some(Status::new(code, "no"));
        let outcome = caller.send(call(target.clone(), Op::Execute)).await;
        let reason = format!("{code:?}: no");
        let refused = matches!(code, Code::Aborted | Code::FailedPrecondition | Code::AlreadyExists);
        let expect = if refused { Outcome::Rejected(reason) } else { Outcome::Unknown(reason) };
        assert_eq!(outcome, expect);
    }
    // Another service than the one that is there.
    let outcome = caller.send(call(format!("{target}/shop.v1.Accounts"), Op::Execute)).await;
    assert!(matches!(outcome, Outcome::Unknown(why) if why.starts_with("Unimplemented")));
}

#[tokio::test]
async fn nobody_there_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let caller = Caller::new(&Registry::new());
    for scheme in ["http", "https", "grpc", "grpcs"] {
        let outcome = caller.send(call(format!("{scheme}://{address}"), Op::Execute)).await;
        assert!(
            matches!(&outcome, Outcome::Unknown(why) if why.contains("refused")),
            "{scheme}: {outcome:?}"
        );
    }
}

/// Answers one request after another on new connections, each with these bytes.
async fn answering(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    aqueduct_runtime::task::spawn("answering", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await.unwrap();
            // A client that has heard enough may be gone.
            stream.write_all(&bytes).await.unwrap_or_default();
        }
    });
    format!("http://{address}")
}

async fn answered(head: &str, body: &[u8]) -> Outcome {
    let bytes = [format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat();
    Caller::new(&Registry::new()).send(call(answering(bytes).await, Op::Execute)).await
}

#[tokio::test]
async fn the_status_decides_and_bodies_are_bounded() {
    let done = |bytes: &'static str| Outcome::Done(bytes.into());
    assert_eq!(answered("200 OK\r\ncontent-length: 2", b"ok").await, done("ok"));
    assert_eq!(answered("299 Whatever\r\ncontent-length: 0", b"").await, done(""));
    let large = vec![b'x'; MOST_OUTPUT + 1];
    assert_eq!(answered(&format!("200 OK\r\ncontent-length: {}", large.len()), &large).await, done(""));
    let refused = answered("409 Conflict\r\ncontent-length: 2", b"no").await;
    assert_eq!(refused, Outcome::Rejected("409 Conflict: no".into()));
    // A refusal is one, however its body comes.
    let refused = answered(&format!("409 Conflict\r\ncontent-length: {}", large.len()), &large).await;
    assert_eq!(refused, Outcome::Rejected("409 Conflict".into()));
    let unknown = |outcome: &Outcome| matches!(outcome, Outcome::Unknown(_));
    for head in [
        "100 Continue",
        "301 Moved\r\nlocation: /x",
        "404 Not Found",
        "500 No",
        "200 OK\r\ncontent-length: 9",
    ] {
        let outcome = answered(head, b"cut").await;
        assert!(unknown(&outcome), "{head}: {outcome:?}");
    }
    assert!(unknown(&answered("garbage", b"").await));
}

/// More calls than connections: those beyond wait for their turn, and then for nothing.
#[tokio::test]
async fn a_participant_has_so_many_connections_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let caller = Caller::new(&Registry::new()).with_connections(3);
    let send = |timeout| {
        let (caller, call) = (caller.clone(), call(format!("http://{address}/a"), Op::Execute));
        aqueduct_runtime::task::spawn("send", async move { caller.send(Call { timeout, ..call }).await })
    };
    let long = Duration::from_mins(1);
    let sent: Vec<_> = (0..8).map(|_| send(long)).collect();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(listener.accept().await.unwrap().0);
    }
    // None of the others comes: whoever waits in vain is told so.
    let late = send(Duration::from_millis(100)).await.unwrap();
    assert!(
        matches!(&late, Outcome::Unknown(why) if why.starts_with("not sent: all 3 connections to 127.0.0.1:")),
        "{late:?}"
    );
    let fourth = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(fourth.is_err(), "a fourth connection");
    // Each is answered, and its connection closed, which makes room for the next.
    for number in 0..8 {
        let mut stream = if number < 3 { open.remove(0) } else { listener.accept().await.unwrap().0 };
        let _read = stream.read(&mut [0; 4096]).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    }
    for outcome in sent {
        assert_eq!(outcome.await.unwrap(), Outcome::Done("ok".into()));
    }
}

/// A server for `localhost` that speaks TLS and answers one request of HTTP/1.1, and who trusts it.
async fn secure() -> (String, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![certificate], key.into()).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    aqueduct_runtime::task::spawn("secure", async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever does not trust us goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _read = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsafe").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (format!("localhost:{port}"), roots)
}

#[tokio::test]
async fn participants_with_tls_are_verified() {
    let (address, roots) = secure().await;
    let trusting = |connect: Connect| connect.trusting(roots.clone());
    let caller = Caller::with((trusting(Connect::http1()), trusting(Connect::http2())), &Registry::new());
    let outcome = caller.send(call(format!("https://{address}/a"), Op::Execute)).await;
    assert_eq!(outcome, Outcome::Done("safe".into()));
    // It does not speak HTTP/2.
    let outcome = caller.send(call(format!("grpcs://{address}"), Op::Execute)).await;
    assert!(
        matches!(&outcome, Outcome::Unknown(why) if why.contains("NoApplicationProtocol")),
        "{outcome:?}"
    );
    let stranger = Connect::http1().trusting(RootCertStore::empty());
    let caller = Caller::with((stranger, Connect::http2()), &Registry::new());
    let outcome = caller.send(call(format!("https://{address}/a"), Op::Execute)).await;
    assert!(matches!(&outcome, Outcome::Unknown(why) if why.contains("UnknownIssuer")), "{outcome:?}");
}
