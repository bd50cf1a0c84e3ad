//! A path is taken only from a binding whose variables could hold it.

use aqueduct_transcode::{Router, Schema, Taker};

#[test]
fn a_number_loses_nothing_to_words() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests/proto", "proto", "../../../proto"].map(|folder| here.join(folder));
    let mut compiler = protox::Compiler::new(folders).unwrap();
    compiler.include_imports(true).open_files(["gallery.proto", "shop/v1/orders.proto"]).unwrap();
    let schema = Schema::decode(&compiler.encode_file_descriptor_set()).unwrap();
    let shadows = |service: &str, reserved: &[&str]| -> Vec<String> {
        let router = Router::builder(&schema).service(service, 0).build().unwrap();
        let line = |it: &aqueduct_transcode::Shadow<'_>| {
            let taker = match it.taker {
                Taker::Binding(taker) | Taker::Verb(taker) => taker.template(),
                Taker::Reserved => "reserved",
            };
            format!("{} {} → {taker}", it.binding.template(), it.path)
        };
        router.shadows(reserved).iter().map(line).collect()
    };
    // `{id}` is an int64: neither `7:pay` nor `new` is one, but `7` is.
    let none: [&str; 0] = [];
    assert_eq!(shadows("shop.v1.OrderService", &["/v1/orders/new"]), none);
    assert_eq!(
        shadows("shop.v1.OrderService", &["/v1/orders/7"]),
        ["/v1/orders/{id} /v1/orders/7 → reserved"]
    );
    let of_gallery = shadows("gallery.v1.Gallery", &[]);
    let of_number: Vec<_> =
        of_gallery.iter().filter(|line| line.starts_with("/v1/everything/{f_int64}")).collect();
    assert_eq!(of_number, Vec::<&String>::new());
    assert!(
        of_gallery.contains(&"/v1/pictures/{path=**} /v1/pictures/x → /v1/pictures/{name}".to_owned()),
        "{of_gallery:?}"
    );
}
