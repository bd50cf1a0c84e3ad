//! Worker numbers that are leased in a real MariaDB and in a real etcd.

mod fight;
mod fleet;
mod register;
mod served;

use std::path::Path;

use aqueduct_kit::etcd::Etcd;
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::{Scratch, Server};

/// A server that has a register.
enum Store {
    Mysql(MariaDb),
    Etcd(Etcd),
}

impl Store {
    fn mysql(scratch: &Scratch) -> Self {
        let server = MariaDb::start(scratch).unwrap();
        server.sql("CREATE DATABASE ids").unwrap();
        Self::Mysql(server)
    }

    fn etcd(scratch: &Scratch) -> Self {
        Self::Etcd(Etcd::start(scratch).unwrap())
    }

    /// What a node is told of it.
    fn args(&self) -> [String; 2] {
        match self {
            Self::Mysql(server) => {
                ["mysql".to_owned(), format!("mysql://root@127.0.0.1:{}/ids", server.port())]
            }
            Self::Etcd(server) => ["etcd".to_owned(), server.url()],
        }
    }

    fn server(&mut self) -> &mut Server {
        match self {
            Self::Mysql(server) => server,
            Self::Etcd(server) => server,
        }
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last one may be on its way.
    let whole = text.rfind('\n').map_or("", |end| text.split_at(end).0);
    whole.lines().map(str::to_owned).collect()
}
