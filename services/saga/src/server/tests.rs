use std::time::Duration;

use aqueduct_saga::{Clock, Coordinator, Memory, Options};
use aqueduct_telemetry::health::{Health, OnFailure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Server;

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
