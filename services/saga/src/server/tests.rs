use std::time::Duration;

use aqueduct_saga::{Clock, Coordinator, Memory, Options};
use aqueduct_telemetry::health::{Health, OnFailure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use tonic::Code;

use super::Server;
use crate::call::connect::Connect;
use crate::call::grpc;
use crate::proto::saga_service_client::SagaServiceClient;
use crate::proto::{
    DecideRequest, GetSagaRequest, ListSagasRequest, Status, Step, SubmitRequest, step::Kind,
};

fn start(health: &Health) -> Server<Memory> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Server::start(listener, health.clone()).unwrap()
}

/// Status and body of the answer to a GET.
async fn get(server: &Server<Memory>, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn until_the_store_is_open_and_looked_at_it_is_not_ready() {
    let health = Health::new();
    let check = health.check("store", OnFailure::Unavailable);
    let server = start(&health);
    let (status, body) = get(&server, "/v1/sagas/a").await;
    assert_eq!(status, 503);
    assert!(body.contains("recovering"), "{body}");
    assert_eq!(get(&server, "/readyz").await.0, 503);
    assert_eq!(get(&server, "/livez").await.0, 200);
    server.open(Coordinator::open(Memory::new(Clock::system()), Options::default()).unwrap());
    health.set_started();
    // Sagas are answered for, but what was left is not yet looked at.
    assert_eq!(get(&server, "/v1/sagas/a").await.0, 404);
    assert_eq!(get(&server, "/readyz").await.0, 503);
    check.ok("");
    assert_eq!(get(&server, "/readyz").await, (200, r#"{"status":"ok"}"#.to_owned()));
}

#[tokio::test]
async fn a_drain_ends_idle_connections_and_waits_for_requests() {
    let health = Health::new();
    let server = start(&health);
    let mut idle = TcpStream::connect(server.address()).await.unwrap();
    let mut busy = TcpStream::connect(server.address()).await.unwrap();
    let head = "POST /v1/sagas HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    busy.write_all(head.as_bytes()).await.unwrap();
    // It asks for the body, and so is at work on the request.
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let drained = async {
        let left = server.drain(Duration::from_secs(30)).await;
        assert_eq!(left, 0);
    };
    let requests = async {
        assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0, "an idle connection is closed");
        busy.write_all(b"{}").await.unwrap();
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    };
    tokio::join!(drained, requests);
}

fn submission(id: &str, cents: u32) -> SubmitRequest {
    let step = Step {
        name: "credit".into(),
        kind: Kind::Pivot.into(),
        url: "http://127.0.0.1:1".into(),
        payload: cents.to_string(),
    };
    SubmitRequest { saga_id: id.into(), deadline_ms: 60_000, steps: vec![step] }
}

#[tokio::test]
async fn the_same_coordinator_speaks_grpc() {
    let server = start(&Health::new());
    let origin: http::Uri = format!("http://{}", server.address()).parse().unwrap();
    let mut client = SagaServiceClient::with_origin(grpc::Client::new(Connect::http2()).inner(), origin);
    let code = client.submit(submission("b", 1)).await.unwrap_err().code();
    assert_eq!(code, Code::Unavailable, "the store is not open yet");
    server.open(Coordinator::open(Memory::new(Clock::system()), Options::default()).unwrap());
    for created in [true, false] {
        assert_eq!(client.submit(submission("b", 1)).await.unwrap().into_inner().created, created);
    }
    assert_eq!(client.submit(submission("b", 2)).await.unwrap_err().code(), Code::AlreadyExists);
    let bad = client.submit(submission("", 1)).await.unwrap_err();
    assert_eq!((bad.code(), bad.message().starts_with("sagaId")), (Code::InvalidArgument, true));
    // Over HTTP it is the same saga.
    let (status, body) = get(&server, "/v1/sagas/b").await;
    assert_eq!(status, 200);
    assert!(body.starts_with(r#"{"sagaId":"b","status":"RUNNING","#), "{body}");

    let saga = client.get_saga(GetSagaRequest { saga_id: "b".into() }).await.unwrap().into_inner();
    assert_eq!(
        (saga.status(), saga.steps[0].kind(), saga.timeline[0].what.as_str()),
        (Status::Running, Kind::Pivot, "CREATED")
    );
    let unknown = client.get_saga(GetSagaRequest { saga_id: "x y".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let decide = |saga_id: &str, actor: &str| DecideRequest { saga_id: saga_id.into(), actor: actor.into() };
    assert_eq!(client.retry_saga(decide("b", "ada")).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(client.skip_saga(decide("b", " ")).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(client.abandon_saga(decide("c", "ada")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn lists_have_pages() {
    let server = start(&Health::new());
    server.open(Coordinator::open(Memory::new(Clock::system()), Options::default()).unwrap());
    let origin: http::Uri = format!("http://{}", server.address()).parse().unwrap();
    let mut client = SagaServiceClient::with_origin(grpc::Client::new(Connect::http2()).inner(), origin);
    for id in ["a", "b", "c"] {
        client.submit(submission(id, 1)).await.unwrap();
    }
    let mut request = ListSagasRequest { page_size: 2, ..Default::default() };
    let mut pages = Vec::new();
    loop {
        let page = client.list_sagas(request.clone()).await.unwrap().into_inner();
        pages.push(page.sagas.into_iter().map(|saga| saga.saga_id).collect::<Vec<_>>().concat());
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(pages, ["ab", "c"]);
    let stuck = ListSagasRequest { stuck: true, ..Default::default() };
    assert_eq!(client.list_sagas(stuck).await.unwrap().into_inner().sagas, []);
    for bad in [-1, 1001] {
        let request = ListSagasRequest { page_size: bad, ..Default::default() };
        assert_eq!(client.list_sagas(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
}
