//! `aqueduct check`: all that is wrong with a configuration, or else what it says.

mod shadows;

use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use aqueduct_gateway::{Descriptors, Options, Route};
use aqueduct_transcode::{Binding, Router};

use crate::cli::CheckArgs;
use crate::config::{self, Config};
use crate::failure::Failure;

/// Shows what the file says; its errors are the failure.
pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let config = config::read(&args.file).map_err(Failure::Checked)?;
    let text = render(&args.file.display().to_string(), &config);
    // `aqueduct check … | head -1` is no error.
    drop(anstream::stdout().write_all(text.as_bytes()));
    Ok(())
}

fn render(file: &str, config: &Config) -> String {
    let mut rows = Vec::new();
    let (kind, options) = match config {
        Config::Gateway(file) => {
            rows.push(("admin", show(file.admin)));
            ("a gateway", file.options.clone())
        }
        Config::System(system) => {
            rows.push(("services", system.services.to_string()));
            rows.push(("admin", show(system.admin)));
            rows.push(("data", system.shop.data_dir.display().to_string()));
            ("the whole system", system.gateway(system.services))
        }
    };
    let mut all: Vec<_> = options.listen.iter().map(|it| ("listen", it.address.to_string())).collect();
    all.append(&mut rows);
    for (name, upstream) in &options.upstreams {
        all.push(("upstream", format!("{name} → {}", upstream.endpoints.join(", "))));
    }

    let (good, name) = (AnsiColor::Green.on_default().bold(), AnsiColor::Cyan.on_default());
    let mut out = format!("{good}ok{good:#} {file}: {kind}\n");
    for (what, value) in all {
        add(&mut out, format_args!("  {name}{what:<8}{name:#}  {value}"));
    }
    // The configuration is good, so these are; there is nothing to tell otherwise.
    if let Ok(router) = options.bindings() {
        for line in routes(&router).into_iter().chain(reflected(&options)) {
            add(&mut out, format_args!("  {name}route   {name:#}  {line}"));
        }
        for warning in options.warnings() {
            let yellow = AnsiColor::Yellow.on_default().bold();
            add(&mut out, format_args!("  {yellow}warning {yellow:#}  {warning}"));
        }
        for note in shadows::notes(&router, options.probes.as_ref()) {
            add(&mut out, format_args!("  {note}"));
        }
    }
    out
}

fn show(address: Option<std::net::SocketAddr>) -> String {
    address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}

/// What each HTTP route maps to: `METHOD template → service/method`, and what is a body or a stream.
fn routes(router: &Router) -> Vec<String> {
    let most = router.bindings().iter().map(|it| it.http_method().len()).max().unwrap_or(0).max(6);
    let heads: Vec<_> =
        router.bindings().iter().map(|it| format!("{:<most$} {}", it.http_method(), it.template())).collect();
    let width = heads.iter().map(|head| head.chars().count()).max().unwrap_or(0);
    let dim = Style::new().dimmed();
    let line = |(head, binding): (String, &Binding)| {
        let details: Vec<_> =
            details(binding).iter().map(|detail| format!("  {dim}{detail}{dim:#}")).collect();
        format!("{head:<width$} → {}{}", method(binding), details.concat())
    };
    heads.into_iter().zip(router.bindings()).map(line).collect()
}

fn method(binding: &Binding) -> &str {
    binding.grpc_path().trim_start_matches('/')
}

fn details(binding: &Binding) -> Vec<String> {
    let named = |what: &str, name: &str| (!name.is_empty()).then(|| format!("{what}: {name}"));
    let stream = match (binding.client_streaming(), binding.server_streaming()) {
        (false, false) => None,
        (false, true) => Some("stream"),
        (true, false) => Some("client stream"),
        (true, true) => Some("stream both ways"),
    };
    let body = named("body", binding.body_name());
    let response_body = named("response_body", binding.response_body_name());
    body.into_iter().chain(response_body).chain(stream.map(str::to_owned)).collect()
}

/// The routes of upstreams that are asked themselves: what they map to is known when the gateway runs.
fn reflected(options: &Options) -> Vec<String> {
    let asked = |name: &str| {
        let mut sources = options.descriptors.iter();
        sources.any(|it| matches!(it, Descriptors::Reflection { upstream, .. } if upstream == name))
    };
    let routes = options.routes.iter().filter(|route| asked(&route.upstream));
    let line = |route: &Route| format!("{} → read from {} by reflection", route.service, route.upstream);
    routes.map(line).collect()
}

fn add(out: &mut String, line: std::fmt::Arguments<'_>) {
    let written = writeln!(out, "{line}");
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}
