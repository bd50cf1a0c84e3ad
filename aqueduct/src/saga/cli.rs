//! The command line of `aqueduct saga`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aqueduct_saga_server::proto::Status;
use clap::{Args, Subcommand};
use http::Uri;
use http::uri::Scheme;

use crate::cli::AdminArgs;
use crate::config::{address_text, duration};

/// `aqueduct saga`.
#[derive(Debug, Args)]
pub(crate) struct SagaArgs {
    #[command(subcommand)]
    pub(crate) command: SagaCommand,
}

/// What to do with sagas.
#[derive(Debug, Subcommand)]
pub(crate) enum SagaCommand {
    /// Runs the coordinator: HTTP+JSON and gRPC on one port
    Serve(ServeArgs),
    /// Lists sagas
    Ls(LsArgs),
    /// Shows a saga and all that happened to it
    Show(ShowArgs),
    /// Lets a parked saga make the call again that it is stuck at
    Retry(DecideArgs),
    /// Lets a parked saga go on as if the call that it is stuck at were done
    Skip(DecideArgs),
    /// Ends a parked saga as it is
    Abandon(DecideArgs),
}

/// Flags of `saga serve`. They go before the file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aqueduct saga serve
  aqueduct saga serve --listen 127.0.0.1:8090 --data /var/lib/sagas --admin 127.0.0.1:9903
  aqueduct saga serve --config cluster.yaml

A transfer, whose steps are called at /execute, and at /compensate to undo them:
  curl -s http://127.0.0.1:8090/v1/sagas -H content-type:application/json -d '{
    \"sagaId\": \"transfer-1\", \"deadlineMs\": 30000, \"steps\": [
      {\"name\": \"debit\",  \"kind\": \"COMPENSABLE\", \"url\": \"http://127.0.0.1:9001/a\", \"payload\": {\"cents\": 500}},
      {\"name\": \"credit\", \"kind\": \"PIVOT\",       \"url\": \"http://127.0.0.1:9001/b\", \"payload\": {\"cents\": 500}}]}'
  curl -s http://127.0.0.1:8090/v1/sagas/transfer-1

The file is that of `aqueduct up`; of it, only the section `saga` is used:
  saga:
    mysql: { server: \"db:3306\", database: sagas, user: saga, password: { env: DB_PASSWORD } }

One process at a time has a data folder; any number share a database. SIGTERM ends it after the calls
under way are answered; whatever else ends it loses nothing, since the next one goes on where it was.

Exit code 0: it was asked to stop. 1: the store cannot be used. 2: the command line or the file is wrong.")]
pub(crate) struct ServeArgs {
    /// The data folder [default: aqueduct-sagas]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) data: Option<PathBuf>,
    /// The whole system's configuration, with a database in its section `saga`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where clients connect (HTTP/1.1 and HTTP/2: HTTP+JSON and gRPC) [default: 127.0.0.1:8090]
    #[arg(long, value_name = "IP:PORT", value_parser = address_text)]
    pub(crate) listen: Option<SocketAddr>,
    /// How long one attempt of a call may last, at most 1h [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Sagas")]
    pub(crate) attempt_timeout: Option<Duration>,
    /// So many failed attempts of a compensation or a retriable step park a saga [default: 30]
    #[arg(long, value_name = "N", value_parser = attempts, help_heading = "Sagas")]
    pub(crate) most_attempts: Option<u32>,
    /// Connections that one participant over HTTP has at a time [default: 128]
    #[arg(long, value_name = "N", value_parser = connections, help_heading = "Sagas")]
    pub(crate) connections: Option<usize>,
    /// How long a saga stays readable after its end [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Sagas")]
    pub(crate) retention: Option<Duration>,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// Which coordinator is asked.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Where the coordinator listens
    #[arg(long = "server", value_name = "URL", default_value = "http://127.0.0.1:8090", value_parser = server)]
    pub(crate) uri: Uri,
}

/// Flags of `saga ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aqueduct saga ls --stuck
  aqueduct saga ls --status running --server http://10.0.0.7:8090")]
pub(crate) struct LsArgs {
    /// Only those that wait for a decision: parked ones
    #[arg(long, conflicts_with = "status")]
    pub(crate) stuck: bool,
    /// Only those of this status: running, compensating, completed, compensated, parked or abandoned
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub(crate) status: Option<Status>,
    #[command(flatten)]
    pub(crate) server: AskArgs,
}

/// Flags of `saga show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The saga's id
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) server: AskArgs,
}

/// Flags of `saga retry`, `skip` and `abandon`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aqueduct saga retry transfer-1
  aqueduct saga skip transfer-1 --actor ada

Exit code 0: it is done, and in the saga's timeline with the actor. 1: there is no such saga, it is not
parked, or the coordinator does not answer. 2: the command line is wrong.")]
pub(crate) struct DecideArgs {
    /// The saga's id
    pub(crate) id: String,
    /// Who decides, for the saga's timeline [default: the name you are logged in with]
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    #[command(flatten)]
    pub(crate) server: AskArgs,
}

fn attempts(text: &str) -> Result<u32, String> {
    let attempts = text.parse().ok().filter(|attempts| (1..=1_000_000).contains(attempts));
    attempts.ok_or_else(|| "a number from 1 to 1000000 is wanted".to_owned())
}

fn connections(text: &str) -> Result<usize, String> {
    let most = text.parse().ok().filter(|most| (1..=16_384).contains(most));
    most.ok_or_else(|| "a number from 1 to 16384 is wanted".to_owned())
}

fn status(text: &str) -> Result<Status, String> {
    let found =
        Status::from_str_name(&text.to_ascii_uppercase()).filter(|found| *found != Status::Unspecified);
    found.ok_or_else(|| {
        "running, compensating, completed, compensated, parked or abandoned is wanted".to_owned()
    })
}

/// `http://host:port`, `https://host:port`, or without a scheme.
fn server(text: &str) -> Result<Uri, String> {
    let wanted = || {
        "http://, https:// or nothing, a host and a port are wanted, such as http://127.0.0.1:8090".to_owned()
    };
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = whole.parse().map_err(|_| wanted())?;
    let known = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    if known && uri.port_u16().is_some() && uri.path() == "/" && uri.query().is_none() {
        Ok(uri)
    } else {
        Err(wanted())
    }
}

#[cfg(test)]
mod tests {
    use super::server;

    #[test]
    fn servers() {
        for (text, expect) in [
            ("127.0.0.1:8090", "http://127.0.0.1:8090/"),
            ("http://sagas:1", "http://sagas:1/"),
            ("https://[::1]:8090/", "https://[::1]:8090/"),
        ] {
            assert_eq!(server(text).unwrap().to_string(), expect);
        }
        for bad in ["", "8090", "ftp://sagas:1", "http://sagas", "http://sagas:1/v1"] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }
}
