//! A connection to the server, and what its errors mean.

use mysql_async::{Conn, Error as Driver, OptsBuilder};
use tokio::time::timeout;

use crate::error::Error;
use crate::options::Options;

pub(crate) async fn dial(options: &Options) -> Result<Conn, Error> {
    let driver = OptsBuilder::default()
        .ip_or_hostname(options.host.clone())
        .tcp_port(options.port)
        .user(Some(options.user.clone()))
        .pass(Some(options.password.clone()))
        .ssl_opts(options.tls.clone())
        .prefer_socket(false)
        // An event may be as long as the protocol allows.
        .max_allowed_packet(Some(1 << 30));
    let limit = options.heartbeat * 2;
    match timeout(limit, Box::pin(Conn::new(driver))).await {
        Ok(conn) => conn.map_err(|error| broken(options, &error)),
        Err(_) => Err(unreachable(options, format!("no answer in {limit:?}"))),
    }
}

pub(crate) fn broken(options: &Options, error: &Driver) -> Error {
    match error {
        Driver::Server(refused) => match refused.code {
            1044 | 1045 | 1142 | 1227 | 1698 => Error::Denied {
                server: server(options),
                user: options.user.clone(),
                message: refused.message.clone(),
            },
            4052 => Error::SameServerId { server: server(options), id: options.server_id },
            _ => unreachable(options, error.to_string()),
        },
        _ => unreachable(options, error.to_string()),
    }
}

pub(crate) fn unreachable(options: &Options, message: String) -> Error {
    Error::Unreachable { server: server(options), message }
}

pub(crate) fn server(options: &Options) -> String {
    format!("{}:{}", options.host, options.port)
}
