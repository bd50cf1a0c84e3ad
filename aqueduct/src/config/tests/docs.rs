//! What the documents say of configuration: their examples are accepted, and every key is shown with its default.

use super::*;

/// The text between each "```yaml" and "```" of the documentation.
fn examples() -> Vec<&'static str> {
    blocks(include_str!("../../../../docs/gateway.md")).collect()
}

fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap())
}

/// The smallest file with these routes, of services that it has.
fn with_routes(routes: &str) -> String {
    let mut text: String = SMALLEST.trim_start().split_inclusive('\n').take(3).collect();
    let mut known = ["shop.v1.OrderService", "grpc.health.v1.Health"].into_iter();
    for line in routes.lines() {
        match line.trim().split_once(": ") {
            Some(("- service", _)) => text.extend(["  - service: ", known.next().unwrap()]),
            Some(("upstream", _)) => text += "    upstream: orders",
            _ => text += line,
        }
        text.push('\n');
    }
    text
}

/// The pages about transcoding show whole files, and parts of one: the routes of services that they bring themselves.
#[test]
fn what_other_pages_configure_is_accepted() {
    let pages = [
        include_str!("../../../../docs/transcoding.md"),
        include_str!("../../../../docs/migrating-from-envoy.md"),
        include_str!("../../../../docs/migrating-from-grpc-gateway.md"),
    ];
    let mut found = 0;
    for block in pages.into_iter().flat_map(blocks) {
        let text = match block.split(':').next() {
            Some("listen") => block.to_owned(),
            Some("limits") => format!("{}{block}", SMALLEST.trim_start()),
            Some("routes") => with_routes(block),
            _ => continue,
        };
        let folder = folder(&text);
        read(&folder.path().join("c.yaml"))
            .unwrap_or_else(|rejected| panic!("{text}\n{}", told(&rejected, false)));
        found += 1;
    }
    assert_eq!(found, 10, "blocks");
}

#[test]
fn the_documentations_examples_are_accepted() {
    let examples = examples();
    assert!(examples.len() >= 4, "{}", examples.len());
    for text in examples {
        let folder = folder(text);
        read(&folder.path().join("c.yaml"))
            .unwrap_or_else(|rejected| panic!("{text}\n{}", told(&rejected, false)));
    }
}

/// Reads a text with everything at hand that reading it found.
fn absent_keys(text: &str, kind: &str) -> (Vec<String>, Options) {
    let folder = folder(text);
    let problems = Problems::default();
    let root = tree::parse(text, &problems).unwrap();
    let fields = Value::root(&root, &problems).fields("").unwrap();
    let source = Source { base: folder.path(), problems: &problems };
    let options = match kind {
        "gateway" => gateway::read(fields, source).options,
        _ => system::read(fields, source).edge().clone(),
    };
    let absent = problems.absent.borrow().clone();
    assert!(problems.into_sorted().is_empty(), "{text}");
    (absent, options)
}

