//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use aqueduct_shop::Side;
use aqueduct_telemetry::access::Target;
use aqueduct_telemetry::log::{LogFormat, LogOptions};
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{address_text, host_and_port};
use crate::failure::Failure;
use crate::saga::cli::SagaArgs;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

/// Everything between a client's request and the database
#[derive(Debug, Parser)]
#[command(name = "aqueduct", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  aqueduct up                              the whole system, on an embedded store in ./aqueduct-data
  aqueduct gateway --config gateway.yaml   an HTTP+JSON edge in front of gRPC services in any language
  aqueduct saga serve                      a coordinator of sagas, for participants in any language
  aqueduct check gateway.yaml              everything that is wrong with a configuration
  aqueduct id decode 77071594554819857    when, where and by whom an ID was minted";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the whole system: the edge, the order service and its embedded store
    Up(UpArgs),
    /// Runs the edge alone, in front of gRPC services in any language
    Gateway(GatewayArgs),
    /// Runs the services alone (gRPC), on their embedded stores; or the ID service; or one participant of transfers
    Serve(ServeArgs),
    /// Tells the changes of MariaDB to the caches: reads its binlog, writes to NATS and to Redis
    Cdc(CdcArgs),
    /// Coordinates sagas for clients and participants in any language, over HTTP+JSON and gRPC
    Saga(SagaArgs),
    /// Explains an ID: when it was minted, by whom, and where its entity lives
    Id(IdArgs),
    /// Reports everything that is wrong with a configuration file, with line and column
    Check(CheckArgs),
}

/// The diagnostic log, which goes to standard error.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Levels of the log by module, such as `warn,aqueduct_gateway=debug` [env: AQUEDUCT_LOG] [default: info]
    #[arg(long, value_name = "FILTER", global = true, help_heading = "Logging")]
    log: Option<String>,
    /// `human`, or `json` for one object a line [env: AQUEDUCT_LOG_FORMAT] [default: human]
    #[arg(long, value_name = "FORMAT", global = true, help_heading = "Logging")]
    log_format: Option<LogFormat>,
}

impl LogArgs {
    /// The flags, and what they leave open from the environment.
    pub(crate) fn options(&self) -> Result<LogOptions, Failure> {
        let mut options = LogOptions::from_env().map_err(Failure::usage)?;
        if let Some(filter) = &self.log {
            options.filter.clone_from(filter);
        }
        if let Some(format) = self.log_format {
            options.format = format;
        }
        Ok(options)
    }
}

/// Flags of `up`. They go before the file.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  aqueduct up                                        everything at its usual place
  aqueduct up --data /var/lib/aqueduct               the store elsewhere
  aqueduct up --listen 0.0.0.0:80 --admin off        for other machines
  aqueduct up --access-log - --access-log-sample 0.01
  aqueduct up --config system.yaml                   see docs/gateway.md")]
