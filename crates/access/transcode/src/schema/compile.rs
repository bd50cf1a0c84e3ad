//! Links raw descriptors into tables: first every name is declared, then every reference resolved.

use foldhash::{HashMap, HashMapExt};

use super::check;
use super::features::Features;
use super::index::{NameIndex, NumberIndex};
use super::key::Key;
use super::raw;
use super::reach;
use super::service::{Method, Service};
use super::tables::{Enum, Field, Kind, Message, NO_ONEOF, Shape, WellKnown};
use super::{MessageId, SchemaError, Tables, builtin};
use crate::wire::wire_type;

type Result<T> = std::result::Result<T, SchemaError>;

/// Where a type name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeRef {
    Message(u32),
    Enum(u32),
}

/// A message between declaration and definition.
struct Pending<'a> {
    full_name: String,
    raw: &'a raw::Message<'a>,
    features: Features,
    extensions: Vec<(&'a raw::Field<'a>, String, Features)>,
}

#[derive(Default)]
struct Linker<'a> {
    types: HashMap<Box<str>, TypeRef>,
    messages: Vec<Pending<'a>>,
    enums: Vec<Enum>,
    /// Extensions with their full name and features, until every extendee is declared.
    extensions: Vec<(&'a raw::Field<'a>, String, Features)>,
}

/// Compiles a `FileDescriptorSet`, completed by the built-in types that it does not declare itself.
pub(super) fn compile(set: &[u8]) -> Result<Tables> {
    let files = distinct(raw::files(set)?)?;
    let builtin = raw::files(builtin::DESCRIPTORS)?;
    let mut linker = Linker::default();
    for file in &files {
        linker.declare_file(file, false)?;
    }
    for file in &builtin {
        linker.declare_file(file, true)?;
    }
    linker.attach_extensions()?;
    let mut messages =
        linker.messages.iter().map(|pending| linker.define(pending)).collect::<Result<Box<[Message]>>>()?;
    reach::mark(&mut messages);
    let services = linker.services(&files)?;
    let mut methods = HashMap::new();
    for (at, service) in services.iter().enumerate() {
        for (index, method) in service.methods.iter().enumerate() {
            if methods.insert(method.grpc_path.clone(), (at, index)).is_some() {
                return Err(SchemaError::NameConflict(method.grpc_path.to_string()));
            }
        }
    }
    Ok(Tables { messages, enums: linker.enums.into(), types: linker.types, services, methods })
}

/// Drops repeated files: sets that were written apart and are joined share their imports. Google's own files exist in
/// many versions, which differ in comments and options only; there the first is kept.
fn distinct(files: Vec<raw::File<'_>>) -> Result<Vec<raw::File<'_>>> {
    let mut by_name: HashMap<&str, &[u8]> = HashMap::new();
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        match by_name.get(file.name) {
            Some(&bytes) if bytes == file.bytes || file.name.starts_with("google/") => {}
            Some(&bytes) if raw::without_comments(bytes)? == raw::without_comments(file.bytes)? => {}
            Some(_) => return Err(SchemaError::FileConflict(file.name.to_owned())),
            None => {
                by_name.insert(file.name, file.bytes);
                kept.push(file);
            }
        }
    }
    Ok(kept)
}

pub(super) fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

impl<'a> Linker<'a> {
    /// Declares the types of a file; a `builtin` one gives way to what the user's files declared.
    fn declare_file(&mut self, file: &'a raw::File<'a>, builtin: bool) -> Result<()> {
        let features = Features::of_file(file)?;
        for message in &file.messages {
            if !(builtin && self.types.contains_key(join(file.package, message.name).as_str())) {
                self.declare_message(message, file.package, features)?;
            }
        }
        for each in &file.enums {
            if !(builtin && self.types.contains_key(join(file.package, each.name).as_str())) {
                self.declare_enum(each, file.package, features)?;
            }
        }
        self.collect_extensions(&file.extensions, file.package, features);
        Ok(())
    }

    fn declare(&mut self, full_name: &str, type_ref: TypeRef) -> Result<()> {
        match self.types.insert(full_name.into(), type_ref) {
            None => Ok(()),
            Some(_) => Err(SchemaError::NameConflict(full_name.to_owned())),
        }
    }

    fn declare_message(&mut self, raw: &'a raw::Message<'a>, scope: &str, outer: Features) -> Result<()> {
        let full_name = join(scope, raw.name);
        let features = outer.with(raw.features);
        self.declare(&full_name, TypeRef::Message(self.messages.len() as u32))?;
        self.messages.push(Pending { full_name: full_name.clone(), raw, features, extensions: Vec::new() });
        for message in &raw.messages {
            self.declare_message(message, &full_name, features)?;
        }
        for each in &raw.enums {
            self.declare_enum(each, &full_name, features)?;
        }
        self.collect_extensions(&raw.extensions, &full_name, features);
        Ok(())
    }

