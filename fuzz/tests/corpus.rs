//! Replays every input that is kept in `corpus/`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::Path;

use aqueduct_fuzz::{Check, TARGETS};

#[test]
fn the_corpus_breaks_no_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, check) in TARGETS {
        let replayed = replay(&folder.join(name), check);
        assert!(replayed > 0, "{name} has no corpus");
    }
    let folders = fs::read_dir(&folder).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "a folder of the corpus belongs to no target");
}

fn replay(folder: &Path, check: Check) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let checked = std::panic::catch_unwind(|| check(&input));
        assert!(checked.is_ok(), "this input broke a promise, see above: {}", path.display());
        count += 1;
    }
    count
}
