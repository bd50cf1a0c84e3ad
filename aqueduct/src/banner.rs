//! What `up` tells once everything runs: what is where, and three lines to try.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anstyle::{AnsiColor, Style};

/// What runs where.
#[derive(Debug)]
pub(crate) struct Banner<'a> {
    pub(crate) edge: &'a [SocketAddr],
    pub(crate) services: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) data: &'a Path,
}

impl Banner<'_> {
    /// Prints it to standard output; in colour on a terminal, unless NO_COLOR is set.
    pub(crate) fn print(&self) {
        // A closed standard output is no reason not to serve.
        drop(anstream::stdout().write_all(self.render().as_bytes()));
    }

    fn render(&self) -> String {
        let (title, name) = (Style::new().bold(), AnsiColor::Cyan.on_default());
        let (place, dim) = (AnsiColor::Green.on_default(), Style::new().dimmed());
        let mut out = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| {
            let written = writeln!(out, "{text}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        };
        let edge = self.edge.first().copied().map(reachable);
        let mut rows: Vec<(&str, String, &str)> = Vec::new();
        for address in self.edge {
            rows.push(("edge", format!("http://{}", reachable(*address)), "HTTP+JSON, gRPC"));
        }
        rows.push(("services", reachable(self.services).to_string(), "gRPC, health, reflection"));
        if let Some(admin) = self.admin {
            rows.push(("admin", format!("http://{}", reachable(admin)), "metrics, status, probes"));
        }
        rows.push(("data", self.data.display().to_string(), ""));
        let width = rows.iter().filter(|row| !row.2.is_empty()).map(|row| row.1.len()).max().unwrap_or(0);

        line(format_args!("{title}aqueduct {} is up{title:#}\n", env!("CARGO_PKG_VERSION")));
        for (what, at, more) in &rows {
            let (width, more) =
                if more.is_empty() { (0, String::new()) } else { (width, format!("  {dim}{more}{dim:#}")) };
            line(format_args!("  {name}{what:<8}{name:#}  {place}{at:<width$}{place:#}{more}"));
        }
        if let Some(edge) = edge {
            line(format_args!("\n{title}Try it{title:#}\n"));
            for (what, command) in lines_to_try(edge) {
                line(format_args!("  {dim}# {what}{dim:#}\n  {command}"));
            }
        }
        line(format_args!("\n{dim}Ctrl-C stops it, and loses nothing.{dim:#}\n"));
        out
    }
}

/// An order placed, paid and read. They can be pasted as they are, into zsh too (`$ID:p` would mean something there).
fn lines_to_try(edge: SocketAddr) -> [(&'static str, String); 3] {
    let order = r#"{"userId":7,"items":[{"sku":"tea","quantity":2,"priceCents":450}]}"#;
    let id = r#"sed 's/.*"id":"\([0-9]*\)".*/\1/'"#;
    let place = format!(
        "ID=$(curl -s http://{edge}/v1/orders -H content-type:application/json -d '{order}' | {id}); echo $ID"
    );
    [
        ("place an order, and keep its id", place),
        ("pay it", format!("curl -s -X POST http://{edge}/v1/orders/${{ID}}:pay; echo")),
        ("read it", format!("curl -s http://{edge}/v1/orders/${{ID}}; echo")),
    ]
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::Banner;
    use std::path::Path;

    #[test]
    fn tells_what_runs_where_and_what_to_try() {
        let edge = ["0.0.0.0:8080".parse().unwrap()];
        let banner = Banner {
            edge: &edge,
            services: "127.0.0.1:50051".parse().unwrap(),
            admin: Some("127.0.0.1:9900".parse().unwrap()),
            data: Path::new("/srv/aqueduct-data"),
        };
        let text = anstream::adapter::strip_str(&banner.render()).to_string();
        let head: Vec<_> = text.lines().skip(2).take(4).collect();
        let expect = [
            "  edge      http://127.0.0.1:8080  HTTP+JSON, gRPC",
            "  services  127.0.0.1:50051        gRPC, health, reflection",
            "  admin     http://127.0.0.1:9900  metrics, status, probes",
            "  data      /srv/aqueduct-data",
        ];
        assert_eq!(head, expect);
        assert_eq!(text.matches("curl -s").count(), 3, "{text}");
        assert!(text.contains("http://127.0.0.1:8080/v1/orders/${ID}:pay"), "{text}");
    }
}