    fn declare_enum(&mut self, raw: &raw::Enum<'_>, scope: &str, outer: Features) -> Result<()> {
        let full_name = join(scope, raw.name);
        if raw.values.is_empty() || raw.values.len() > usize::from(u16::MAX) {
            return Err(SchemaError::invalid(&full_name, "an enum needs 1 to 65,535 values"));
        }
        if raw.values.iter().any(|(name, _)| !is_identifier(name)) {
            return Err(SchemaError::invalid(&full_name, "the name of a value is not an identifier"));
        }
        self.declare(&full_name, TypeRef::Enum(self.enums.len() as u32))?;
        self.enums.push(Enum::new(&full_name, &raw.values, outer.with(raw.features).closed_enums));
        Ok(())
    }

    fn collect_extensions(&mut self, fields: &'a [raw::Field<'a>], scope: &str, features: Features) {
        self.extensions.extend(fields.iter().map(|field| (field, join(scope, field.name), features)));
    }

    fn attach_extensions(&mut self) -> Result<()> {
        for (field, full_name, features) in std::mem::take(&mut self.extensions) {
            match self.resolve(field.extendee, &full_name) {
                Ok(TypeRef::Message(at)) => {
                    self.messages[at as usize].extensions.push((field, full_name, features));
                }
                Ok(TypeRef::Enum(_)) => return Err(SchemaError::invalid(&full_name, "it extends an enum")),
                // Sets without descriptor.proto are common, and nobody sends options over the wire.
                Err(_) if field.extendee.starts_with(".google.protobuf.") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finds a type by its name, which descriptors write in full and with a leading dot.
    fn resolve(&self, name: &str, user: &str) -> Result<TypeRef> {
        name.strip_prefix('.')
            .and_then(|full_name| self.types.get(full_name).copied())
            .ok_or_else(|| SchemaError::Unresolved { user: user.to_owned(), name: name.to_owned() })
    }

    fn define(&self, pending: &Pending<'a>) -> Result<Message> {
        let Pending { full_name, raw, features, extensions } = pending;
        // The values of a map have a length, whatever their file says of messages.
        let features = Features { delimited: features.delimited && !raw.map_entry, ..*features };
        let (oneofs, positions) = check::real_oneofs(raw, full_name)?;
        let mut fields = Vec::with_capacity(raw.fields.len() + extensions.len());
        for field in &raw.fields {
            let oneof = match field.oneof.and_then(|oneof| usize::try_from(oneof).ok()) {
                Some(oneof) => positions.get(oneof).copied().ok_or_else(|| {
                    SchemaError::invalid(&join(full_name, field.name), "its oneof does not exist")
                })?,
                None => NO_ONEOF,
            };
            fields.push(self.field(field, &join(full_name, field.name), features, oneof)?);
        }
        for (field, extension_name, features) in extensions {
            let mut field = self.field(field, extension_name, *features, NO_ONEOF)?;
            field.set_names(&format!("[{extension_name}]"), &format!("[{extension_name}]"));
            fields.push(field);
        }
        fields.sort_by_key(|field| field.number);
        if fields.windows(2).any(|pair| pair[0].number == pair[1].number) {
            return Err(SchemaError::invalid(full_name, "two fields have one number"));
        }
        if fields.len() + oneofs.len() > usize::from(u16::MAX) {
            return Err(SchemaError::invalid(full_name, "it has more than 65,535 fields"));
        }
        if raw.map_entry {
            check::map_entry(full_name, &fields)?;
        }
        if raw.is_message_set {
            check::message_set(full_name, raw.fields.is_empty(), &fields)?;
        }
        check::names(full_name, &mut fields, features.best_effort_json || raw.json_conflicts)?;
        if WellKnown::of(full_name).is_some_and(|known| !known.fits(&fields)) {
            return Err(SchemaError::invalid(full_name, "it is not the well-known type of this name"));
        }
        Ok(link(full_name, fields, oneofs, raw.is_message_set))
    }

    fn field(&self, raw: &raw::Field<'_>, full_name: &str, outer: Features, oneof: u16) -> Result<Field> {
        let features = outer.with(raw.features);
        let number = u32::try_from(raw.number).ok().filter(|number| (1..1 << 29).contains(number));
        let Some(number) = number else {
            return Err(SchemaError::invalid(full_name, "its number is not in 1..2^29"));
        };
        let (mut kind, type_index) = self.kind(raw, full_name)?;
        let is_map = self.is_map_entry(kind, type_index);
        if kind == Kind::Message && features.delimited && !is_map {
            kind = Kind::Group;
        }
        let shape = match (raw.label, kind) {
            (3, _) if is_map => Shape::Map,
            (3, _) => Shape::Repeated,
            (_, _) if raw.oneof.is_some() || raw.proto3_optional => Shape::Explicit,
            (2, _) | (_, Kind::Message | Kind::Group) => Shape::Explicit,
            // Extensions always track presence.
            _ if features.explicit_presence || !raw.extendee.is_empty() => Shape::Explicit,
            _ => Shape::Implicit,
        };
        if raw.name.is_empty() {
            return Err(SchemaError::invalid(full_name, "a field has no name"));
        }
        let packed = shape == Shape::Repeated && kind.packable() && raw.packed.unwrap_or(features.packed);
        let wire = if packed { wire_type::LEN } else { kind.wire_type() };
        let json_name = raw.json_name.map_or_else(|| json_name(raw.name), str::to_owned);
        Ok(Field {
            number,
            tag: number << 3 | u32::from(wire),
            type_index,
            oneof,
            kind,
            shape,
            wire: kind.wire_type(),
            packed,
            required: raw.label == 2 || features.required,
            nullable: shape == Shape::Explicit
                && raw.oneof.is_none()
                && !raw.proto3_optional
                && raw.extendee.is_empty(),
            json_key: Key::new(&json_name),
            proto_key: Key::new(raw.name),
            name: raw.name.into(),
            json_name: json_name.into(),
        })
    }

    fn kind(&self, raw: &raw::Field<'_>, full_name: &str) -> Result<(Kind, u32)> {
        if raw.type_name.is_empty() {
            return match Kind::from_number(raw.kind) {
                Some(Kind::Enum | Kind::Message | Kind::Group) | None => {
                    Err(SchemaError::invalid(full_name, "it has no type"))
                }
                Some(kind) => Ok((kind, 0)),
            };
        }
        match (self.resolve(raw.type_name, full_name)?, Kind::from_number(raw.kind)) {
            (TypeRef::Enum(at), _) => Ok((Kind::Enum, at)),
            (TypeRef::Message(at), Some(Kind::Group)) => Ok((Kind::Group, at)),
            (TypeRef::Message(at), _) => Ok((Kind::Message, at)),
        }
    }

    fn is_map_entry(&self, kind: Kind, at: u32) -> bool {
        kind == Kind::Message && self.messages.get(at as usize).is_some_and(|pending| pending.raw.map_entry)
    }

    fn services(&self, files: &[raw::File<'_>]) -> Result<Box<[Service]>> {
        let mut services = Vec::new();
        for file in files {
            for raw in &file.services {
                let name = join(file.package, raw.name);
                let methods = raw.methods.iter().map(|method| self.method(&name, method));
                services.push(Service { methods: methods.collect::<Result<_>>()?, name: name.into() });
            }
        }
        Ok(services.into())
    }

    fn method(&self, service: &str, raw: &raw::Method<'_>) -> Result<Method> {
        let user = join(service, raw.name);
        let message = |name: &str| match self.resolve(name, &user)? {
            TypeRef::Message(at) => Ok(MessageId(at)),
            TypeRef::Enum(_) => Err(SchemaError::invalid(&user, "an enum cannot be sent")),
        };
        Ok(Method {
            grpc_path: format!("/{service}/{}", raw.name).into(),
            input: message(raw.input)?,
            output: message(raw.output)?,
            client_streaming: raw.client_streaming,
            server_streaming: raw.server_streaming,
            idempotent: raw.idempotent,
            http: raw.http.clone(),
        })
    }
}

impl Field {
    pub(super) fn set_names(&mut self, name: &str, json_name: &str) {
        self.json_key = Key::new(json_name);
        self.proto_key = Key::new(name);
        self.name = name.into();
        self.json_name = json_name.into();
    }
}

fn link(full_name: &str, fields: Vec<Field>, oneofs: Vec<Box<str>>, is_message_set: bool) -> Message {
    let json_names = fields.iter().zip(0u32..).map(|(field, at)| (&*field.json_name, at));
    let proto_names = fields.iter().zip(0u32..).map(|(field, at)| (&*field.name, at));
    Message {
        full_name: full_name.into(),
        numbers: NumberIndex::new(fields.iter().map(|field| field.number)),
        names: NameIndex::new(json_names.chain(proto_names)),
        oneofs: oneofs.into(),
        well_known: WellKnown::of(full_name),
        is_message_set,
        reaches_required: false,
        fields: fields.into(),
    }
}

/// The JSON name a compiler gives to `snake_case`: underscores go, and the letter after each becomes a capital.
fn json_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else {
            out.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    out
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
