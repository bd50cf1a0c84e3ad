//! A private Redis Cluster: three masters and a replica of each, without persistence.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut, RangeInclusive};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::certificates::Certificate;
use crate::port::Port;
use crate::process::within;
use crate::program;
use crate::scratch::Scratch;
use crate::server::{Place, Server, client_output, failure};
use crate::wait::until;

/// Three masters with one replica each.
pub const NODES: usize = 6;

/// One server of the cluster; how to end, pause and restart it stands at [`Server`].
#[derive(Debug)]
pub struct Node {
    server: Server,
    /// Where the nodes talk to each other. By default the port + 10,000, which would be an ephemeral one.
    _bus: Port,
    /// How `redis-cli` connects, when connections are encrypted.
    tls: Vec<String>,
}

impl Node {
    /// Starts a node at `place`, where an earlier one may have left what it knew of the cluster, and does not wait for
    /// it. On `bus` the nodes talk to each other.
    ///
    /// # Errors
    ///
    /// When Redis is not installed, or the folder cannot be written.
    pub fn spawn(place: Place, bus: Port) -> io::Result<Self> {
        Self::spawn_with(place, bus, None)
    }

    /// With a certificate, all connections are encrypted, those among the nodes too, and whoever connects must have one of the same
    /// authority.
    fn spawn_with(place: Place, bus: Port, certificate: Option<&Certificate>) -> io::Result<Self> {
        let port = place.port().to_string();
        let bus_port = bus.number().to_string();
        // Its own folder is where it starts.
        let mut args = vec!["--cluster-port", &bus_port, "--bind", "127.0.0.1"];
        let paths = certificate.map(Certificate::paths);
        if let Some([ca, cert, key]) = &paths {
            args.extend([
                "--port",
                "0",
                "--tls-port",
                &port,
                "--tls-cluster",
                "yes",
                "--tls-replication",
                "yes",
            ]);
            args.extend(["--tls-ca-cert-file", ca, "--tls-cert-file", cert, "--tls-key-file", key]);
        } else {
            args.extend(["--port", &port]);
        }
        args.extend(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]);
        args.extend(["--cluster-node-timeout", "1500", "--cluster-replica-validity-factor", "0"]);
        args.extend(["--repl-diskless-sync-delay", "0", "--save", "", "--appendonly", "no"]);
        let args = args.into_iter().map(str::to_owned).collect();
        let tls = paths.map(|[ca, cert, key]| {
            ["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key].map(str::to_owned).to_vec()
        });
        Ok(Self {
            server: Server::spawn("redis-server", place, args)?,
            _bus: bus,
            tls: tls.unwrap_or_default(),
        })
    }

    /// Waits until the node accepts connections, whatever the state of the cluster.
    ///
    /// # Errors
    ///
    /// When it ends, or does not start, with its log.
    pub fn wait_ready(&mut self) -> io::Result<()> {
        self.server.wait_ready()
    }

    /// Runs `redis-cli` against this node: `["SET", "key", "value"]`, or `["-c", "GET", "key"]` to be sent on to the node
    /// that has the key. The answer is as Redis prints it to no terminal: an array's items one a line, nil as nothing.
    ///
    /// # Errors
    ///
    /// With the error that the node answers (`MOVED 12182 127.0.0.1:12345`), or when there is no connection.
    pub fn cli(&self, args: &[&str]) -> io::Result<String> {
        let mut client = Command::new(program::find("redis-cli")?);
        client.args(["-e", "-h", "127.0.0.1", "-p", &self.port().to_string()]).args(&self.tls).args(args);
        client_output(client.stdin(Stdio::null()))
    }

    /// Lets it run on when this process has ended. Its place must be a detached one.
    pub fn detach(self) {
        self.server.detach();
    }
}

impl Deref for Node {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// A node as another one sees it: a line of `CLUSTER NODES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The name that it gave itself.
    pub id: String,
    /// The port that clients connect to.
    pub port: u16,
    /// Whether it is a master, failed or not.
    pub is_master: bool,
    /// Whether the cluster has agreed that it failed.
    pub has_failed: bool,
    /// The id of its master, if it is a replica.
    pub replica_of: Option<String>,
    /// The slots that it serves; none if it is a replica.
    pub slots: Vec<RangeInclusive<u16>>,
}

impl Seen {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let id = fields.next()?.to_owned();
        // 127.0.0.1:12345@12346
        let (address, _) = fields.next()?.split_once('@')?;
        let port = address.rsplit_once(':')?.1.parse().ok()?;
        let flags: Vec<&str> = fields.next()?.split(',').collect();
        let replica_of = Some(fields.next()?).filter(|id| *id != "-").map(str::to_owned);
        // Pings, the epoch and the link come before the slots; slots that are moving come last, in brackets.
        let slots =
            fields.skip(4).filter(|field| !field.starts_with('[')).map(range).collect::<Option<_>>()?;
        let has_failed = flags.contains(&"fail");
        Some(Self { id, port, is_master: flags.contains(&"master"), has_failed, replica_of, slots })
    }
}

