//! The whole system's file: sections `gateway`, `shop`, `data`, `saga` and `admin`, every key optional. What goes where is
//! built in.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aqueduct_gateway::{Descriptors, Listen, Options, Probes, Problem, Route, Upstream};
use aqueduct_shop::proto::DESCRIPTOR_SET;

use super::Source;
use super::data::{self, DataFile};
use super::edge::{self, AccessLogFile, beside, positive};
use super::gateway::{ADMIN, validate};
use super::ids::{self, IdsFile};
use super::report::Problems;
use super::saga::{self, SagaFile};
use super::value::{Fields, Value};

/// The sections; their presence tells that a file is for the whole system.
pub(super) const SECTIONS: [&str; 5] = ["gateway", "shop", "data", "saga", "admin"];

/// What clients may call.
const SERVICES: [&str; 3] = ["shop.v1.OrderService", "shop.v1.AccountService", "shop.v1.TransferService"];

const GIB: usize = 1 << 30;

/// Everything that `aqueduct up` is told.
#[derive(Debug)]
pub(crate) struct SystemFile {
    /// Without the upstream's endpoint, which is [`services`](Self::services).
    edge: Options,
    pub(crate) access_log: AccessLogFile,
    /// Where the services listen.
    pub(crate) services: SocketAddr,
    pub(crate) shop: aqueduct_shop::Options,
    /// The real servers below the caches, if there are any: then the store in the data folder is not used.
    pub(crate) data: Option<DataFile>,
    /// The coordinator of sagas, which is a process of its own.
    pub(crate) saga: SagaFile,
    /// Which lease ids are minted under.
    pub(crate) ids: IdsFile,
    /// `None` is off.
    pub(crate) admin: Option<SocketAddr>,
}

impl Default for SystemFile {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            edge: Options {
                listen: vec![Listen::plain(local(8080))],
                probes: Some(Probes::default()),
                request_ids: true,
                ..Options::default()
            },
            access_log: AccessLogFile::default(),
            services: local(50051),
            shop: aqueduct_shop::Options::default(),
            data: None,
            saga: SagaFile::default(),
            ids: IdsFile::default(),
            admin: Some(ADMIN),
        }
    }
}

impl SystemFile {
    /// The gateway in front of the services at `services`.
    pub(crate) fn gateway(&self, services: SocketAddr) -> Options {
        // The services are in this process and report to its own checks; asking them over gRPC as well would tell the
        // same thing twice.
        let upstream = Upstream { health: false, ..Upstream::new(vec![services.to_string()]) };
        let name = || "shop".to_owned();
        Options {
            descriptors: vec![Descriptors::set(name(), DESCRIPTOR_SET)],
            upstreams: [(name(), upstream)].into(),
            routes: SERVICES.iter().map(|service| Route::new(*service, name())).collect(),
            ..self.edge.clone()
        }
    }

    /// The addresses that are good by themselves, but not beside each other.
    pub(crate) fn overlaps(&self) -> Vec<Problem> {
        const WHO: &str = "the admin server does";
        let others = [("the services do", Some(self.services)), (WHO, self.admin)];
        let mut problems = edge::overlaps(&self.edge.listen, &others);
        for problem in &mut problems {
            problem.path.insert_str(0, "gateway.");
        }
        if let Some(admin) = self.admin.filter(|admin| Listen::plain(self.services).overlaps(*admin)) {
            let message = edge::overlap("the services", self.services, WHO, admin);
            problems.push(Problem { path: "shop.address".to_owned(), message });
        }
        problems
    }

    /// What is another one in `wanted`, and cannot be changed while the process runs: the sections' names.
    pub(crate) fn restart(&self, wanted: &Self) -> Vec<&'static str> {
        let (shop, other) = (&self.shop, &wanted.shop);
        let of_data = |shop: &aqueduct_shop::Options| (shop.data_dir.clone(), shop.store_cache_bytes);
        let of_shop = |shop: &aqueduct_shop::Options| {
            let times = (shop.cache_soft, shop.cache_hard);
            let bank = (shop.participants.clone(), shop.transfers_kept);
            let of_orders = (shop.worker, shop.cache_bytes, times, shop.queue, shop.max_watches);
            (of_orders, shop.ship_when_paid, bank)
        };
        let changed = [
            ("gateway.access_log", self.access_log != wanted.access_log),
            ("shop", self.services != wanted.services || of_shop(shop) != of_shop(other)),
            ("data", of_data(shop) != of_data(other) || self.data != wanted.data || self.ids != wanted.ids),
            ("admin", self.admin != wanted.admin),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }

