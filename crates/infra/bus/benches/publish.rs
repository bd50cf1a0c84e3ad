//! What a record costs its publisher, with no reader and with readers that keep up: `cargo bench -p aqueduct-bus`.

use std::thread;
use std::time::{Duration, Instant};

use aqueduct_bus::{Closed, Draft, Log, Options, Reader};
use bytes::Bytes;

const RECORDS: usize = 1 << 20;

fn main() -> Result<(), Closed> {
    for batch in [1, 64, 1024] {
        for readers in [0, 1, 2] {
            let log = Log::new(Options { capacity_records: 4 * 1024, ..Options::default() });
            let threads: Vec<_> =
                (0..readers).map(|_| log.subscribe()).map(|r| thread::spawn(|| drain(r))).collect();
            let began = instant();
            publish(&log, batch)?;
            let published = began.elapsed();
            let missed = log.stats().missed;
            log.close();
            for thread in threads {
                drop(thread.join());
            }
            report(batch, readers, published, missed);
        }
    }
    Ok(())
}

fn publish(log: &Log, batch: usize) -> Result<(), Closed> {
    let draft = Draft::new("order.changed", Bytes::from_static(b"12345678"), Bytes::from_static(&[7; 128]));
    for _ in 0..RECORDS / batch {
        log.publish_all((0..batch).map(|_| draft.clone()))?;
    }
    Ok(())
}

fn drain(mut reader: Reader) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let mut deliveries = Vec::new();
        while reader.recv_many(&mut deliveries, 256).await > 0 {
            deliveries.clear();
        }
    });
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn report(batch: usize, readers: usize, published: Duration, missed: u64) {
    let each = published.as_secs_f64() * 1e9 / f64::from(u32::try_from(RECORDS).unwrap_or(u32::MAX));
    println!(
        "batch {batch:>4}, {readers} reader(s): {each:>7.1} ns a record for the publisher, {missed} missed"
    );
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn instant() -> Instant {
    Instant::now()
}