/// `5461-10922`, or `7` for one slot.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// A running cluster. Its nodes are known by their place in `nodes`; which of them are masters changes.
#[derive(Debug)]
pub struct RedisCluster {
    /// All nodes, whether they run or not.
    pub nodes: Vec<Node>,
}

impl RedisCluster {
    /// Starts a cluster in folders of `scratch`, and waits until it takes writes and the replicas have their masters' data.
    ///
    /// # Errors
    ///
    /// When Redis is not installed, a node does not start, with its log, or they do not form a cluster.
    pub fn start(scratch: &Scratch) -> io::Result<Self> {
        let node = |_| Node::spawn(Place::in_scratch(scratch, "redis"), Port::free());
        let mut cluster = Self { nodes: (0..NODES).map(node).collect::<io::Result<_>>()? };
        cluster.form()?;
        Ok(cluster)
    }

    /// As [`RedisCluster::start`], with encrypted connections only, also among the nodes, and for clients that show a certificate of
    /// the same authority. It must be for 127.0.0.1.
    ///
    /// # Errors
    ///
    /// As [`RedisCluster::start`].
    pub fn start_tls(scratch: &Scratch, certificate: &Certificate) -> io::Result<Self> {
        let place = || Place::in_scratch(scratch, "redis");
        let node = |_| Node::spawn_with(place(), Port::free(), Some(certificate));
        let mut cluster = Self { nodes: (0..NODES).map(node).collect::<io::Result<_>>()? };
        cluster.form()?;
        Ok(cluster)
    }

    /// Waits until all nodes run and makes them a cluster, unless they remember that they are one.
    ///
    /// # Errors
    ///
    /// When a node does not start, with its log, or the cluster is not whole after a minute.
    pub fn form(&mut self) -> io::Result<()> {
        for node in &mut self.nodes {
            node.wait_ready()?;
        }
        let first = self.nodes.first().ok_or_else(|| failure("a cluster has nodes"))?;
        if first.cli(&["CLUSTER", "INFO"])?.contains("cluster_slots_assigned:0") {
            let mut create = Command::new(program::find("redis-cli")?);
            create.args(["--cluster", "create"]).args(self.addresses().iter().map(SocketAddr::to_string));
            create.args(["--cluster-replicas", "1", "--cluster-yes"]).args(&first.tls);
            client_output(create.stdin(Stdio::null()))?;
        }
        self.wait_whole(within(60))
    }

