//! What a protobuf compiler checks and the transcoder relies on: oneofs, map entries, message sets, names in JSON.

use foldhash::{HashMap, HashMapExt};

use super::SchemaError;
use super::raw;
use super::tables::{Field, Kind, NO_ONEOF};

type Result<T> = std::result::Result<T, SchemaError>;

/// The names of the oneofs that are not made up for `optional`, and for each declared one its place among them.
pub(super) fn real_oneofs(raw: &raw::Message<'_>, full_name: &str) -> Result<(Vec<Box<str>>, Vec<u16>)> {
    let mut names = Vec::new();
    let mut positions = Vec::new();
    for (index, oneof) in raw.oneofs.iter().enumerate() {
        let mut members = raw.fields.iter().filter(|field| field.oneof == i32::try_from(index).ok());
        if members.clone().any(|field| field.label == 3) {
            return Err(SchemaError::invalid(full_name, "a member of a oneof is repeated"));
        }
        if members.all(|field| field.proto3_optional) {
            positions.push(NO_ONEOF);
        } else {
            positions.push(u16::try_from(names.len()).unwrap_or(NO_ONEOF));
            names.push((*oneof).into());
        }
    }
    Ok((names, positions))
}

/// A map entry has a key and a value of types that a map can have.
pub(super) fn map_entry(full_name: &str, fields: &[Field]) -> Result<()> {
    let key_ok = |kind| {
        !matches!(kind, Kind::Double | Kind::Float | Kind::Bytes | Kind::Enum | Kind::Message | Kind::Group)
    };
    match fields {
        [key, value]
            if key.number == 1
                && value.number == 2
                && key_ok(key.kind)
                && !key.is_repeated()
                && !value.is_repeated()
                && value.kind != Kind::Group =>
        {
            Ok(())
        }
        _ => Err(SchemaError::invalid(full_name, "it is not a map entry of key = 1 and value = 2")),
    }
}

/// The content of a message set is extensions, each a single message.
pub(super) fn message_set(full_name: &str, no_fields: bool, extensions: &[Field]) -> Result<()> {
    if !no_fields {
        return Err(SchemaError::invalid(full_name, "a message set has extensions, but no fields"));
    }
    if extensions.iter().any(|field| field.kind != Kind::Message || field.is_repeated()) {
        return Err(SchemaError::invalid(full_name, "an extension of a message set is not a single message"));
    }
    Ok(())
}

/// No two fields may have one name, nor one JSON name. What proto2 (`LEGACY_BEST_EFFORT`) lets pass is set right here:
/// fields that share a JSON name are read and printed under their proto names.
pub(super) fn names(full_name: &str, fields: &mut [Field], best_effort: bool) -> Result<()> {
    let of_field = |field: &Field| format!("{full_name}.{}", field.name);
    if let Some(at) = repeated(fields, |field| &field.name).first() {
        return Err(SchemaError::invalid(&of_field(&fields[*at]), "another field has the same name"));
    }
    loop {
        // Names of proto that were taken as JSON names may meet another field's: at the latest when all were, none do.
        let shared = repeated(fields, |field| &field.json_name);
        match shared.first() {
            None => return Ok(()),
            Some(&at) if !best_effort => {
                return Err(SchemaError::invalid(
                    &of_field(&fields[at]),
                    "another field has the same JSON name",
                ));
            }
            Some(_) => {
                for at in shared {
                    let name = fields[at].name.clone();
                    fields[at].set_names(&name, &name);
                }
            }
        }
    }
}

/// The positions of fields whose name another one has too.
fn repeated(fields: &[Field], name: impl Fn(&Field) -> &str) -> Vec<usize> {
    let mut count = HashMap::new();
    for field in fields {
        *count.entry(name(field)).or_insert(0) += 1;
    }
    (0..fields.len()).filter(|&at| count.get(name(&fields[at])).is_some_and(|&count| count > 1)).collect()
}
