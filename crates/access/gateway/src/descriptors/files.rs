//! The files that an upstream tells by reflection, until none is missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use aqueduct_transcode::Code;
use bytes::Bytes;

use crate::descriptors::Descriptors;
use crate::wire::{self, Value};

/// Files of one upstream. The largest known sets have some thousands.
const MAX_FILES: usize = 10_000;

/// What has been told, by name. The order is that of the names, so that the same files make the same set however they
/// were told.
#[derive(Debug, Default)]
pub(super) struct Files {
    known: BTreeMap<String, File>,
    /// Imports that were asked for. A server may not have them all: only options need some, and those need no types.
    asked: BTreeSet<String>,
    bytes: usize,
}

/// A serialised `google.protobuf.FileDescriptorProto`.
#[derive(Debug)]
struct File {
    bytes: Bytes,
    imports: Vec<String>,
}

impl Files {
    /// Bytes that may still come.
    pub(super) fn room(&self) -> usize {
        Descriptors::MAX_BYTES - self.bytes
    }

    /// Takes a `ServerReflectionResponse`. What the server does not find is left out: whether it is needed shows when the
    /// set is compiled.
    pub(super) fn take(&mut self, response: &Bytes) -> Result<(), String> {
        let (mut told, mut error) = (Vec::new(), None);
        let read = wire::each(response, |field, value| {
            match (field, value) {
                (4, Value::Bytes(files)) => told = parse_files(files)?,
                (7, Value::Bytes(status)) => error = Some(parse_error(status)?),
                _ => {}
            }
            Some(())
        });
        read.ok_or("it sent a malformed reflection answer")?;
        match error {
            Some((Code::NotFound, _)) | None => {}
            Some((code, message)) => return Err(refused(code, &message)),
        }
        told.into_iter().try_for_each(|file| self.add(response.slice_ref(file)))
    }

    fn add(&mut self, bytes: Bytes) -> Result<(), String> {
        let (name, imports) = parse_file(&bytes).ok_or("it sent a malformed FileDescriptorProto")?;
        if let Some(known) = self.known.get(&name) {
            let same = known.bytes == bytes;
            return if same { Ok(()) } else { Err(format!("it sent two different files `{name}`")) };
        }
        // Imports count too: each takes more than the bytes of its name.
        let size = bytes.len() + imports.len() * size_of::<String>();
        if self.known.len() == MAX_FILES || size > self.room() {
            let most = Descriptors::MAX_BYTES >> 20;
            return Err(format!("it sent more than {MAX_FILES} files or {most} MiB"));
        }
        self.bytes += size;
        self.known.insert(name, File { bytes, imports });
        Ok(())
    }

    /// Imports to ask for. Each is named once.
    pub(super) fn missing(&mut self) -> Vec<String> {
        let imports = self.known.values().flat_map(|file| &file.imports);
        let missing = imports.filter(|&name| !self.known.contains_key(name) && !self.asked.contains(name));
        let missing: BTreeSet<String> = missing.cloned().collect();
        self.asked.extend(missing.iter().cloned());
        missing.into_iter().collect()
    }

    /// The `google.protobuf.FileDescriptorSet`, each file behind those it imports, as compilers write it.
    pub(super) fn into_set(self) -> Bytes {
        let mut set = Vec::with_capacity(self.bytes + self.known.len() * 6);
        let mut seen = HashSet::new();
        for (name, file) in &self.known {
            // Not by recursion: how deep imports go is up to the server.
            let mut path = if seen.insert(name) { vec![(file, file.imports.iter())] } else { Vec::new() };
            while let Some((file, imports)) = path.last_mut() {
                if let Some(import) = imports.next() {
                    if let Some((name, file)) = self.known.get_key_value(import)
                        && seen.insert(name)
                    {
                        path.push((file, file.imports.iter()));
                    }
                } else {
                    wire::put_bytes(&mut set, 1, &file.bytes);
                    path.pop();
                }
            }
        }
        set.into()
    }
}

/// What is told of a status that ends the reading.
pub(super) fn refused(code: Code, message: &str) -> String {
    format!("it answered reflection with {}: {message}", code.name())
}

/// Adds one of at most [`MAX_FILES`].
fn push<T>(list: &mut Vec<T>, item: T) -> Option<()> {
    (list.len() < MAX_FILES).then(|| list.push(item))
}

/// `FileDescriptorResponse`.
fn parse_files(wire: &[u8]) -> Option<Vec<&[u8]>> {
    let mut files = Vec::new();
    wire::each(wire, |field, value| {
        if let (1, Value::Bytes(file)) = (field, value) {
            push(&mut files, file)?;
        }
        Some(())
    })?;
    Some(files)
}

