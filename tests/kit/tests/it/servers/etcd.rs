use aqueduct_kit::etcd::Etcd;
use aqueduct_kit::{Client, Scratch};
use serde_json::json;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let scratch = Scratch::new("etcd");
    let mut etcd = Etcd::start(&scratch).unwrap();
    // "key" and "value" in Base64, as etcd's HTTP gateway has bytes.
    let put = json!({"key": "a2V5", "value": "dmFsdWU="});
    let answer = Client::new(etcd.address()).post("/v3/kv/put", &put).unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let url = etcd.url();
    etcd.kill9().unwrap();
    etcd.restart().unwrap();
    etcd.wait_ready().unwrap();
    assert_eq!(etcd.url(), url);
    let answer = Client::new(etcd.address()).post("/v3/kv/range", &json!({"key": "a2V5"})).unwrap().json();
    assert_eq!(answer["kvs"][0]["value"], "dmFsdWU=", "{answer}");
}
