//! Descriptors that come late, change, break and come back, from files and by reflection.

use std::path::Path;
use std::time::Duration;

use aqueduct_gateway::{Descriptors, Options};
use bytes::Bytes;

use crate::backend::{Backend, Seen, frame, message};
use crate::grpc::{call, connect, request};
use crate::reflector::{Fault, fields, put};
use crate::setup::{Setup, compile, descriptors};

/// Descriptors in which `say` is at `/v2/say` instead of `/v1/say`.
fn second() -> Vec<u8> {
    compile(|proto| proto.replace("/v1/say", "/v2/say"))
}

/// Descriptors without the service.
fn without() -> Vec<u8> {
    compile(|proto| proto.replace("service Echo", "service Ohce"))
}

/// Looks as often as the machine allows.
fn fast(options: &mut Options) {
    options.timeouts.poll = Duration::from_millis(5);
}

fn reflected(options: &mut Options) {
    fast(options);
    let every = Duration::from_millis(5);
    options.descriptors = vec![Descriptors::Reflection { upstream: "echo".into(), every }];
}

/// A gateway before a backend that tells `set`.
fn telling(versions: &[&'static str], set: &[u8]) -> Setup {
    let setup = Setup::with(reflected);
    tell(&setup.backend.seen, versions, set);
    wait_status(&setup, "/readyz", 200);
    setup
}

fn tell(seen: &Seen, versions: &[&'static str], set: &[u8]) {
    seen.reflector.lock().unwrap().tell(versions, set);
}

/// Looks again until it is so; the test's own time limit ends a wait that never does.
fn until(mut look: impl FnMut() -> bool) {
    while !look() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn wait_status(setup: &Setup, path: &str, status: u16) {
    until(|| setup.connect().get(path, "").status == status);
}

/// Waits until a reading after the change has this result.
fn wait_result(setup: &Setup, result: &str, change: impl FnOnce()) {
    let line = format!(r#"aqueduct_gateway_descriptor_reloads_total{{result="{result}"}}"#);
    let before = setup.metric(&line);
    change();
    until(|| setup.metric(&line) > before);
}

fn swaps(setup: &Setup) -> u64 {
    setup.metric(r#"aqueduct_gateway_descriptor_reloads_total{result="swapped"}"#)
}

#[test]
fn reflection_is_asked_for_the_services_and_their_imports() {
    let setup = telling(&["v1", "v1alpha"], &descriptors());
    assert_eq!(setup.connect().get("/v1/say/hi?count=2", "").body, r#"{"text":"hi","count":"2"}"#);
    let asked = setup.backend.seen.reflector.lock().unwrap().asked.clone();
    let imports = [
        "google/api/annotations.proto",
        "google/api/httpbody.proto",
        "google/protobuf/field_mask.proto",
        "google/api/http.proto",
        "google/protobuf/descriptor.proto",
        "google/protobuf/any.proto",
    ];
    let mut all = asked[1..7].to_vec();
    all.sort();
    let mut expect = imports.map(str::to_owned);
    expect.sort();
    assert_eq!((asked[0].as_str(), all), ("test.v1.Echo", expect.to_vec()), "each import once");
    wait_result(&setup, "unchanged", || {});
    assert_eq!(swaps(&setup), 1);
}

#[test]
fn a_good_answer_is_enough_until_the_next_is_due() {
    let setup = Setup::with(|options| {
        fast(options);
        let every = Duration::from_hours(1);
        let missing = Some("/nowhere/missing.pb".into());
        options.descriptors = vec![
            Descriptors::Reflection { upstream: "echo".into(), every },
            // Looked for at each tick, which shows that ticks pass.
            Descriptors::Set { name: "missing".into(), bytes: Bytes::new(), file: missing },
        ];
    });
    let unavailable = || setup.metric(r#"aqueduct_gateway_descriptor_reloads_total{result="unavailable"}"#);
    let seen = &setup.backend.seen;
    until(|| seen.headers.lock().unwrap().len() >= 6);
    tell(seen, &["v1"], &descriptors());
    wait_status(&setup, "/readyz", 200);
    let (asked, ticks) = (seen.reflector.lock().unwrap().asked.len(), unavailable());
    until(|| unavailable() > ticks + 10);
    assert_eq!(seen.reflector.lock().unwrap().asked.len(), asked);
}

#[test]
fn an_older_server_is_asked_by_v1alpha() {
    let setup = telling(&["v1alpha"], &descriptors());
    assert_eq!(setup.connect().get("/v1/say/hi", "").status, 200);
}

#[test]
fn imports_that_only_options_need_may_be_missing() {
    let setup = Setup::with(reflected);
    {
        let mut reflector = setup.backend.seen.reflector.lock().unwrap();
        reflector.tell(&["v1"], &descriptors());
        reflector.files.retain(|name, _| name == "echo.proto");
    }
    wait_status(&setup, "/readyz", 200);
    assert_eq!(setup.connect().get("/v1/say/hi", "").status, 200);
}

#[tokio::test]
async fn what_is_not_read_yet_is_unavailable() {
    let setup = Setup::with(|options| {
        reflected(options);
        options.descriptors.push(Descriptors::set("other", without()));
        options.routes.push(aqueduct_gateway::Route::new("test.v1.Ohce", "echo"));
    });
    let mut client = setup.connect();
    let answer = client.get("/anything", "");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let expect = r#"{"code":14,"message":"the descriptors of the upstream `echo` have not been read yet""#;
    assert!(answer.body.starts_with(expect), "{}", answer.body);
    assert_eq!(client.get("/v1/say/x", "").status, 200, "what a file knows works");
    assert_eq!(client.get("/readyz", "").status, 503);
    wait_result(&setup, "unavailable", || {});
    let (status, body) = setup.healthz();
    let why = "the upstream `echo`: it has no gRPC server reflection, neither v1 nor v1alpha";
    assert!(status == 503 && body.contains(why), "{body}");
    let mut grpc = connect(&setup).await;
    for (path, status) in
        [("/test.v1.Echo/Say", "14"), ("/other.v1.Service/Call", "12"), ("/test.v1.Ohce/No", "12")]
    {
        let (_, trailers) = call(&mut grpc, request(path).body(()).unwrap(), frame(b"")).await;
        assert_eq!(trailers["grpc-status"], status, "{path}");
    }

    // What it tells at last clashes with the file.
    wait_result(&setup, "invalid", || tell(&setup.backend.seen, &["v1"], &descriptors()));
    assert_eq!(client.get("/readyz", "").status, 503);
}

#[test]
fn a_bad_answer_does_not_replace_a_good_one() {
    let setup = telling(&["v1"], &descriptors());
    let mut client = setup.connect();
    let faults: [(&str, &str, Fault); 8] = [
        ("garbage", "unavailable", |answers| answers[0] = vec![0xff; 20]),
        ("no file", "unavailable", |answers| answers[0] = put(4, &put(1, b"\xff\xff"))),
        ("an answer too few", "unavailable", |answers| drop(answers.pop())),
        ("an answer too many", "unavailable", |answers| answers.push(vec![])),
        ("an error", "unavailable", |answers| answers[0] = put(7, &[8, 13])),
        ("not found", "invalid", |answers| answers[0] = put(7, &[8, 5])),
        ("nothing", "invalid", |answers| answers[0].clear()),
        ("half a file", "invalid", |answers| {
            let file = fields(&fields(&answers[0])[0].1)[0].1.clone();
            if file.starts_with(b"\x0a\x0aecho.proto") {
                // Up to its package: a file without any declaration.
                let kept: Vec<_> =
                    fields(&file).into_iter().take(2).flat_map(|(it, bytes)| put(it, &bytes)).collect();
                answers[0] = put(4, &put(1, &kept));
            }
        }),
    ];
    for (name, result, fault) in faults {
        let spoil = |fault| setup.backend.seen.reflector.lock().unwrap().fault = fault;
        wait_result(&setup, result, || spoil(Some(fault)));
        assert_eq!(client.get("/v1/say/hi", "").body, r#"{"text":"hi"}"#, "{name}");
        let (status, body) = setup.healthz();
        assert_eq!(status, 200, "{name}");
        assert!(body.contains("the upstream `echo`: "), "{name}: {body}");
        wait_result(&setup, "unchanged", || spoil(None));
        let (_, healthz) = setup.healthz();
        assert!(!healthz.contains("the upstream"), "{name}: {healthz}");
    }
    assert_eq!(swaps(&setup), 1);
    tell(&setup.backend.seen, &["v1"], &second());
    wait_status(&setup, "/v2/say/hi", 200);
}

#[test]
fn an_upstream_that_goes_and_comes_back_changed_is_followed() {
    let mut setup = telling(&["v1"], &descriptors());
    setup.backend.stop();
    wait_result(&setup, "unavailable", || {});
    let answer = setup.connect().get("/v1/say/hi", "");
    assert!(answer.status == 503 && answer.body.contains("cannot be reached"), "{}", answer.body);
    assert_eq!(setup.connect().get("/nowhere", "").status, 404, "what was read stays known");
    let again = Backend::start_at(setup.backend.address);
    tell(&again.seen, &["v1"], &second());
    wait_status(&setup, "/v2/say/hi", 200);
    assert_eq!(setup.connect().get("/v1/say/hi", "").status, 404);
}

#[tokio::test]
async fn a_stream_goes_on_over_a_swap() {
    let setup = telling(&["v1"], &descriptors());
    let mut client = connect(&setup).await;
    let (response, mut stream) =
        client.send_request(request("/test.v1.Echo/Chat").body(()).unwrap(), false).unwrap();
    stream.send_data(frame(b"one"), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), frame(b"one"));
    let mut waiting = setup.connect();
    waiting.send(b"GET /v1/say/wait HTTP/1.1\r\nhost: a\r\n\r\n");
    setup.backend.seen.waiting.notified().await;

    let changed = compile(|proto| {
        proto
            .replace("/v1/say", "/v2/say")
            .replace("rpc Chat", "rpc Talk")
            .replace("string text", "string words")
            .replace("{text}", "{words}")
            .replace("{message.text}", "{message.words}")
    });
    tell(&setup.backend.seen, &["v1"], &changed);
    wait_status(&setup, "/v2/say/hi", 200);
    assert_eq!(setup.connect().get("/v1/say/hi", "").status, 404);
    let (_, trailers) =
        call(&mut client, request("/test.v1.Echo/Chat").body(()).unwrap(), Bytes::new()).await;
    assert_eq!(trailers["grpc-status"], "12", "the method is gone for new calls");

    stream.send_data(frame(b"two"), true).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), frame(b"two"));
    assert!(body.data().await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    setup.backend.seen.go.notify_one();
    assert_eq!(waiting.answer().unwrap().body, r#"{"text":"wait"}"#, "in the names it was asked in");
}

#[test]
fn every_worker_has_what_is_said_to_be_in_use() {
    let setup = Setup::with(|options| {
        reflected(options);
        options.workers = 4;
    });
    for (set, path) in
        [(descriptors(), "/v1/say/hi"), (second(), "/v2/say/hi"), (descriptors(), "/v1/say/hi")]
    {
        let before = swaps(&setup);
        tell(&setup.backend.seen, &["v1"], &set);
        until(|| swaps(&setup) > before);
        // The kernel spreads connections over the workers.
        for _ in 0..40 {
            assert_eq!(setup.connect().get(path, "").status, 200);
        }
    }
}

/// A gateway whose descriptors are these files.
fn from_files(files: &[(&Path, Vec<u8>)]) -> Setup {
    Setup::with(|options| {
        fast(options);
        let source = |(path, bytes): &(&Path, Vec<u8>)| {
            std::fs::write(path, bytes).unwrap();
            let name = path.display().to_string();
            Descriptors::Set { name, bytes: bytes.clone().into(), file: Some(path.to_path_buf()) }
        };
        options.descriptors = files.iter().map(source).collect();
    })
}

#[test]
fn a_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.pb");
    let setup = from_files(&[(&path, descriptors())]);
    let mut client = setup.connect();
    assert_eq!(client.get("/v1/say/hi", "").status, 200, "ready at once");

    let beside = folder.path().join("new.pb");
    std::fs::write(&beside, second()).unwrap();
    std::fs::rename(&beside, &path).unwrap();
    wait_status(&setup, "/v2/say/hi", 200);
    std::fs::write(&path, descriptors()).unwrap();
    wait_status(&setup, "/v1/say/hi", 200);

    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    let (old, new) = (descriptors(), second());
    for bytes in [&new[..new.len() / 2], b"garbage", &without(), b""] {
        wait_result(&setup, "invalid", || write(bytes));
        assert_eq!(client.get("/v1/say/hi", "").status, 200);
        wait_result(&setup, "unchanged", || write(&old));
    }
    wait_result(&setup, "unavailable", || std::fs::remove_file(&path).unwrap());
    assert_eq!(client.get("/v1/say/hi", "").status, 200);
    // In pieces, as a slow writer would: the first is refused, and the file looked at until it is whole.
    wait_result(&setup, "invalid", || write(&new[..new.len() - 1]));
    assert_eq!(client.get("/v1/say/hi", "").status, 200);
    write(&new);
    wait_status(&setup, "/v2/say/hi", 200);
    assert_eq!(client.get("/v1/say/hi", "").status, 404);
}

#[test]
fn files_change_together_or_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.pb"), folder.path().join("b.pb"));
    let setup = from_files(&[(&a, descriptors()), (&b, Vec::new())]);
    wait_status(&setup, "/v1/say/hi", 200);

    // The service moves: the first half of the move is refused, the second makes both good.
    wait_result(&setup, "invalid", || std::fs::write(&a, b"").unwrap());
    assert_eq!(setup.connect().get("/v1/say/hi", "").status, 200);
    std::fs::write(&b, second()).unwrap();
    wait_status(&setup, "/v2/say/hi", 200);

    // One that is broken does not hold up the other.
    wait_result(&setup, "invalid", || std::fs::write(&a, b"garbage").unwrap());
    std::fs::write(&b, descriptors()).unwrap();
    wait_status(&setup, "/v1/say/hi", 200);
}

#[tokio::test]
async fn plain_grpc_follows_the_descriptors_too() {
    let setup = telling(&["v1"], &compile(|proto| proto.replace("rpc Say", "rpc Speak")));
    let mut client = connect(&setup).await;
    let status = async |client: &mut _| {
        let head = request("/test.v1.Echo/Say").body(()).unwrap();
        call(client, head, frame(&message("hi", 0))).await.1["grpc-status"].clone()
    };
    assert_eq!(status(&mut client).await, "12");
    tell(&setup.backend.seen, &["v1"], &descriptors());
    wait_status(&setup, "/v1/say/hi", 200);
    while status(&mut client).await != "0" {}
}
