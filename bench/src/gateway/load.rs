//! One load of h2load on one address, and what it reports.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use super::fixture::{Fixture, GET_PATH, GRPC_PATH, POST_PATH};
use super::proxies::Proxy;
use aqueduct_kit::Scratch;

/// Connections of a load, each with one request at a time.
pub(crate) const CONNECTIONS: u64 = 64;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// GET of an order over HTTP/1.1, transcoded
    Get,
    /// POST of an order over HTTP/1.1, transcoded both ways
    Post,
    /// a unary gRPC call over h2c, passed through
    Grpc,
}

impl Row {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Get => "GET, transcoded",
            Self::Post => "POST, transcoded",
            Self::Grpc => "gRPC, passed through",
        }
    }
}

/// The bodies that h2load sends, as files.
#[derive(Debug)]
pub(crate) struct Bodies {
    create: PathBuf,
    frame: PathBuf,
    log: PathBuf,
}

/// What one load brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Requests that were answered with anything but 2xx, or not at all.
    pub(crate) failures: u64,
}

impl Bodies {
    pub(crate) fn write(fixture: &Fixture, scratch: &Scratch) -> Self {
        Self {
            create: scratch.write("create.json", fixture.create.to_string()),
            frame: scratch.write("get.frame", &fixture.get_frame),
            log: scratch.join("h2load.log"),
        }
    }

    /// Sends `requests` requests of a row to a proxy and waits for the answers.
    pub(crate) fn load(&self, row: Row, proxy: &Proxy, requests: u64) -> Result<Outcome> {
        // h2load appends to its log.
        match fs::remove_file(&self.log) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("clear the log");
            }
            _ => {}
        }
        let mut h2load = Command::new("h2load");
        h2load.args(["-t1", "-m1"]).arg(format!("-c{CONNECTIONS}")).arg(format!("-n{requests}"));
        h2load.arg(format!("--log-file={}", self.log.display()));
        match row {
            Row::Get => h2load.arg("--h1").arg(url(proxy.http, GET_PATH)),
            Row::Post => {
                h2load.args(["--h1", "-H", "content-type: application/json", "-d"]).arg(&self.create);
                h2load.arg(url(proxy.http, POST_PATH))
            }
            Row::Grpc => {
                h2load
                    .args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-d"])
                    .arg(&self.frame);
                h2load.arg(url(proxy.grpc, GRPC_PATH))
            }
        };
        let output = h2load.output().context("start h2load")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "h2load failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        outcome(&text, &self.log, requests)
    }
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

fn outcome(text: &str, log: &Path, requests: u64) -> Result<Outcome> {
    let good = number_before(text, " 2xx").context("h2load printed no status codes")?;
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("finished in ")?.split(", ").nth(1)?.split(' ').next());
    let rate = rate.and_then(|rate| rate.parse().ok()).context("h2load printed no rate")?;
    let log = fs::read_to_string(log).context("read h2load's log")?;
    let mut times: Vec<u64> = log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    times.sort_unstable();
    let at =
        |percent: usize| times.get(times.len() * percent / 100).map_or(f64::NAN, |us| *us as f64 / 1000.0);
    Ok(Outcome { rate, p50_ms: at(50), p99_ms: at(99), failures: requests.saturating_sub(good) })
}

/// The number that stands right before `word`.
fn number_before(text: &str, word: &str) -> Option<u64> {
    let (before, _) = text.split_once(word)?;
    before.rsplit([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Outcome, outcome};
    use aqueduct_kit::Scratch;

    #[test]
    fn reads_what_h2load_prints_and_logs() {
        let scratch = Scratch::new("h2load");
        let log = scratch.write("log", "1\t200\t1000\n2\t200\t3000\n3\t503\t2000\n");
        let text = "finished in 1.50s, 2.50 req/s, 1.1KB/s\nrequests: 4 total, 4 started, 4 done, 3 succeeded\n\
                    status codes: 2 2xx, 0 3xx, 0 4xx, 1 5xx\n";
        let expect = Outcome { rate: 2.5, p50_ms: 2.0, p99_ms: 3.0, failures: 2 };
        assert_eq!(outcome(text, &log, 4).unwrap(), expect);
        assert!(outcome("nothing", &log, 4).is_err());
    }
}
