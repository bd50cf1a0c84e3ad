//! What the `.proto` files say to a reader: comments (`source_code_info`) and `deprecated` options. Apart from the
//! schema, whose tables live as long as a gateway and need none of it.

use foldhash::{HashMap, HashMapExt};

use super::SchemaError;
use super::raw::{Raw, each_field};

/// The comments and deprecations of a descriptor set, by full name (of a field `Message.field`, of an enum's value
/// `Enum.VALUE`, of a method `Service.Method`).
///
/// Comments are there when the set was written with `protoc --include_source_info`, or by `buf build`.
#[derive(Debug, Default)]
pub struct Comments(HashMap<String, Comment>);

/// What is said of one thing.
#[derive(Debug, Default)]
pub(crate) struct Comment {
    /// Without the marks and the blanks around.
    pub(crate) text: String,
    pub(crate) deprecated: bool,
}

/// Nesting of message declarations.
const MAX_DEPTH: usize = 64;

/// What may be declared in a thing of one kind, and where its options are.
struct Kind {
    /// Numbers of the fields that hold what is declared in it.
    members: &'static [(u32, &'static Kind)],
    options: u32,
    /// The number of `deprecated` in its options.
    deprecated: u32,
}

static FILE: Kind = Kind { members: &[(4, &MESSAGE), (5, &ENUM), (6, &SERVICE)], options: 0, deprecated: 0 };
static MESSAGE: Kind = Kind { members: &[(2, &FIELD), (3, &MESSAGE), (4, &ENUM)], options: 7, deprecated: 3 };
static FIELD: Kind = Kind { members: &[], options: 8, deprecated: 3 };
static ENUM: Kind = Kind { members: &[(2, &VALUE)], options: 3, deprecated: 3 };
static VALUE: Kind = Kind { members: &[], options: 3, deprecated: 1 };
static SERVICE: Kind = Kind { members: &[(2, &METHOD)], options: 3, deprecated: 33 };
static METHOD: Kind = Kind { members: &[], options: 4, deprecated: 33 };

/// Comments of a file, by the path that `SourceCodeInfo.Location` describes.
type Located<'a> = HashMap<Vec<u32>, &'a str>;

impl Comments {
    /// Reads a serialised `FileDescriptorSet`. Of a file that is there twice the first counts.
    pub fn read(descriptor_set: &[u8]) -> Result<Comments, SchemaError> {
        let mut comments = Comments::default();
        each_field(descriptor_set, |number, raw| {
            if number == 1 {
                comments.file(raw.bytes()?)?;
            }
            Ok(())
        })?;
        Ok(comments)
    }

    pub(crate) fn of(&self, full_name: &str) -> Option<&Comment> {
        self.0.get(full_name)
    }

    fn file(&mut self, bytes: &[u8]) -> Result<(), SchemaError> {
        let mut located = Located::new();
        let mut package = "";
        each_field(bytes, |number, raw| {
            match number {
                2 => package = raw.text()?,
                9 => locations(raw.bytes()?, &mut located)?,
                _ => {}
            }
            Ok(())
        })?;
        self.members(&FILE, bytes, package, (&located, &mut Vec::new()))
    }

    /// Goes through what is declared in `bytes`, which are of this kind and at this path.
    fn members(
        &mut self,
        kind: &Kind,
        bytes: &[u8],
        scope: &str,
        (located, path): (&Located<'_>, &mut Vec<u32>),
    ) -> Result<(), SchemaError> {
        let mut counts = [0u32; 8];
        each_field(bytes, |number, raw| {
            let member = kind.members.iter().find(|member| member.0 == number);
            let Some((&(_, member), count)) = member.zip(counts.get_mut(number as usize)) else {
                return Ok(());
            };
            path.extend([number, *count]);
            *count += 1;
            if path.len() <= 2 * MAX_DEPTH {
                self.member(member, raw.bytes()?, scope, (located, path))?;
            }
            path.truncate(path.len() - 2);
            Ok(())
        })
    }

    fn member(
        &mut self,
        kind: &Kind,
        bytes: &[u8],
        scope: &str,
        (located, path): (&Located<'_>, &mut Vec<u32>),
    ) -> Result<(), SchemaError> {
        let (mut name, mut deprecated) = ("", false);
        each_field(bytes, |number, raw| {
            if number == 1 {
                name = raw.text()?;
            } else if number == kind.options {
                each_field(raw.bytes()?, |number, raw| {
                    deprecated |= number == kind.deprecated && matches!(raw, Raw::Number(1..));
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        let full_name = super::compile::join(scope, name);
        self.members(kind, bytes, &full_name, (located, path))?;
        let text = located.get(path.as_slice()).map(|text| clean(text)).unwrap_or_default();
        if deprecated || !text.is_empty() {
            self.0.entry(full_name).or_insert(Comment { text, deprecated });
        }
        Ok(())
    }
}

/// Reads a `SourceCodeInfo`.
fn locations<'a>(bytes: &'a [u8], located: &mut Located<'a>) -> Result<(), SchemaError> {
    each_field(bytes, |number, raw| {
        if number != 1 {
            return Ok(());
        }
        let mut path = Vec::new();
        let (mut leading, mut trailing) = ("", "");
        each_field(raw.bytes()?, |number, raw| {
            match (number, raw) {
                (1, Raw::Bytes(packed)) => {
                    let mut cursor = crate::wire::Cursor::new(packed);
                    while !cursor.at_end() {
                        path.push(cursor.varint()? as u32);
                    }
                }
                (1, Raw::Number(number)) => path.push(number as u32),
                (3, _) => leading = raw.text()?,
                (4, _) => trailing = raw.text()?,
                _ => {}
            }
            Ok(())
        })?;
        let text = if leading.trim().is_empty() { trailing } else { leading };
        if !text.trim().is_empty() {
            located.insert(path, text);
        }
        Ok(())
    })
}

/// Takes the blank behind each `//` away, and the blank lines around.
fn clean(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::Comments;

    #[test]
    fn comments_and_deprecations_are_found_by_name() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proto");
        let mut compiler =
            protox::Compiler::new([folder.clone(), folder.join("../../../../../proto")]).unwrap();
        compiler.include_imports(true).open_file("documented.proto").unwrap();
        let plain = compiler.encode_file_descriptor_set();
        compiler.include_source_info(true);
        let full = compiler.encode_file_descriptor_set();
        let check = |set: &[u8], name: &str, expect: Option<(&str, bool)>| {
            let comments = Comments::read(set).unwrap();
            let found = comments.of(name).map(|comment| (comment.text.as_str(), comment.deprecated));
            assert_eq!(found, expect, "{name}");
        };
        check(&full, "documented.v1.Notes", Some(("Keeps notes.\n\nOne a line.", false)));
        check(
            &full,
            "documented.v1.Notes.GetNote",
            Some(("Reads a note. NOT_FOUND for an unknown name.", false)),
        );
        check(&full, "documented.v1.Note.text", Some(("What it says.", false)));
        check(&full, "documented.v1.Note.body", Some(("Use `text`.", true)));
        check(&full, "documented.v1.Note.Kind", Some(("What it is for.", false)));
        check(&full, "documented.v1.Note.Kind.LOUD", Some(("Read aloud.", true)));
        check(&full, "documented.v1.Note.unknown", None);
        check(&plain, "documented.v1.Note.text", None);
        check(&plain, "documented.v1.Note.body", Some(("", true)));
        for end in (0..full.len()).step_by(13) {
            drop(Comments::read(&full[..end]));
        }
    }
}
