//! `cargo xtask cluster`: the real servers that tests start, for a person: MariaDB with a replica, a Redis Cluster, NATS.

mod addresses;
mod entry;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::nats::Nats;
use aqueduct_kit::redis::{NODES, Node, RedisCluster};
use aqueduct_kit::{Place, Port, until};
use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::steps::Steps;
use crate::tools;
use crate::workspace::target;
use addresses::DATABASES;
use entry::{Entry, Kind};

/// How long a server may take to end, its last writes included.
const END_LIMIT: Duration = Duration::from_mins(1);

/// What to do with the servers.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask cluster up                       starts what does not run, and shows the addresses
  cargo xtask cluster status                   ends with 1 unless all run
  cargo xtask cluster down                     ends all; their data stays for the next `up`
  rm -r target/cluster                         (after `down`) the next `up` begins with nothing
  cargo xtask cluster up --folder /tmp/other   another one beside it

The folder has the addresses in cluster.yaml, the ports and process ids in state.json, and a
folder for each server, with its data and its log. Redis keeps nothing on disk: its keys are gone
after `down`.")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Where the servers live [default: target/cluster]
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
}

/// How to call a subcommand for the servers in this folder.
fn command(what: &str, folder: &Path) -> String {
    let usual = target().join("cluster");
    let absolute = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok();
    if absolute(folder) == absolute(&usual) {
        format!("cargo xtask cluster {what}")
    } else {
        format!("cargo xtask cluster {what} --folder {}", quoted(folder))
    }
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |char: char| char.is_alphanumeric() || "/._-+:@%".contains(char);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum What {
    /// Starts MariaDB with a replica, six Redis nodes and NATS on 127.0.0.1, and lets them run on
    ///
    /// When all of them run already, it only shows the addresses. When some do not, the others are ended too and all are
    /// started again, on their ports and with their data.
    Up,
    /// Ends them by their process ids, if these are still theirs
    Down,
    /// Says which of them run
    Status,
}

/// Does it. Ends with 1 on failure, and when not all servers run that are asked for by `status`.
pub(crate) fn run(args: &Args) -> ExitCode {
    let folder = args.folder.clone().unwrap_or_else(|| target().join("cluster"));
    let outcome = match args.what {
        What::Up => tools::ensure_servers(&mut Steps::start()).and_then(|()| up(&folder)).map(|()| true),
        What::Down => down(&folder).map(|()| true),
        What::Status => status(&folder),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A folder of servers, and what is remembered of them. Only one process at a time has it.
struct Cluster {
    folder: PathBuf,
    state: State,
    _lock: File,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    servers: Vec<Entry>,
}

impl Cluster {
    /// Opens a folder that has a cluster; `None` if it has none.
    fn open(folder: &Path) -> Result<Option<Self>> {
        if state_file(folder).is_file() { Self::lock(folder).map(Some) } else { Ok(None) }
    }

    /// Opens a folder, and makes it with new ports if it has no cluster.
    fn open_or_make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        if !state_file(folder).is_file() {
            for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
                // Another `up` may have begun.
                let name = entry?.file_name();
                let ours = ["lock", "state.json", "state.json.new"].iter().any(|own| name == *own);
                ensure!(ours, "{} is not empty, and no cluster: choose another folder", folder.display());
            }
        }
        let mut cluster = Self::lock(folder)?;
        if cluster.state.servers.is_empty() {
            cluster.state.servers = new_servers();
            cluster.save()?;
        }
        Ok(cluster)
    }

    /// Waits until no other process has the folder, and reads its state.
    fn lock(folder: &Path) -> Result<Self> {
        // Absolute, as the servers' own working folders are.
        let folder = fs::canonicalize(folder).with_context(|| format!("find {}", folder.display()))?;
        let lock = File::create(folder.join("lock")).context("make the lock of the cluster's folder")?;
        lock.lock().context("lock the cluster's folder")?;
        let file = state_file(&folder);
        let state = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("read {}: end its servers by hand and remove it", file.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        Ok(Self { folder, state, _lock: lock })
    }

    fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.state).context("write the cluster's state")?;
        let unfinished = self.folder.join("state.json.new");
        fs::write(&unfinished, text + "\n").with_context(|| format!("write {}", unfinished.display()))?;
        fs::rename(unfinished, state_file(&self.folder)).context("replace the cluster's state")
    }

    fn all_run(&self) -> bool {
        let servers = &self.state.servers;
        !servers.is_empty() && servers.iter().all(|server| server.runs(&self.folder))
    }

    /// Ends all that run: asks all first, then waits for each.
    fn end(&self) -> Result<usize> {
        let mut asked = Vec::new();
        for server in &self.state.servers {
            if server.terminate(&self.folder)? {
                asked.push(server);
            }
        }
        for server in &asked {
            let ended = until(END_LIMIT, || (!server.runs(&self.folder)).then_some(()));
            ended.with_context(|| format!("{} still runs (pid {:?})", server.name, server.pid))?;
        }
        Ok(asked.len())
    }

    fn start(&mut self) -> Result<()> {
        let (mut databases, mut nodes, mut buses) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..self.state.servers.len() {
            let server = &self.state.servers[index];
            let place = Place::detached(self.folder.join(&server.name), take(server.port)?);
            let pid = match server.kind {
                Kind::Mariadb => keep(&mut databases, MariaDb::spawn(place, &[])?).pid(),
                Kind::Redis { bus } => keep(&mut nodes, Node::spawn(place, take(bus)?)?).pid(),
                Kind::Nats => keep(&mut buses, Nats::spawn(place)?).pid(),
            };
            self.state.servers[index].pid = Some(pid);
            // At once: if this process is ended, `down` must know whom to end.
            self.save()?;
        }
        // Dropped before they are detached, they end: a start that fails leaves nothing behind.
        let mut redis = RedisCluster { nodes };
        for database in &mut databases {
            database.wait_ready()?;
        }
        let [primary, replica] = databases.as_slice() else {
            bail!("the state names no primary and replica")
        };
        replica.follow(primary.port())?;
        // By this the primary is told from its replicas.
        replica.sql("SET GLOBAL read_only=1")?;
        for database in DATABASES {
            primary.sql(&format!("CREATE DATABASE IF NOT EXISTS {database}"))?;
        }
        for bus in &mut buses {
            bus.wait_ready()?;
        }
        redis.form()?;
        databases.into_iter().for_each(MariaDb::detach);
        redis.nodes.into_iter().for_each(Node::detach);
        buses.into_iter().for_each(Nats::detach);
        Ok(())
    }
}

