//! The two rules, as a function over any graph of packages.
//!
//! 1. A crate uses crates of its own layer and of `infra`, nothing else of the project.
//! 2. A standalone crate uses no crate of the project at all, and has a README of its own.
//!
//! They bind what lies in `crates/`; services, the binary, tools and tests may use anything.

use std::collections::BTreeMap;

/// The crates that can be taken alone.
pub(crate) const STANDALONE: [&str; 8] = [
    "aqueduct-breaker",
    "aqueduct-cache",
    "aqueduct-discovery",
    "aqueduct-fsm",
    "aqueduct-ids",
    "aqueduct-limit",
    "aqueduct-saga",
    "aqueduct-transcode",
];

/// What every layer may use.
const SHARED: &str = "infra";
const LAYERS: [&str; 4] = ["access", "logic", "data", SHARED];

/// A package of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) name: String,
    /// Its folder, counted from the workspace's root.
    pub(crate) folder: String,
    /// The project's packages that it uses, in whatever role.
    pub(crate) uses: Vec<String>,
    pub(crate) has_readme: bool,
}

/// Every breach of a rule, as a sentence.
pub(crate) fn violations(units: &[Unit]) -> Vec<String> {
    let by_name: BTreeMap<&str, &Unit> = units.iter().map(|unit| (unit.name.as_str(), unit)).collect();
    units.iter().flat_map(|unit| breaches(unit, &by_name)).collect()
}

fn breaches(unit: &Unit, by_name: &BTreeMap<&str, &Unit>) -> Vec<String> {
    let Some(layer) = layer(&unit.folder) else { return Vec::new() };
    if !LAYERS.contains(&layer) {
        return vec![format!("{} lies in no layer: {}", unit.name, unit.folder)];
    }
    if STANDALONE.contains(&unit.name.as_str()) {
        let readme = (!unit.has_readme).then(|| format!("{} stands alone and has no README.md", unit.name));
        let uses = unit.uses.iter().map(|used| format!("{} stands alone and uses {used}", unit.name));
        return uses.chain(readme).collect();
    }
    let allowed = |used: &str| {
        let theirs = by_name.get(used).and_then(|used| self::layer(&used.folder));
        theirs.is_some_and(|theirs| theirs == layer || theirs == SHARED)
    };
    let wrong = unit.uses.iter().filter(|used| !allowed(used));
    wrong.map(|used| format!("{} is of {layer} and uses {used}", unit.name)).collect()
}

/// The layer of a folder `crates/LAYER/NAME`; `None` outside `crates/`.
fn layer(folder: &str) -> Option<&str> {
    let rest = folder.strip_prefix("crates/")?;
    rest.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::{Unit, violations};

    /// Lines of `NAME in FOLDER` or `NAME in FOLDER uses A B`. All have a README.
    fn graph(lines: &[&str]) -> Vec<Unit> {
        let unit = |line: &&str| {
            let (place, uses) = line.split_once(" uses ").unwrap_or((line, ""));
            let (name, folder) = place.split_once(" in ").unwrap();
            let uses = uses.split_whitespace().map(str::to_owned).collect();
            Unit { name: name.to_owned(), folder: folder.to_owned(), uses, has_readme: true }
        };
        lines.iter().map(unit).collect()
    }

    fn check(lines: &[&str], expect: &[&str]) {
        assert_eq!(violations(&graph(lines)), expect, "{lines:?}");
    }

    const GATEWAY: &str = "aqueduct-gateway in crates/access/gateway";
    const RUNTIME: &str = "aqueduct-runtime in crates/infra/runtime";
    const CDC: &str = "aqueduct-cdc in crates/data/cdc";
    const SHOP: &str = "aqueduct-shop in services/shop";

    #[test]
    fn the_own_layer_and_infra_are_allowed() {
        check(&[GATEWAY, RUNTIME, "edge in crates/access/edge uses aqueduct-gateway aqueduct-runtime"], &[]);
        check(&[RUNTIME, "aqueduct-telemetry in crates/infra/telemetry uses aqueduct-runtime"], &[]);
    }

    #[test]
    fn another_layer_is_not() {
        check(
            &[GATEWAY, "x in crates/logic/x uses aqueduct-gateway"],
            &["x is of logic and uses aqueduct-gateway"],
        );
        check(&[CDC, "x in crates/access/x uses aqueduct-cdc"], &["x is of access and uses aqueduct-cdc"]);
        check(&[CDC, "x in crates/infra/x uses aqueduct-cdc"], &["x is of infra and uses aqueduct-cdc"]);
    }

    #[test]
    fn nothing_below_may_know_a_service_or_a_path_outside() {
        check(&[SHOP, "x in crates/data/x uses aqueduct-shop"], &["x is of data and uses aqueduct-shop"]);
        check(&["x in crates/data/x uses elsewhere"], &["x is of data and uses elsewhere"]);
    }

    #[test]
    fn a_standalone_crate_uses_none_of_the_project_not_even_infra() {
        let ids = "aqueduct-ids in crates/logic/ids uses aqueduct-runtime";
        check(&[RUNTIME, ids], &["aqueduct-ids stands alone and uses aqueduct-runtime"]);
        check(&["aqueduct-ids in crates/logic/ids"], &[]);
        check(&["aqueduct-ids in crates/logic/ids", "x in crates/logic/x uses aqueduct-ids"], &[]);
    }

    #[test]
    fn a_standalone_crate_has_a_readme() {
        let mut units = graph(&["aqueduct-ids in crates/logic/ids"]);
        units[0].has_readme = false;
        assert_eq!(violations(&units), ["aqueduct-ids stands alone and has no README.md"]);
    }

    #[test]
    fn services_the_binary_and_tests_may_use_anything() {
        check(&[GATEWAY, SHOP, "aqueduct in aqueduct uses aqueduct-gateway aqueduct-shop"], &[]);
        check(&[SHOP, "system in tests/system uses aqueduct-shop"], &[]);
    }

    #[test]
    fn a_new_layer_is_noticed() {
        check(&["x in crates/misc/x"], &["x lies in no layer: crates/misc/x"]);
    }
}
