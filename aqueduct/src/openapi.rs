//! `aqueduct gateway --openapi`: the routes as an OpenAPI document, instead of a running gateway.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use aqueduct_gateway::{Compat, Descriptors, Options};
use aqueduct_transcode::{ApiInfo, Comments, Router};

/// Writes the document to `target`; `-` is standard output.
pub(crate) fn write(options: &Options, target: &Path) -> Result<()> {
    let text = document(options)?;
    if target == Path::new("-") {
        return match io::stdout().write_all(text.as_bytes()) {
            // `… --openapi | head` is no error.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done.context("write the document"),
        };
    }
    fs::write(target, text).with_context(|| format!("write {}", target.display()))
}

fn document(options: &Options) -> Result<String> {
    for source in &options.descriptors {
        if let Descriptors::Reflection { upstream, .. } = source {
            bail!(
                "what `{upstream}` serves is read by reflection while the gateway runs; to write its OpenAPI document, \
                 name a descriptor set: descriptors: [{{ file: {upstream}.pb }}]"
            );
        }
    }
    let router = options.bindings().map_err(|problems| {
        let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow!("{}", all.join("; "))
    })?;
    let sets: Vec<u8> = options.descriptors.iter().flat_map(|set| set.bytes().iter().copied()).collect();
    let comments = Comments::read(&sets).context("read the comments of the descriptors")?;
    let packages = packages(&router);
    let title = packages.iter().copied().collect::<Vec<_>>().join(", ");
    // The gateway tags a binding with the place of its route.
    let routes = options.routes.iter().zip(0u32..).filter(|(route, _)| route.compat == Compat::GrpcGateway);
    let results: Vec<u32> = routes.map(|(_, tag)| tag).collect();
    let info = ApiInfo { title: &title, version: version(&packages), comments: &comments, results: &results };
    Ok(router.openapi(info))
}

/// The packages of the services; of a service without one its name.
fn packages(router: &Router) -> BTreeSet<&str> {
    let services = router.bindings().iter().filter_map(|it| it.grpc_path().split('/').nth(1));
    services.map(|service| service.rsplit_once('.').map_or(service, |(package, _)| package)).collect()
}

/// What the package ends in when it is a version, such as `v1` or `v1beta2`, and it is that of all.
fn version<'a>(packages: &BTreeSet<&'a str>) -> &'a str {
    let of = |package: &&'a str| package.rsplit_once('.').map_or(*package, |(_, last)| last);
    let is_version = |text: &&str| {
        text.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    let versions: BTreeSet<_> = packages.iter().map(of).collect();
    let only = versions.first().copied().filter(|_| versions.len() == 1);
    only.filter(is_version).unwrap_or("unversioned")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_version_is_that_of_all_packages() {
        let check = |packages: &[&str], expect: &str| {
            assert_eq!(
                super::version(&packages.iter().copied().collect::<BTreeSet<_>>()),
                expect,
                "{packages:?}"
            );
        };
        check(&["shop.v1"], "v1");
        check(&["shop.v1beta2", "pay.v1beta2"], "v1beta2");
        check(&["shop.v1", "shop.v2"], "unversioned");
        check(&["shop.value"], "unversioned");
        check(&[], "unversioned");
    }
}