    /// The nodes' addresses, of those too that do not run.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address()).collect()
    }

    /// Waits until every node that runs finds the cluster in order, knows all others, and has its master's data if it is a
    /// replica, and until all of them agree who is whose replica and serves which slots.
    ///
    /// # Errors
    ///
    /// When it is not so after `limit`, with what is amiss.
    pub fn wait_whole(&self, limit: Duration) -> io::Result<()> {
        let mut amiss = String::new();
        let whole = until(limit, || {
            match self.running().find_map(|node| self.amiss(node)).or_else(|| self.disagreement()) {
                Some(what) => {
                    amiss = what;
                    None
                }
                None => Some(()),
            }
        });
        whole.ok_or_else(|| failure(format!("the Redis cluster is not whole: {amiss}")))
    }

    /// In what the views of two running nodes differ: news of roles and slots travels from node to node.
    fn disagreement(&self) -> Option<String> {
        let mut first: Option<Vec<Seen>> = None;
        for node in self.running() {
            let mut view = match seen_by(node) {
                Ok(view) => view,
                Err(error) => return Some(error.to_string()),
            };
            // Who has failed is for each node to find; each begins its list elsewhere.
            for seen in &mut view {
                seen.has_failed = false;
            }
            view.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            match &first {
                Some(first) if *first != view => return Some(format!("{first:?} and {view:?} differ")),
                Some(_) => {}
                None => first = Some(view),
            }
        }
        None
    }

    /// What keeps a node from taking part.
    fn amiss(&self, node: &Node) -> Option<String> {
        let info = match (node.cli(&["CLUSTER", "INFO"]), node.cli(&["INFO", "replication"])) {
            (Ok(cluster), Ok(replication)) => cluster + "\n" + &replication,
            (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
        };
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        let has = |line: &str| info.lines().any(|found| found.trim_end() == line);
        let linked = has("role:master") || has("master_link_status:up");
        (!has("cluster_state:ok") || !has(&known) || !linked)
            .then(|| format!("{:?} says {info}", node.server))
    }

    /// Runs `redis-cli` against a node: see [`Node::cli`].
    ///
    /// # Errors
    ///
    /// As [`Node::cli`].
    pub fn cli(&self, node: usize, args: &[&str]) -> io::Result<String> {
        self.nodes[node].cli(args)
    }

    /// The cluster's nodes as `node` sees them.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn seen_by(&self, node: usize) -> io::Result<Vec<Seen>> {
        seen_by(&self.nodes[node])
    }

    /// The slot of a key.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub fn slot_of(&self, key: &str) -> io::Result<u16> {
        let node = self.running().next().ok_or_else(none_runs)?;
        node.cli(&["CLUSTER", "KEYSLOT", key])?.parse().map_err(io::Error::other)
    }

    /// The master of a slot, in the view of all nodes that run.
    ///
    /// # Errors
    ///
    /// When none runs, one does not answer, or they do not agree, as in a failover.
    pub fn master_of(&self, slot: u16) -> io::Result<usize> {
        let mut masters = HashMap::new();
        for node in self.running() {
            let serves = |seen: &Seen| seen.is_master && seen.slots.iter().any(|range| range.contains(&slot));
            let master = seen_by(node)?.into_iter().find(serves).map(|seen| seen.port);
            masters.insert(master, node.port());
        }
        let mut found = masters.keys().copied();
        match (found.next(), found.next()) {
            (Some(Some(port)), None) => {
                self.nodes.iter().position(|node| node.port() == port).ok_or_else(none_runs)
            }
            (None, _) => Err(none_runs()),
            _ => Err(failure(format!("the nodes disagree who is master of slot {slot}: {masters:?}"))),
        }
    }

    /// The replicas of the master `node`, in its own view.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn replicas_of(&self, node: usize) -> io::Result<Vec<usize>> {
        let id = self.cli(node, &["CLUSTER", "MYID"])?;
        let replicas = self.seen_by(node)?.into_iter().filter(|seen| seen.replica_of.as_ref() == Some(&id));
        let ports: Vec<u16> = replicas.map(|seen| seen.port).collect();
        Ok((0..self.nodes.len()).filter(|index| ports.contains(&self.nodes[*index].port())).collect())
    }

    /// Waits until every replica of `master` that runs has what the master had executed when this was called, and there is
    /// one at least.
    ///
    /// # Errors
    ///
    /// When it is not so after `limit`, or a node does not answer.
    pub fn wait_replicated(&self, master: usize, limit: Duration) -> io::Result<()> {
        let goal = offset(&self.nodes[master], "master_repl_offset")?;
        let mut replicas = Vec::new();
        let reached = until(limit, || {
            let mut look = || -> io::Result<bool> {
                replicas = self.replicas_of(master)?;
                replicas.retain(|replica| self.nodes[*replica].is_running());
                let mut all = !replicas.is_empty();
                for &replica in &replicas {
                    all &= offset(&self.nodes[replica], "slave_repl_offset")? >= goal;
                }
                Ok(all)
            };
            matches!(look(), Ok(true)).then_some(())
        });
        reached.ok_or_else(|| {
            failure(format!("the replicas {replicas:?} of node {master} have not reached {goal}"))
        })
    }

    /// Waits until all nodes that run agree that another than `old` is the master of a slot, and answers which.
    ///
    /// # Errors
    ///
    /// When they do not after `limit`.
    pub fn wait_failover(&self, slot: u16, old: usize, limit: Duration) -> io::Result<usize> {
        let mut last = String::new();
        let new = until(limit, || match self.master_of(slot) {
            Ok(master) if master != old => Some(master),
            other => {
                last = format!("{other:?}");
                None
            }
        });
        new.ok_or_else(|| failure(format!("no other node became master of slot {slot}: {last}")))
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }
}

fn seen_by(node: &Node) -> io::Result<Vec<Seen>> {
    let text = node.cli(&["CLUSTER", "NODES"])?;
    let parse = |line| Seen::parse(line).ok_or_else(|| failure(format!("no line of CLUSTER NODES: {line}")));
    text.lines().map(parse).collect()
}

/// A position in the stream of replication, from `INFO`; 0 when there is none.
fn offset(node: &Node, name: &str) -> io::Result<u64> {
    let info = node.cli(&["INFO", "replication"])?;
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map_or(Ok(0), |number| number.trim().parse().map_err(io::Error::other))
}

fn none_runs() -> io::Error {
    failure("no node of the Redis cluster runs")
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn a_line_of_cluster_nodes_is_read() {
        let check = |line: &str, expect: Option<Seen>| assert_eq!(Seen::parse(line), expect, "{line}");
        let master = Seen {
            id: "ab".to_owned(),
            port: 12001,
            is_master: true,
            has_failed: false,
            replica_of: None,
            slots: vec![0..=5460, 7000..=7000],
        };
        let line =
            "ab 127.0.0.1:12001@12002 myself,master - 0 1700000000000 1 connected 0-5460 7000 [93-<-cd]";
        check(line, Some(master.clone()));
        let failed = Seen { has_failed: true, slots: Vec::new(), ..master.clone() };
        check("ab 127.0.0.1:12001@12002 master,fail - 1 2 1 disconnected", Some(failed));
        let replica =
            Seen { is_master: false, replica_of: Some("cd".to_owned()), slots: Vec::new(), ..master };
        check("ab 127.0.0.1:12001@12002 slave cd 0 1 1 connected", Some(replica.clone()));
        // Suspected by one node only.
        check("ab 127.0.0.1:12001@12002 slave,fail? cd 0 1 1 connected", Some(replica));
        check("nonsense", None);
    }
}