fn keep<T>(all: &mut Vec<T>, one: T) -> &T {
    all.push(one);
    &all[all.len() - 1]
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

/// The servers of a new cluster, each with free ports.
fn new_servers() -> Vec<Entry> {
    // Held until all are chosen, so that none is chosen twice.
    let ports: Vec<Port> = (0..3 + 2 * NODES).map(|_| Port::free()).collect();
    let mut numbers = ports.iter().map(Port::number);
    let mut next = || numbers.next().unwrap_or_default();
    let mut servers = vec![
        Entry::new("mariadb-primary", Kind::Mariadb, next()),
        Entry::new("mariadb-replica", Kind::Mariadb, next()),
    ];
    servers
        .extend((0..NODES).map(|n| Entry::new(&format!("redis-{n}"), Kind::Redis { bus: next() }, next())));
    servers.push(Entry::new("nats", Kind::Nats, next()));
    servers
}

fn take(port: u16) -> Result<Port> {
    Port::hold(port).with_context(|| {
        format!("port {port} is taken by now: end that program, or remove the cluster's folder for new ports")
    })
}

fn up(folder: &Path) -> Result<()> {
    let mut cluster = Cluster::open_or_make(folder)?;
    if cluster.all_run() {
        anstream::eprintln!("all run already");
    } else {
        let ended = cluster.end()?;
        if ended > 0 {
            anstream::eprintln!("not all of them ran: ended the other {ended}");
        }
        anstream::eprintln!("starting MariaDB, Redis and NATS, which takes some seconds");
        cluster.start().with_context(|| {
            format!("start the servers in {} (a new folder begins with nothing)", folder.display())
        })?;
    }
    let file = cluster.folder.join("cluster.yaml");
    fs::write(&file, addresses::yaml(&cluster.state.servers)).context("write the addresses")?;
    show(&cluster);
    anstream::println!(
        "\nTheir addresses are in {0}. The whole system on them:\n\n  cargo run --release -- up --config {0}\n\nSee which run with `{1}`, end them with `{2}`.",
        file.display(),
        command("status", &cluster.folder),
        command("down", &cluster.folder)
    );
    Ok(())
}

fn down(folder: &Path) -> Result<()> {
    let ended = match Cluster::open(folder)? {
        Some(cluster) => cluster.end()?,
        None => 0,
    };
    anstream::println!("{ended} servers ended");
    Ok(())
}

/// Whether all run.
fn status(folder: &Path) -> Result<bool> {
    let Some(cluster) = Cluster::open(folder)? else {
        anstream::println!("no cluster in {}: `{}` starts one", folder.display(), command("up", folder));
        return Ok(false);
    };
    show(&cluster);
    Ok(cluster.all_run())
}

fn show(cluster: &Cluster) {
    for server in &cluster.state.servers {
        let state = match server.pid {
            Some(pid) if server.runs(&cluster.folder) => format!("pid {pid}"),
            _ => "does not run".to_owned(),
        };
        anstream::println!("  {:16} {:32} {state}", server.name, addresses::url(server));
    }
}
