//! One load of h2load on one address: as much as a proxy can take.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aqueduct_kit::Scratch;

use super::fixture::{Fixture, GET_PATH, GRPC_PATH, POST_PATH, STREAM_PATH};
use super::proxies::Proxy;
use super::rows::Row;

/// Connections of a load, each with one request at a time.
pub(crate) const CONNECTIONS: usize = 64;

/// The bodies that h2load sends, as files.
#[derive(Debug)]
pub(crate) struct Bodies {
    create: PathBuf,
    frame: PathBuf,
}

/// What one load brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peak {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Requests that were answered with anything but 2xx, or not at all.
    pub(crate) failures: u64,
}

impl Bodies {
    pub(crate) fn write(fixture: &Fixture, scratch: &Scratch) -> Self {
        Self {
            create: scratch.write("create.json", fixture.create.to_string()),
            frame: scratch.write("get.frame", &fixture.get_frame),
        }
    }

    /// Sends `requests` requests of a row to a proxy and waits for the answers.
    pub(crate) fn load(&self, row: Row, proxy: &Proxy, requests: u64) -> Result<Peak> {
        let mut h2load = Command::new("h2load");
        h2load.args(["-t1", "-m1"]).arg(format!("-c{CONNECTIONS}")).arg(format!("-n{requests}"));
        let (address, path) = match row {
            Row::Get => {
                h2load.arg("--h1");
                (proxy.http, GET_PATH)
            }
            Row::Post => {
                h2load.args(["--h1", "-H", "content-type: application/json", "-d"]).arg(&self.create);
                (proxy.http, POST_PATH)
            }
            Row::Grpc | Row::Stream => {
                h2load.args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-d"]);
                h2load.arg(&self.frame);
                (proxy.grpc, if row == Row::Grpc { GRPC_PATH } else { STREAM_PATH })
            }
        };
        let output = h2load.arg(format!("http://{address}{path}")).output().context("start h2load")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "h2load failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        peak(&text, requests)
    }
}

fn peak(text: &str, requests: u64) -> Result<Peak> {
    let good = number_before(text, " 2xx").context("h2load printed no status codes")?;
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("finished in ")?.split(", ").nth(1)?.split(' ').next());
    let rate = rate.and_then(|rate| rate.parse().ok()).context("h2load printed no rate")?;
    Ok(Peak { rate, failures: requests.saturating_sub(good) })
}

/// The number that stands right before `word`.
fn number_before(text: &str, word: &str) -> Option<u64> {
    let (before, _) = text.split_once(word)?;
    before.rsplit([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Peak, peak};

    #[test]
    fn reads_what_h2load_prints() {
        let text = "finished in 1.50s, 2.50 req/s, 1.1KB/s\nrequests: 4 total, 4 started, 4 done, 3 succeeded\n\
                    status codes: 2 2xx, 0 3xx, 0 4xx, 1 5xx\n";
        assert_eq!(peak(text, 4).unwrap(), Peak { rate: 2.5, failures: 2 });
        assert!(peak("nothing", 4).is_err());
    }
}
