//! What the calls cost over gRPC on the loopback, client and server in one process: `cargo bench -p aqueduct-shop --bench calls`.
//! Each line is one kind of call by a number of callers, each with one call in flight. The CPU time is that of both sides;
//! it is the figure to compare on a machine that others use too.

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use aqueduct_runtime::{drain, task};
use aqueduct_shop::proto::shop::order_service_client::OrderServiceClient;
use aqueduct_shop::proto::shop::{
    CreateOrderRequest, GetOrderRequest, Item, ListOrdersRequest, PayOrderRequest,
};
use aqueduct_shop::{Options, Shop};
use aqueduct_telemetry::{health::Health, metrics::Registry};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
type Orders = OrderServiceClient<Channel>;

/// Calls of each kind by a caller.
const CALLS: usize = 100;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Create,
    Get,
    Pay,
    List,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    // On the disk of the target folder: a temporary one is often memory.
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").replace("services/shop", "target"))?;
    let options = Options { data_dir: folder.path().join("data"), ..Options::default() };
    let shop = Shop::open(&options, &Registry::new(), &Health::new())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    let (handle, drain) = drain::channel();
    let serving = task::spawn("shop", shop.serve(listener, drain));
    let orders = OrderServiceClient::new(Endpoint::from_shared(address)?.connect().await?);
    print("calls  callers  per second  p50 ms  p99 ms  CPU us");
    for callers in [1, 64, 512] {
        let ids = measure(Kind::Create, callers, &orders, &[]).await?;
        for kind in [Kind::Get, Kind::Pay, Kind::Get, Kind::List] {
            measure(kind, callers, &orders, &ids).await?;
        }
    }
    handle.drain(Duration::from_secs(10)).await;
    serving.await??;
    Ok(shop.close().await?)
}

/// Runs the calls, prints the line, and answers with the ids of each caller's orders.
async fn measure(kind: Kind, callers: usize, orders: &Orders, ids: &[Vec<i64>]) -> Outcome<Vec<Vec<i64>>> {
    let (began, cpu) = (Instant::now(), cpu_time()?);
    let running: Vec<_> = (0..callers)
        .map(|caller| {
            let ids = ids.get(caller).cloned().unwrap_or_default();
            task::spawn(
                "caller",
                calls(kind, i64::try_from(caller).unwrap_or_default() + 1, orders.clone(), ids),
            )
        })
        .collect();
    let (mut all, mut times) = (Vec::new(), Vec::new());
    for caller in running {
        let (ids, took) = caller.await??;
        all.push(ids);
        times.extend(took);
    }
    let cpu = cpu_time()?.saturating_sub(cpu);
    let count = u32::try_from(times.len())?;
    times.sort_unstable();
    let ms = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    let cpu = cpu.as_secs_f64() * 1e6 / f64::from(count);
    print(&format!("{kind:<6?} {callers:7} {rate:11.0} {:7.2} {:7.2} {cpu:7.1}", ms(50), ms(99)));
    Ok(all)
}

async fn calls(
    kind: Kind,
    user: i64,
    mut orders: Orders,
    ids: Vec<i64>,
) -> Outcome<(Vec<i64>, Vec<Duration>)> {
    let (mut created, mut times) = (Vec::new(), Vec::new());
    for at in 0..CALLS {
        let id = ids.get(at).copied().unwrap_or_default();
        let began = Instant::now();
        match kind {
            Kind::Create => {
                let items = vec![Item { sku: "tea".into(), quantity: 2, price_cents: 450 }];
                let request = CreateOrderRequest { user_id: user, items, note: "ring twice".into() };
                created.push(orders.create_order(request).await?.into_inner().id);
            }
            Kind::Get => drop(orders.get_order(GetOrderRequest { id }).await?),
            Kind::Pay => {
                let request = PayOrderRequest { id, event_id: format!("charge-{id}") };
                drop(orders.pay_order(request).await?);
            }
            Kind::List => {
                let request = ListOrdersRequest { user_id: user, page_size: 20, page_token: String::new() };
                drop(orders.list_orders(request).await?);
            }
        }
        times.push(began.elapsed());
    }
    Ok((created, times))
}

/// What the process has used so far, to a hundredth of a second: fields 14 and 15 of `/proc/self/stat` (proc(5)).
fn cpu_time() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no command in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

#[expect(clippy::print_stdout, reason = "the report")]
fn print(line: &str) {
    println!("{line}");
}
