//! The shop's transfers: HTTP/1.1 connections to the edge of `aqueduct up`, one a caller.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Level, Measured};
use crate::orders::http::System;
use crate::orders::http::connection::Connection;

/// Enough that callers seldom meet at one.
const ACCOUNTS: u32 = 10_000;

pub(super) fn measure(folder: &Path, callers: u32, time: Duration) -> Result<Measured> {
    let system = System::start(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        open_accounts(&system).await?;
        let (before, began) = (system.cpu()?, Instant::now());
        let mut work = JoinSet::new();
        for caller in 0..callers {
            let mut connection = Connection::open(system.edge).await?;
            work.spawn(async move {
                let mut times = Vec::new();
                while began.elapsed() < time {
                    let number = u32::try_from(times.len()).unwrap_or(u32::MAX);
                    let from = (caller.wrapping_mul(7919) + number.wrapping_mul(104_729)) % ACCOUNTS;
                    let to = (from + 1 + number % (ACCOUNTS - 1)) % ACCOUNTS;
                    let transfer = json!({
                        "transferId": format!("{caller}-{number}"),
                        "from": (from + 1).to_string(), "to": (to + 1).to_string(), "amountCents": "1",
                    });
                    let sent = Instant::now();
                    let answer = connection
                        .post("/v1/transfers", "prefer: wait=20\r\n", &transfer.to_string())
                        .await?;
                    ensure!(answer["status"] == "COMPLETED", "{answer}");
                    times.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                anyhow::Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(some) = work.join_next().await {
            times.append(&mut some??);
        }
        let (elapsed, cpu) = (began.elapsed(), system.cpu()?.saturating_sub(before));
        times.sort_unstable();
        Ok(Measured { level: Level::Http, callers, elapsed, times, cpu })
    })
}

async fn open_accounts(system: &System) -> Result<()> {
    let mut work = JoinSet::new();
    for opener in 0..64 {
        let mut connection = Connection::open(system.edge).await?;
        work.spawn(async move {
            for id in (opener..ACCOUNTS).step_by(64) {
                let account = json!({"id": (id + 1).to_string(), "balanceCents": "1000000"});
                connection.post("/v1/accounts", "", &account.to_string()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = work.join_next().await {
        done??;
    }
    Ok(())
}
