//! The servers in the section `data`: what is wrong with them, and that their secrets are not shown.

use super::*;

const DATA: &str = "data:
  mysql: { user: shop, shards: [{ database: shop_0, servers: [\"a:1\", \"b:2\"] }, { database: shop_1, servers: [\"c:3\"] }, { database: shop_2, servers: [\"b:2\"] }] }
  redis: { user: r, password: { file: claims.key }, nodes: [\"[::1]:7000\"] }
  bus: { servers: [\"n:4222\", \"m:4222\"] }
";

fn data(text: &str) -> crate::config::DataFile {
    let folder = folder(text);
    read_system(&folder.path().join("c.yaml")).unwrap().data.unwrap()
}

#[test]
fn databases_on_one_server_are_one_source() {
    let data = data(DATA);
    let sources = data.sources();
    let shown: Vec<_> = sources.iter().map(|it| (it.name.as_str(), it.databases.join(","))).collect();
    assert_eq!(shown, [("primary-0", "shop_0,shop_2".to_owned()), ("primary-1", "shop_1".to_owned())]);
    assert_eq!(sources[0].servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:2"]);
    assert_eq!(data.bus.url(), "nats://n:4222,nats://m:4222");
    let secret = "k".repeat(32);
    assert_eq!(data.redis.as_ref().unwrap().urls(), [format!("redis://r:{secret}@[::1]:7000")]);
    assert!(!format!("{data:?}").contains(&secret), "a password is never shown");
}

#[test]
fn what_is_wrong_with_the_servers_is_told_at_its_place() {
    let change = |from: &str, to: &str| DATA.replace(from, to);
    check(
        change("  bus: { servers: [\"n:4222\", \"m:4222\"] }\n", ""),
        &["2:3: data.bus: `bus` is missing: with real servers it is needed"],
    );
    let server = "is no `host:port`, such as `127.0.0.1:4222`";
    check(change("\"m:4222\"", "m"), &[&format!("4:30: `m` {server}")]);
    check(change("\"m:4222\"", "\"m:0\""), &[&format!("4:30: `m:0` {server}")]);
    check(
        change("\"m:4222\"", "\"nats://u:p@m:1\""),
        &[
            "4:30: `host:port` is wanted here, such as `127.0.0.1:4222`: logins have keys of their own, `user` and `password`",
        ],
    );
    check(change("[\"n:4222\", \"m:4222\"]", "[]"), &["4:19: at least one server is wanted here"]);
    check(change("user: shop, ", ""), &["2:10: `user` is missing: who logs in to the databases"]);
    check(
        change("file: claims.key", "env: NO_SUCH_VARIABLE"),
        &["3:38: the environment has no variable `NO_SUCH_VARIABLE`"],
    );
    let cdc = |tables: &str| format!("{DATA}  cdc: {{ tables: [{tables}] }}\n");
    check(cdc("{ table: orders }"), &["5:28: `database.table` is wanted here, such as `shop_*.orders_*`"]);
    check(
        cdc("{ table: \"a.b`c\" }"),
        &["5:28: `b`c` is no name: at most 64 letters, digits, `_`, `-` and `$`"],
    );
}

#[test]
fn servers_are_verified_as_the_file_says() {
    let tls = |mysql: &str| DATA.replace("user: shop,", &format!("user: shop, tls: {mysql},"));
    let on = data(&tls("{ ca: cert.pem, client_cert: cert.pem, client_key: key.pem }"));
    let sent = on.mysql.tls.unwrap().mysql();
    assert!(
        sent.disable_built_in_roots() && sent.root_certs().len() == 1 && sent.client_identity().is_some()
    );
    assert!(!sent.accept_invalid_certs() && !sent.skip_domain_validation());
    assert_eq!(data(&tls("off")).mysql.tls, None);
    check(tls("yes"), &["2:29: a mapping, such as { ca: internal.pem }, is wanted here, not `yes`"]);
    check(
        tls("{ ca: nowhere.crt }"),
        &["2:35: cannot read `nowhere.crt`: No such file or directory (os error 2)"],
    );
    check(tls("{ ca: key.pem }"), &["2:35: key.pem holds no certificate (-----BEGIN CERTIFICATE-----)"]);
    check(tls("{ client_cert: cert.pem }"), &["2:29: `client_key` is missing"]);
    check(
        tls("{ client_cert: cert.pem, client_key: other.pem }"),
        &["2:66: the key other.pem does not belong to the certificate cert.pem"],
    );

    let redis = DATA.replace("user: r,", "tls: { ca: cert.pem },");
    let on = data(&redis.replace("bus: {", "bus: { tls: { ca: cert.pem },"));
    assert_eq!(on.bus.url(), "tls://n:4222,tls://m:4222");
    let redis = on.redis.unwrap();
    assert!(redis.urls()[0].starts_with("rediss://"), "{:?}", redis.urls());
    assert!(redis.tls.unwrap().redis().ca.is_some());
}

#[test]
fn what_is_wrong_with_the_sagas_is_told_at_its_place() {
    const SAGA: &str = "saga:
  most_attempts: 30
  mysql: { server: \"db:3306\", database: sagas, user: saga }
";
    let change = |from: &str, to: &str| SAGA.replace(from, to);
    check(change("30", "0"), &["2:18: a whole number from 1 to 1000000 is wanted here, not `0`"]);
    check(change(", user: saga", ""), &["3:10: `user` is missing: who logs in to the database"]);
    check(change("\"db:3306\"", "db"), &["3:20: `db` is no `host:port`, such as `127.0.0.1:3306`"]);
    check(change("database: sagas, ", ""), &["3:10: `database` is missing"]);
    check(
        change("database", "databse"),
        &["3:10: `database` is missing", "3:31: unknown key `databse`; did you mean `database`?"],
    );
}

#[test]
fn the_lease_of_the_ids_is_with_the_databases_unless_told() {
    let lease = |text: &str| {
        let folder = folder(text);
        read_system(&folder.path().join("c.yaml")).unwrap().ids
    };
    let etcd = |prefix: &str| LeaseFile::Etcd {
        servers: vec![crate::config::Server { host: "e".to_owned(), port: 2379 }],
        prefix: prefix.to_owned(),
    };
    assert_eq!(lease(DATA).lease, LeaseFile::Mysql);
    assert_eq!(lease(&format!("{DATA}  ids: {{ lease: folder }}\n")).lease, LeaseFile::Folder);
    assert_eq!(lease("data: { dir: d }\n").lease, LeaseFile::Folder);
    let told = lease("data: { ids: { etcd: { servers: [\"e:2379\"] }, worker: 7, term: 2s } }\n");
    let expect =
        IdsFile { lease: etcd("/aqueduct/ids/"), worker: Some(7), term: std::time::Duration::from_secs(2) };
    assert_eq!(told, expect);
    let told = lease(&format!(
        "{DATA}  ids: {{ lease: etcd, etcd: {{ servers: [\"e:2379\"], prefix: /x/ }}, worker: any }}\n"
    ));
    assert_eq!((told.lease, told.worker), (etcd("/x/"), None));
}

#[test]
fn what_is_wrong_with_the_lease_of_the_ids_is_told_at_its_place() {
    let ids = |text: &str| format!("data: {{ ids: {{ {text} }} }}\n");
    check(ids("lease: mysql"), &["1:23: `lease: mysql` needs the databases in `data.mysql`"]);
    check(ids("lease: etcd"), &["1:23: `lease: etcd` needs `etcd: { servers: [\"127.0.0.1:2379\"] }`"]);
    check(ids("lease: redis"), &["1:23: `folder`, `mysql` or `etcd` is wanted here, not `redis`"]);
    check(ids("lease: folder, etcd: {}"), &["1:37: is not used: `lease` says that the lease is elsewhere"]);
    check(ids("etcd: {}"), &["1:22: `servers` is missing"]);
    check(
        ids("etcd: { servers: [\"e:1\"], prefix: x }"),
        &["1:50: a prefix ends in `/`, such as `/aqueduct/ids/`; `x` does not"],
    );
    check(ids("worker: 128"), &["1:24: `any` or a number from 0 to 127 is wanted here, not `128`"]);
    check(
        ids("worker: 5"),
        &["1:24: is for a lease that is shared: for one in the data folder `shop.worker: 5` is"],
    );
    check(ids("term: 1ms"), &["1:22: a duration from 1s to 1h is wanted here, not `1ms`"]);
    check(
        format!("{DATA}shop: {{ worker: 3 }}\n"),
        &[
            "5:17: is for a lease in the data folder: with one that is shared leave it out, or ask for a number with `data.ids.worker`",
        ],
    );
}