pub(crate) struct UpArgs {
    /// The whole system's configuration (sections gateway, shop, data, admin)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder [default: ./aqueduct-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where clients connect (HTTP/1.1 and HTTP/2) [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT", value_parser = address_text)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the services listen (gRPC) [default: 127.0.0.1:50051]
    #[arg(long, value_name = "IP:PORT", value_parser = address_text)]
    pub(crate) services: Option<SocketAddr>,
    /// Data-plane threads [default: the cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// Flags of `gateway`. They go before the file.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  aqueduct gateway --config gateway.yaml
  aqueduct gateway --config gateway.yaml --access-log access.log
  aqueduct gateway --config gateway.yaml --openapi > openapi.json

The smallest configuration:
  listen: [{ address: \"127.0.0.1:8080\" }]
  descriptors: [{ reflection: orders }]       # or { file: shop.pb }, a set of protoc's
  upstreams: { orders: { endpoints: [\"127.0.0.1:50051\"] } }
  routes: [{ service: shop.v1.OrderService, upstream: orders }]")]
pub(crate) struct GatewayArgs {
    /// The gateway's configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Writes the routes as an OpenAPI 3.1 document, to standard output or a file, and starts nothing
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) openapi: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// Flags of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aqueduct serve
  aqueduct serve --data /var/lib/aqueduct --listen 0.0.0.0:50051 --admin 127.0.0.1:9901
  aqueduct serve --accounts b --data b --listen 127.0.0.1:50062     one participant of transfers,
  aqueduct serve --participant-b 127.0.0.1:50062                    and the services that use it
  aqueduct serve --ids --worker 3                        IDs for programs in any language
  aqueduct serve --ids --config cluster.yaml             likewise, with a worker number that is leased
  grpcurl -plaintext -d '{\"count\": 100}' 127.0.0.1:50051 aqueduct.ids.v1.IdService/MintIds

With --ids, no two data folders of a system may have the same --worker, unless numbers are leased: of the
whole system's file the key `ids` of the section `data` is used, and `mysql` if the lease is there:
  data: { ids: { etcd: { servers: [\"etcd:2379\"] } } }
proto/aqueduct/ids/v1 has the service; `aqueduct gateway` serves it as HTTP+JSON, with descriptors by reflection.

The admin server is off unless asked for, so that a gateway beside it finds 127.0.0.1:9900 free.")]
pub(crate) struct ServeArgs {
    /// Serves IDs in batches, and nothing else
    #[arg(long, conflicts_with_all = ["accounts", "participant_a", "participant_b"])]
    pub(crate) ids: bool,
    /// With --ids: the number of this worker in the IDs it mints, 0 to 127 [default: 0]
    #[arg(long, value_name = "N", requires = "ids", value_parser = clap::value_parser!(u16).range(0..=127))]
    pub(crate) worker: Option<u16>,
    /// With --ids: the whole system's file, which tells where worker numbers are leased
    #[arg(long, value_name = "FILE", requires = "ids")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "aqueduct-data")]
    pub(crate) data: PathBuf,
    /// Where the services listen (gRPC)
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:50051", value_parser = address_text)]
    pub(crate) listen: SocketAddr,
    /// Serves the accounts of one participant of transfers, `a` or `b`, and nothing else
    #[arg(long, value_name = "NAME", value_parser = side, conflicts_with_all = ["participant_a", "participant_b"])]
    pub(crate) accounts: Option<Side>,
    /// Where the accounts of participant `a` are served (gRPC) [default: in this process]
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub(crate) participant_a: Option<String>,
    /// Where the accounts of participant `b` are served (gRPC) [default: in this process]
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub(crate) participant_b: Option<String>,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

fn side(text: &str) -> Result<Side, String> {
    let side = Side::ALL.into_iter().find(|side| side.as_str() == text);
    side.ok_or_else(|| "`a` or `b` is wanted".to_owned())
}

/// Flags of `cdc`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aqueduct cdc --config cluster.yaml
  aqueduct cdc --config target/cluster/cluster.yaml      after `cargo xtask cluster up`
  aqueduct cdc --config cluster.yaml --admin 127.0.0.1:9902

The file is that of `aqueduct up`; of it, only the section `data` is used:
  data:
    dir: /var/lib/aqueduct                               # the checkpoints are in its folder `cdc`
    mysql:
      user: cdc
      password: { env: DB_PASSWORD }
      shards: [{ database: shop_0, servers: [\"db:3306\"] }]
    redis: { nodes: [\"redis:7000\"] }                     # without it, there is no second level
    bus: { servers: [\"nats:4222\"] }
    cdc: { tables: [{ table: shop_0.orders_*, version: version }] }

One runs at a time: a second one ends the first. SIGTERM ends it after its checkpoint is saved.
Whatever else ends it loses nothing, since the next one goes on at the checkpoint.

Exit code 0: it was asked to stop. 1: a server or a checkpoint cannot be used. 2: the command
line or the file is wrong.")]
pub(crate) struct CdcArgs {
    /// The whole system's configuration, with servers in its section `data`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// Flags of `id`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aqueduct id decode 77071594554819857
  aqueduct id decode --help                              all that it can be told")]
pub(crate) struct IdArgs {
    #[command(subcommand)]
    pub(crate) command: IdCommand,
}

/// What to do with IDs.
#[derive(Debug, Subcommand)]
pub(crate) enum IdCommand {
    /// Takes IDs apart: time, shard, table, worker, sequence
    Decode(DecodeArgs),
}

/// Flags of `id decode`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aqueduct id decode 77071594554819857
  aqueduct id decode 77071594554819857 77071594554819858 --json | jq -r .time
  aqueduct id decode 77071594554819857 --layout seed

Shard and table are the same in every layout: (id >> 19) & 3 and (id >> 15) & 15. Time is right for the epoch
that the ID was minted under, worker and sequence for its layout: an ID does not say which they were.

Exit code 0: all were explained. 2: one of them is no ID, and none was.")]
pub(crate) struct DecodeArgs {
    /// Decimal numbers, as `id` in the answers of the shop
    #[arg(required = true, value_name = "N", allow_negative_numbers = true)]
    pub(crate) ids: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Which layout they were minted with
    #[arg(long, value_enum, default_value = "default")]
    pub(crate) layout: Profile,
    /// The instant that they count from, in ms of Unix time
    #[arg(long, value_name = "MS", default_value_t = aqueduct_ids::DEFAULT_EPOCH_MS)]
    pub(crate) epoch: u64,
}

/// How worker and sequence share 15 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// 128 workers, 256 IDs a millisecond, route and worker
    Default,
    /// 8 workers, 4,096 IDs a millisecond, route and worker
    Seed,
}

/// Flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aqueduct check gateway.yaml
  aqueduct check gateway.yaml && systemctl restart gateway

A `note` beneath the routes tells which paths a route leaves to a more specific one, a `warning` that nothing reaches it.

Exit code 0: the file can be used. 1: it cannot, and every reason was shown as FILE:LINE:COLUMN: MESSAGE.")]
pub(crate) struct CheckArgs {
    /// A gateway's configuration, or the whole system's
    pub(crate) file: PathBuf,
}

/// Where metrics and status are.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// Where metrics, status and probes are served (HTTP), or `off`
    #[arg(long, value_name = "IP:PORT", value_parser = admin)]
    admin: Option<Admin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admin {
    Off,
    At(SocketAddr),
}

impl AdminArgs {
    /// What the flag says, or else `otherwise`.
    pub(crate) fn or(&self, otherwise: Option<SocketAddr>) -> Option<SocketAddr> {
        match self.admin {
            None => otherwise,
            Some(Admin::Off) => None,
            Some(Admin::At(address)) => Some(address),
        }
    }
}

fn admin(text: &str) -> Result<Admin, String> {
    if text == "off" { Ok(Admin::Off) } else { address_text(text).map(Admin::At) }
}

/// A line a request.
#[derive(Debug, Clone, Args)]
pub(crate) struct AccessArgs {
    /// A file for one JSON line a request, `-` for standard output, or `off` [default: off]
    #[arg(long, value_name = "FILE", value_parser = access_log, help_heading = "Logging")]
    access_log: Option<Access>,
    /// The share of the requests that is logged, from 0 to 1 [default: 1]
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Logging")]
    access_log_sample: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    Off,
    To(Target),
}

impl AccessArgs {
    /// Changes what the file says.
    pub(crate) fn apply(&self, log: &mut crate::config::AccessLogFile) {
        match &self.access_log {
            None => {}
            Some(Access::Off) => log.target = None,
            Some(Access::To(target)) => log.target = Some(target.clone()),
        }
        if let Some(sample) = self.access_log_sample {
            log.sample = sample;
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that clap wants")]
fn access_log(text: &str) -> Result<Access, String> {
    Ok(match text {
        "off" => Access::Off,
        "-" => Access::To(Target::Stdout),
        path => Access::To(Target::File(path.into())),
    })
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1 is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