#[test]
fn the_documentation_shows_every_key_with_its_default() {
    let examples = examples();
    let whole = |mark: &str| *examples.iter().find(|text| text.starts_with(mark)).unwrap();
    let (absent, options) = absent_keys(whole("# Every key of a gateway's file"), "gateway");
    // Other places for a secret or a key set; the page tells of each in words.
    let instead = [
        "auth.api_keys.keys[0].env",
        "auth.api_keys.keys[0].file",
        "auth.jwt.jwks.url",
        "auth.jwt.jwks.every",
        "auth.jwt.jwks.ca",
        "auth.claims.secret.env",
    ];
    assert_eq!(absent, instead);
    assert_eq!((options.limits, options.timeouts), (Limits::default(), Timeouts::default()));
    assert_eq!(options.probes, Some(Probes::default()));
    let tls = options.listen[0].tls.clone().unwrap();
    let default = aqueduct_gateway::Tls::new(Vec::new());
    assert_eq!((tls.client_auth, tls.min_version), (default.client_auth, default.min_version));
    let mut upstream = aqueduct_gateway::Upstream::new(vec!["127.0.0.1:50051".to_owned()]);
    upstream.tls.clone_from(&options.upstreams["orders"].tls);
    assert_eq!(options.upstreams["orders"], upstream);

    let text = whole("# Every key of the whole system's file");
    let (absent, options) = absent_keys(text, "system");
    // Those of real servers have a page of their own.
    let elsewhere =
        ["data.mysql", "data.redis", "data.bus", "data.cdc", "data.staleness", "data.ids", "saga.mysql"];
    assert_eq!(absent, elsewhere);
    assert_eq!((options.limits, options.timeouts), (Limits::default(), Timeouts::default()));
    let folder = folder(text);
    let mut system = read_system(&folder.path().join("c.yaml")).unwrap();
    let default = super::SystemFile::default();
    system.shop.data_dir.clone_from(&default.shop.data_dir);
    assert_eq!(format!("{:?}", system.shop), format!("{:?}", default.shop));
    assert_eq!((system.services, system.admin), (default.services, default.admin));
    let (saga, default) = (system.saga, aqueduct_saga::Options::default());
    let told = [saga.attempt_timeout, saga.retention, saga.lease];
    assert_eq!(told, [default.attempt_timeout, default.retention, default.lease].map(Some));
    assert_eq!(saga.most_attempts, Some(default.most_attempts));
    assert_eq!(saga.connections, Some(aqueduct_saga_server::CONNECTIONS));
}

#[test]
fn the_operators_page_shows_the_database_of_the_sagas() {
    let text = blocks(include_str!("../../../../docs/operating.md")).next().unwrap();
    let text = text.replace("env: DB_PASSWORD", "file: claims.key");
    let folder = folder(&text);
    let saga = read_system(&folder.path().join("c.yaml")).unwrap().saga;
    let mysql = saga.mysql.unwrap();
    assert_eq!((mysql.server.to_string().as_str(), mysql.database.as_str()), ("db:3306", "sagas"));
    assert_eq!((mysql.login.user.as_deref(), mysql.login.password), (Some("saga"), Some("k".repeat(32))));
}

#[test]
fn the_page_of_the_data_layer_shows_every_key_with_its_default() {
    let text = blocks(include_str!("../../../../docs/data.md")).next().unwrap();
    let folder = folder(text);
    let problems = Problems::default();
    let root = tree::parse(text, &problems).unwrap();
    let fields = Value::root(&root, &problems).fields("").unwrap();
    let system = system::read(fields, Source { base: folder.path(), problems: &problems });
    let data = system.data.unwrap();
    let default = super::IdsFile { lease: super::LeaseFile::Mysql, ..super::IdsFile::default() };
    assert_eq!(system.ids, default);
    let absent: Vec<String> =
        problems.absent.borrow().iter().filter(|key| key.starts_with("data.")).cloned().collect();
    let mut problems = problems.into_sorted().into_iter();
    assert!(problems.next().is_none(), "{text}");
    // Other places for a secret and for the lease; the page tells of them.
    let instead = |key: &String| key.ends_with("password.env") || key == "data.ids.etcd";
    assert!(absent.iter().all(instead), "{absent:?}");
    assert_eq!((data.staleness, data.bus.replicas), (std::time::Duration::from_secs(1), 1));
    let default = super::super::data::CdcFile::default();
    assert_eq!((data.cdc.here, data.cdc.server_id), (default.here, default.server_id));
    assert_eq!(data.sources().len(), 2);
}

proptest! {
    /// Whatever the bytes: an answer, at a place that is in the text or right behind it.
    #[test]
    fn any_text_is_answered(text in "[-a-z0-9:,{}\\[\\]\"'&*!#|> \t\n]{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        for input in [text.as_bytes(), &bytes] {
            let folder = folder(input);
            if let Err(Rejected::Wrong(wrong)) = read(&folder.path().join("c.yaml")) {
                prop_assert!(!wrong.problems.is_empty());
                let lines = wrong.text.lines().count() + 2;
                prop_assert!(wrong.problems.iter().all(|it| (1..=lines).contains(&it.span.line)), "{wrong:?}");
                prop_assert!(!wrong.render(true).is_empty());
            }
        }
    }
}