/// `ErrorResponse`.
fn parse_error(wire: &[u8]) -> Option<(Code, String)> {
    let (mut code, mut message) = (Code::Unknown, String::new());
    wire::each(wire, |field, value| {
        match (field, value) {
            (1, Value::Varint(number)) => code = Code::from_number(i64::try_from(number).unwrap_or(-1)),
            (2, Value::Bytes(text)) => message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
        Some(())
    })?;
    Some((code, message))
}

/// Name and imports of a `FileDescriptorProto`.
fn parse_file(wire: &[u8]) -> Option<(String, Vec<String>)> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let (mut name, mut imports) = (String::new(), Vec::new());
    wire::each(wire, |field, value| {
        match (field, value) {
            (1, Value::Bytes(bytes)) => name = text(bytes)?,
            (3, Value::Bytes(bytes)) => push(&mut imports, text(bytes)?)?,
            _ => {}
        }
        Some(())
    })?;
    (!name.is_empty()).then_some((name, imports))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, imports: &[&str]) -> Vec<u8> {
        let mut file = Vec::new();
        wire::put_bytes(&mut file, 1, name.as_bytes());
        for import in imports {
            wire::put_bytes(&mut file, 3, import.as_bytes());
        }
        file
    }

    fn response(files: &[Vec<u8>]) -> Bytes {
        let (mut inner, mut response) = (Vec::new(), Vec::new());
        for file in files {
            wire::put_bytes(&mut inner, 1, file);
        }
        wire::put_bytes(&mut response, 4, &inner);
        response.into()
    }

    fn error(code: u8, message: &str) -> Bytes {
        let (mut inner, mut response) = (vec![8, code], Vec::new());
        wire::put_bytes(&mut inner, 2, message.as_bytes());
        wire::put_bytes(&mut response, 7, &inner);
        response.into()
    }

    /// The names in a set, in its order.
    fn names(set: &Bytes) -> Vec<String> {
        parse_files(set).unwrap().into_iter().map(|file| parse_file(file).unwrap().0).collect()
    }

    #[test]
    fn what_is_missing_is_named_once_and_imports_come_first() {
        let mut files = Files::default();
        files.take(&response(&[file("a", &["c", "b"]), file("c", &["z"])])).unwrap();
        assert_eq!(files.missing(), ["b", "z"]);
        files.take(&response(&[file("b", &["c", "a"])])).unwrap();
        files.take(&error(5, "no z here")).unwrap();
        assert_eq!(files.missing(), [""; 0], "z was asked for already");
        // `a` and `b` import each other, which no compiler would let pass.
        assert_eq!(names(&files.into_set()), ["c", "b", "a"]);
    }

    #[test]
    fn the_order_in_which_files_are_told_does_not_show() {
        let all = [file("a", &["b"]), file("b", &[]), file("c", &["a"])];
        let set = |order: [usize; 3]| {
            let mut files = Files::default();
            for at in order {
                files.take(&response(&all[at..=at])).unwrap();
            }
            files.take(&response(&all)).unwrap();
            files.into_set()
        };
        assert_eq!(set([0, 1, 2]), set([2, 0, 1]));
    }

    #[test]
    fn a_chain_of_any_length_is_ordered() {
        let mut files = Files::default();
        for at in 0..MAX_FILES {
            files.take(&response(&[file(&at.to_string(), &[&(at + 1).to_string()])])).unwrap();
        }
        let full = files.take(&response(&[file("one more", &[])])).unwrap_err();
        assert_eq!(full, "it sent more than 10000 files or 64 MiB");
        let names = names(&files.into_set());
        assert_eq!((names.len(), names[0].as_str()), (MAX_FILES, "9999"));
    }

    #[test]
    fn bad_answers_are_refused() {
        let check = |response: &Bytes, expect: &str| {
            let mut files = Files::default();
            files.take(&self::response(&[file("a", &[])])).unwrap();
            assert_eq!(files.take(response).unwrap_err(), expect);
        };
        let malformed = "it sent a malformed reflection answer";
        check(&Bytes::from_static(b"\x22\x05abc"), malformed);
        check(&Bytes::from_static(b"\x22\x02\x0a\x05"), malformed);
        check(&response(&[b"\xff".to_vec()]), "it sent a malformed FileDescriptorProto");
        check(&response(&[file("", &[])]), "it sent a malformed FileDescriptorProto");
        check(&response(&vec![vec![]; MAX_FILES + 1]), malformed);
        check(&response(&[file("b", &vec![""; MAX_FILES + 1])]), "it sent a malformed FileDescriptorProto");
        check(&response(&[file("a", &["b"])]), "it sent two different files `a`");
        check(&error(7, "not you"), "it answered reflection with PERMISSION_DENIED: not you");
    }
}
