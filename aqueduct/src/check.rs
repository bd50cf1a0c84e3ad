//! `aqueduct check`: all that is wrong with a configuration, or else what it says.

use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use aqueduct_gateway::Options;
use aqueduct_transcode::{Router, Schema};

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
    for line in bindings(&options) {
        add(&mut out, format_args!("  {name}route   {name:#}  {line}"));
    }
    out
}

fn show(address: Option<std::net::SocketAddr>) -> String {
    address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}

/// What each HTTP route maps to: `METHOD template → service/method`.
fn bindings(options: &Options) -> Vec<String> {
    let sets: Vec<u8> = options.descriptors.iter().flat_map(|set| set.bytes.iter().copied()).collect();
    // The configuration is good, so these are; there is nothing to tell otherwise.
    let Ok(schema) = Schema::decode(&sets) else { return Vec::new() };
    let builder =
        options.routes.iter().fold(Router::builder(&schema), |it, route| it.service(&route.service, 0));
    let Ok(router) = builder.build() else { return Vec::new() };
    let heads: Vec<_> =
        router.bindings().iter().map(|it| format!("{:<6} {}", it.http_method(), it.template())).collect();
    let width = heads.iter().map(|head| head.chars().count()).max().unwrap_or(0);
    let dim = Style::new().dimmed();
    let line = |(head, binding): (String, &aqueduct_transcode::Binding)| {
        let stream = if binding.server_streaming() { format!("  {dim}stream{dim:#}") } else { String::new() };
        format!("{head:<width$} → {}{stream}", binding.grpc_path().trim_start_matches('/'))
    };
    heads.into_iter().zip(router.bindings()).map(line).collect()
}

fn add(out: &mut String, line: std::fmt::Arguments<'_>) {
    let written = writeln!(out, "{line}");
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}
