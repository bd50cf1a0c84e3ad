//! The dependency rules of `ARCHITECTURE.md`, checked on the workspace as cargo sees it; and that services hold no global state.

mod rules;
mod state;

use std::collections::BTreeSet;

use cargo_metadata::MetadataCommand;

use rules::{STANDALONE, Unit, violations};

/// The workspace's packages, with every kind of dependency: what a crate's tests need must come along as well when the
/// crate is taken alone.
fn workspace() -> Vec<Unit> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("run cargo metadata");
    let names: BTreeSet<_> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let unit = |package: &cargo_metadata::Package| {
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        // A dependency by path is the project's own wherever it lies.
        let own =
            package.dependencies.iter().filter(|used| used.path.is_some() || names.contains(&used.name));
        Unit {
            name: package.name.to_string(),
            folder: folder.strip_prefix(&metadata.workspace_root).expect("in the workspace").to_string(),
            uses: own.map(|used| used.name.clone()).collect(),
            has_readme: folder.join("README.md").is_file(),
        }
    };
    metadata.packages.iter().map(unit).collect()
}

#[test]
fn the_workspace_keeps_the_dependency_rules() {
    let found = violations(&workspace());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Without this, a changed layout would leave the test above nothing to look at.
#[test]
fn the_rules_see_the_crates() {
    let units = workspace();
    let layer =
        |name: &str| units.iter().filter(|unit| unit.folder.starts_with(&format!("crates/{name}/"))).count();
    for name in ["access", "logic", "data", "infra"] {
        assert!(layer(name) > 0, "no crate in {name}");
    }
    assert!(units.iter().any(|unit| STANDALONE.contains(&unit.name.as_str())));
    assert!(units.iter().any(|unit| unit.folder.starts_with("crates/") && !unit.uses.is_empty()));
}