    /// The part of the gateway that is configured: where it listens, its bounds.
    pub(crate) fn edge(&self) -> &Options {
        &self.edge
    }

    /// The same, to be changed.
    pub(crate) fn edge_mut(&mut self) -> &mut Options {
        &mut self.edge
    }
}

pub(super) fn read(mut fields: Fields<'_>, Source { base, problems }: Source<'_>) -> SystemFile {
    let mut system = SystemFile::default();
    if let Some(mut section) = fields.get("gateway").and_then(|value| value.fields("{ workers: 4 }")) {
        edge::read(&mut section, &mut system.edge, base);
        system.access_log = edge::access_log(&mut section, base);
        section.finish();
    }
    if let Some(mut section) = fields.get("shop").and_then(|value| value.fields("{ worker: 0 }")) {
        shop(&mut section, &mut system, problems);
        section.finish();
    }
    if let Some(mut section) = fields.get("data").and_then(|value| value.fields("{ dir: aqueduct-data }")) {
        let shop = &mut system.shop;
        section.set("dir", &mut shop.data_dir, |value| value.text().map(|dir| beside(base, dir)));
        section.set("cache_bytes", &mut shop.store_cache_bytes, |value| {
            value.bytes(1 << 20..=64 * GIB).map(|bytes| bytes as u64)
        });
        system.data = data::read(&mut section, base, problems);
        system.ids = ids::read(&mut section, problems);
        ids::agree(&system.ids, system.shop.worker, problems);
        section.finish();
    }
    if let Some(mut section) = fields.get("saga").and_then(|value| value.fields("{ retention: 24h }")) {
        system.saga = saga::read(&mut section, base);
        section.finish();
    }
    if system.shop.ship_when_paid && system.data.is_none() {
        let message = "needs real servers, whose bus tells what is paid: name them in the section `data`";
        problems.add_later("shop.ship_when_paid".to_owned(), message.to_owned());
    }
    if let Some(value) = fields.get("admin") {
        edge::admin(&value, &mut system.admin);
    }
    fields.finish();
    // Any port that is not 0: only what the file says is judged.
    let somewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    validate(&system.gateway(somewhere), "gateway.", problems);
    system
}

fn shop(fields: &mut Fields<'_>, system: &mut SystemFile, problems: &Problems) {
    let shop = &mut system.shop;
    fields.set("address", &mut system.services, |value| value.parsed(edge::address_text));
    fields.set("worker", &mut shop.worker, |value| {
        value.integer(0..=127).and_then(|worker| u16::try_from(worker).ok())
    });
    fields.set("cache_bytes", &mut shop.cache_bytes, |value| {
        value.bytes(64 << 10..=64 * GIB).map(|bytes| bytes as u64)
    });
    fields.set("cache_soft", &mut shop.cache_soft, positive);
    fields.set("cache_hard", &mut shop.cache_hard, positive);
    if shop.cache_soft > shop.cache_hard {
        let message = format!("longer than cache_hard ({:?}), after which nothing is left", shop.cache_hard);
        problems.add_later("shop.cache_soft".to_owned(), message);
    }
    fields.set("queue", &mut shop.queue, |value| value.integer(1..=1 << 20));
    fields.set("ship_when_paid", &mut shop.ship_when_paid, Value::boolean);
    fields.set("max_watches", &mut shop.max_watches, |value| value.integer(0..=1_000_000));
    fields.set("transfers_kept", &mut shop.transfers_kept, |value| {
        value.duration(Duration::from_hours(1)..=Duration::from_hours(10 * 365 * 24))
    });
    let Some(mut section) = fields.get("accounts").and_then(|value| value.fields("{ a: here, b: here }"))
    else {
        return;
    };
    let [a, b] = &mut shop.participants;
    participant(&mut section, "a", a);
    participant(&mut section, "b", b);
    section.finish();
}

/// `here`, or the address of a process of its own.
fn participant(fields: &mut Fields<'_>, name: &'static str, place: &mut Option<String>) {
    fields.set(name, place, |value| {
        value.parsed(|text| if text == "here" { Ok(None) } else { edge::host_and_port(text).map(Some) })
    });
}
