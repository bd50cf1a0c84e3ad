//! Participants over gRPC, and operators at the command line.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_kit::{Port, Scratch};
use aqueduct_saga_server::proto::participant_server::{Participant, ParticipantServer};
use aqueduct_saga_server::proto::{CallRequest, CallResponse};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::coordinator::{Sagas, saga};
use super::participant::{self, Reply};
use crate::kit::{aqueduct, run};

const LONG: Duration = Duration::from_mins(1);

/// Refuses the credit, and does not know the first undoing.
#[derive(Clone, Default)]
struct Bank(Arc<Mutex<Vec<String>>>);

impl Bank {
    fn answer(&self, method: &str, request: &CallRequest) -> Result<Response<CallResponse>, Status> {
        let call = format!("{method} {} {} {}", request.step, request.attempt, request.payload);
        let answer = match call.split_once(" {").unwrap().0 {
            "execute credit 1" => Err(Status::aborted("frozen")),
            "compensate debit 1" => Err(Status::unavailable("later")),
            _ => Ok(Response::new(CallResponse { output: "1.10".into() })),
        };
        self.0.lock().unwrap().push(call);
        answer
    }
}

#[tonic::async_trait]
impl Participant for Bank {
    async fn execute(&self, request: Request<CallRequest>) -> Result<Response<CallResponse>, Status> {
        self.answer("execute", request.get_ref())
    }

    async fn compensate(&self, request: Request<CallRequest>) -> Result<Response<CallResponse>, Status> {
        self.answer("compensate", request.get_ref())
    }
}

#[test]
fn participants_may_speak_grpc() {
    let scratch = Scratch::new("saga-grpc");
    let sagas = Sagas::start(&scratch, &[]);
    let (bank, port) = (Bank::default(), Port::free());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = tonic::transport::Server::builder().add_service(ParticipantServer::new(bank.clone()));
    let listener = runtime.block_on(tokio::net::TcpListener::bind(port.address())).unwrap();
    let _guard = runtime.enter();
    aqueduct_runtime::task::spawn("bank", server.serve_with_incoming(TcpIncoming::from(listener)));
    let url = format!("grpc://{}", port.address());
    let steps = [
        ("debit", "COMPENSABLE", url.clone()),
        ("credit", "PIVOT", format!("{url}/aqueduct.saga.v1.Participant")),
    ];
    sagas.submit(&saga("over-grpc", LONG, &steps));
    let view = sagas.wait("over-grpc", "COMPENSATED");
    assert_eq!(view["reason"], "credit was rejected: Aborted: frozen");
    let calls = bank.0.lock().unwrap().clone();
    let expect = [
        r#"execute debit 1 {"of":"debit"}"#,
        r#"execute credit 1 {"of":"credit"}"#,
        r#"compensate debit 1 {"of":"debit"}"#,
        r#"compensate debit 2 {"of":"debit"}"#,
    ];
    let arrived: Vec<_> = calls.iter().map(String::as_str).collect();
    assert_eq!(arrived, expect);
}

#[test]
fn operators_see_and_decide() {
    let scratch = Scratch::new("saga-operators");
    let sagas = Sagas::start(&scratch, &[]);
    let bank = participant::Participant::start(|seen| match seen.header("x-saga-step") {
        "notify" => Reply::With(409, "no \u{1b}[31mmail"),
        _ => Reply::With(200, ""),
    });
    let server = sagas.port.address().to_string();
    let ask = |args: &[&str]| run(scratch.path(), &[&["saga"], args, &["--server", &server]].concat());
    let empty = ask(&["ls"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), "SAGA  STATUS  CREATED  REASON\n"));
    for id in ["a-skipped", "b-abandoned", "c-retried"] {
        sagas.submit(&saga(id, LONG, &[("notify", "RETRIABLE", bank.url(""))]));
        sagas.wait(id, "PARKED");
    }
    sagas.submit(&saga("d-done", LONG, &[("credit", "PIVOT", bank.url(""))]));
    sagas.wait("d-done", "COMPLETED");

    let first_words = |text: &str| -> Vec<String> {
        text.lines()
            .skip(1)
            .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
            .collect()
    };
    let stuck = ask(&["ls", "--stuck"]);
    assert_eq!(first_words(&stuck.stdout), ["a-skipped PARKED", "b-abandoned PARKED", "c-retried PARKED"]);
    assert!(
        stuck.stdout.contains("execute of notify was rejected: 409 Conflict: no \\u{1b}[31mmail"),
        "{}",
        stuck.stdout
    );
    assert_eq!(first_words(&ask(&["ls", "--status", "completed"]).stdout), ["d-done COMPLETED"]);
    assert_eq!(first_words(&ask(&["ls"]).stdout).len(), 4);

    let skipped = ask(&["skip", "a-skipped", "--actor", "ada"]);
    assert_eq!(skipped.code, Some(0), "{}", skipped.stderr);
    assert!(skipped.stdout.lines().nth(1).unwrap().starts_with("a-skipped  "), "{}", skipped.stdout);
    sagas.wait("a-skipped", "COMPLETED");
    assert_eq!(ask(&["abandon", "b-abandoned", "--actor", "grace"]).code, Some(0));
    assert_eq!(ask(&["retry", "c-retried", "--actor", "ada"]).code, Some(0));
    bank.wait(5);
    sagas.wait("c-retried", "PARKED");
    let shown = ask(&["show", "c-retried"]);
    for text in ["status    PARKED", "RETRIED", "ada", "execute of notify, attempt 2", "REJECTED after 2"] {
        assert!(shown.stdout.contains(text), "{text}\n{}", shown.stdout);
    }
    assert!(ask(&["show", "b-abandoned"]).stdout.contains("abandoned by grace"));

    let check = |args: &[&str], expect: &str| {
        let ended = ask(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{args:?}: {}", ended.stderr);
        assert!(ended.reason().contains(expect), "{args:?}: {}", ended.stderr);
    };
    check(&["show", "nobody"], "there is no such saga");
    check(&["retry", "nobody", "--actor", "ada"], "there is no such saga");
    check(
        &["retry", "d-done", "--actor", "ada"],
        "only a parked saga can be retried, and this one is COMPLETED",
    );
}

#[test]
fn an_operator_is_told_what_is_missing() {
    let scratch = Scratch::new("saga-nobody");
    let port = Port::free().address().to_string();
    let ended = run(scratch.path(), &["saga", "ls", "--server", &port]);
    assert_eq!(ended.code, Some(1));
    let expect = format!("the coordinator at http://{port}/ does not answer");
    assert!(
        ended.reason().contains(&expect) && ended.reason().contains("--server says where"),
        "{}",
        ended.stderr
    );
    let mut nameless = aqueduct(scratch.path());
    let nameless =
        nameless.env_remove("USER").env_remove("LOGNAME").args(["saga", "retry", "x"]).output().unwrap();
    let told = String::from_utf8(nameless.stderr).unwrap();
    assert_eq!(nameless.status.code(), Some(2), "{told}");
    assert!(told.contains("--actor NAME is wanted"), "{told}");
}
