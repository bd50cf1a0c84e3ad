//! The whole way: HTTP/1.1 connections to the edge of `aqueduct up`, one a caller.

pub(crate) mod connection;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process, Profile, Scratch, aqueduct, procfs};
use serde_json::{Value, json};

use super::drive::{Caller, Counters, Phase, Step, drive};
use connection::Connection;

pub(super) fn measure(folder: &Path, callers: u32, time: Duration) -> Result<[Phase; 2]> {
    let system = System::start(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let next = Arc::new(AtomicU64::new(1));
        let mut clients = Vec::new();
        for _ in 0..callers {
            clients.push(Buyer { connection: Connection::open(system.edge).await?, next: Arc::clone(&next) });
        }
        drive(clients, time, async || tokio::task::block_in_place(|| system.counters())).await
    })
}

/// A running `aqueduct up` with ports of its own.
pub(crate) struct System {
    pub(crate) edge: SocketAddr,
    admin: SocketAddr,
    process: Process,
    _ports: [Port; 3],
    _scratch: Scratch,
}

impl System {
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let scratch = Scratch::new("bench-orders");
        let ports = [Port::free(), Port::free(), Port::free()];
        let [edge, services, admin] = [&ports[0], &ports[1], &ports[2]].map(Port::address);
        let config = format!(
            "gateway: {{ listen: [{{ address: \"{edge}\" }}] }}\n\
             shop: {{ address: \"{services}\" }}\n\
             admin: {{ address: \"{admin}\" }}\n"
        );
        let file = scratch.write("system.yaml", config);
        let mut command = Command::new(aqueduct(Profile::Release));
        command.arg("up").arg("--data").arg(folder.join("data")).arg("--config").arg(file);
        let mut process = Process::start("aqueduct up", &mut command).context("start aqueduct up")?;
        process.wait_port(edge, within(60))?;
        let ready = aqueduct_kit::until(within(60), || {
            let probe = Client::new(edge).get("/readyz");
            probe.is_ok_and(|answer| answer.status() == 200).then_some(())
        });
        ensure!(ready.is_some(), "aqueduct up is not ready; it printed:\n{}", process.printed());
        Ok(Self { edge, admin, process, _ports: ports, _scratch: scratch })
    }

    /// What it has used so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        Ok(procfs::cpu_time(self.process.pid())?)
    }

    fn counters(&self) -> Result<Counters> {
        let page = Client::new(self.admin).get("/metrics").context("read /metrics")?.text();
        Ok(Counters {
            commits: metric(&page, "aqueduct_fsm_batch_size_count")?,
            changes: metric(&page, "aqueduct_fsm_batch_size_sum")?,
            sync_seconds: metric(&page, "aqueduct_fsm_sync_seconds_sum")?,
            cpu_seconds: self.cpu()?.as_secs_f64(),
        })
    }
}

/// A value of a metrics page, whatever its labels.
fn metric(page: &str, name: &str) -> Result<f64> {
    let value = page.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next())?
    });
    value.and_then(|value| value.parse().ok()).with_context(|| format!("find {name} in /metrics"))
}

struct Buyer {
    connection: Connection,
    next: Arc<AtomicU64>,
}

impl Caller for Buyer {
    async fn create(&mut self) -> Result<u64> {
        let user = self.next.fetch_add(1, Relaxed) % 1000 + 1;
        let items = json!([
            {"sku": "stone-block-0001", "quantity": 2, "priceCents": "1999"},
            {"sku": "lead-pipe-0002", "quantity": 1, "priceCents": "450"},
        ]);
        let body = json!({"userId": user.to_string(), "items": items, "note": "leave at the gate"});
        let order: Value = self.connection.post("/v1/orders", "", &body.to_string()).await?;
        let id = order["id"].as_str().and_then(|id| id.parse().ok());
        id.with_context(|| format!("find the id in {order}"))
    }

    async fn step(&mut self, key: u64, step: Step) -> Result<()> {
        let verb = match step {
            Step::Pay => "pay",
            Step::Ship => "ship",
            Step::Complete => "complete",
        };
        self.connection.post(&format!("/v1/orders/{key}:{verb}"), "", "{}").await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::metric;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let page = "# HELP a_sum_total x\na_sum_total 7\na_sum{x=\"y\"} 2.5\nb_sum 3\n";
        assert_eq!(metric(page, "a_sum").unwrap().to_string(), "2.5");
        assert_eq!(metric(page, "b_sum").unwrap().to_string(), "3");
        assert!(metric(page, "b").is_err());
    }
}
