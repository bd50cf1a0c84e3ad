//! Which fields of a request are query parameters, and how many.

use std::path::Path;

use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use serde_json::Value;

use super::{descriptors, document_text, find, names, router};
use crate::Options;

#[test]
fn a_query_has_what_neither_path_nor_body_says() {
    let set = descriptors(&["library.proto"]);
    let router = router(&set, &["library.v1.Library"], &Options::default());
    let document: Value = serde_json::from_str(&document_text(&set, &router)).unwrap();
    let check = |id: &str, expect: &[&str]| assert_eq!(names(find(&document, id), "query"), expect, "{id}");
    let plain = [
        "name",
        "state",
        "tags",
        "numbers",
        "states",
        "flag",
        "score",
        "raw",
        "note",
        "seenAfter",
        "ttl",
        "mask",
        "limit",
        "label",
        "byAuthor",
        "byYear",
        "pageSize",
        "times",
    ];
    let book = ["book.id", "book.title", "book.tags", "book.at", "book.pages"];
    let others = ["byPerson.name", "byPerson.born", "book.author.name", "book.author.born"];
    let after = ["byPerson.firstBook.id", "byPerson.firstBook.title", "byPerson.firstBook.tags"];
    let last = ["byPerson.firstBook.at", "byPerson.firstBook.pages"];
    let all = [&plain[..], &book, &others, &after, &last].concat();
    check("Library_Get", &all);
    check("Library_Create", &[]);
    let without = |skip: &str| all.iter().copied().filter(|name| !name.starts_with(skip)).collect::<Vec<_>>();
    check("Library_Update", &[&["id"], without("book.").as_slice()].concat());
    check("Library_Update2", &without("tags"));
}

/// A `.proto` that is written by a test.
struct Written(String);

impl FileResolver for Written {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "written.proto" => File::from_source(name, &self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

#[test]
fn a_query_of_endless_fields_is_cut() {
    // Each message has the next one twice: 2^60 ways lead to the last.
    let deep: Vec<_> = (0..60)
        .map(|n| format!("message M{n} {{ M{next} a = 1; M{next} b = 2; string c = 3; }}\n", next = n + 1))
        .collect();
    let wide: Vec<_> = (1..=900).map(|n| format!("string f{n} = {n};\n")).collect();
    let (deep, wide) = (deep.concat(), wide.concat());
    let text = format!(
        "syntax = \"proto3\";\npackage written;\nimport \"google/api/annotations.proto\";\n{deep}\
         message M60 {{ {wide} }}\nservice Endless {{\n\
         rpc Deep(M0) returns (M60) {{ option (google.api.http) = {{ get: \"/deep\" }}; }}\n\
         rpc Wide(M60) returns (M60) {{ option (google.api.http) = {{ get: \"/wide\" }}; }}\n}}\n"
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(Written(text));
    resolver.add(IncludeFileResolver::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../proto")));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("written.proto").unwrap();
    let set = compiler.encode_file_descriptor_set();
    let text = document_text(&set, &router(&set, &["written.Endless"], &Options::default()));
    let document: Value = serde_json::from_str(&text).unwrap();
    let deep = names(find(&document, "Endless_Deep"), "query");
    assert_eq!(
        (deep.len(), deep[0].as_str(), deep[2].as_str(), deep[3].as_str()),
        (500, "c", "b.c", "a.a.c")
    );
    assert_eq!(names(find(&document, "Endless_Wide"), "query").len(), 500);
}
