//! No service holds mutable state outside of what it is given: any instance can serve any request, and several shops can live in one
//! process, as they do in tests.

use std::fs;
use std::path::{Path, PathBuf};

/// What a global that can change, or a thread's own, is declared with, besides `static`.
const GLOBALS: [&str; 4] = ["thread_local!", "lazy_static!", "static mut ", "static ref "];

/// The lines of a source that declare state which all of a process share: `line: text`. A `static` is one, whatever its type: what never
/// changes is a `const`.
fn globals(source: &str) -> Vec<String> {
    let declares = |line: &str| {
        let code = line.split("//").next().unwrap_or_default().trim_start();
        let item =
            code.strip_prefix("pub ").or_else(|| code.split_once(") ").map(|(_, rest)| rest)).unwrap_or(code);
        item.starts_with("static ")
            || code.starts_with("static ")
            || GLOBALS.iter().any(|global| code.contains(global))
    };
    let lines = (1..).zip(source.lines()).filter(|(_, line)| declares(line));
    lines.map(|(number, line)| format!("{number}: {}", line.trim())).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn services_hold_no_global_mutable_state() {
    let services = aqueduct_kit::binary::workspace().join("services");
    let mut looked_at = 0;
    let mut found = Vec::new();
    for service in fs::read_dir(&services).expect("the services") {
        for path in sources(&service.expect("a service").path().join("src")) {
            looked_at += 1;
            let source = fs::read_to_string(&path).expect("a source");
            found.extend(globals(&source).into_iter().map(|line| format!("{}:{line}", path.display())));
        }
    }
    assert!(looked_at > 30, "only {looked_at} files");
    assert!(found.is_empty(), "hold it in a struct that is handed on:\n{}", found.join("\n"));
}

#[test]
fn what_is_global_is_seen() {
    for global in [
        "static COUNT: AtomicU64 = AtomicU64::new(0);",
        "pub(crate) static ORDERS: Mutex<Vec<u64>> = Mutex::new(Vec::new());",
        "pub static mut N: u64 = 0;",
        "    static CELL: OnceLock<PathBuf> = OnceLock::new();",
        "thread_local! { static X: Cell<u64> = const { Cell::new(0) } }",
    ] {
        assert_eq!(globals(global).len(), 1, "{global}");
    }
    for other in [
        "const NAME: &'static str = \"x\";",
        "fn of(name: &'static str) -> Box<dyn Any + 'static> {",
        "// a static of",
        "    config: Arc<OnceLock<Arc<ClientConfig>>>,",
        "impl<R: Subscribe + 'static> Shop<R> {",
    ] {
        assert!(globals(other).is_empty(), "{other}");
    }
}
