use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto,
};

use super::*;

mod names;

fn field(name: &str, number: i32, kind: Type, type_name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

fn message(name: &str, fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.to_owned()), field: fields, ..DescriptorProto::default() }
}

fn file(name: &str, messages: Vec<DescriptorProto>) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some("t".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: messages,
        ..FileDescriptorProto::default()
    }
}

fn decode(files: Vec<FileDescriptorProto>) -> Result<Schema, SchemaError> {
    Schema::decode(&FileDescriptorSet { file: files }.encode_to_vec())
}

#[track_caller]
fn refuses(files: Vec<FileDescriptorProto>, words: &str) {
    assert_eq!(decode(files).expect_err(words).to_string(), words);
}

#[test]
fn nothing_is_still_a_schema_with_the_well_known_types() {
    let schema = Schema::decode(&[]).unwrap();
    assert!(schema.services().is_empty());
    for name in
        ["google.protobuf.Timestamp", "google.protobuf.Any", "google.rpc.Status", "google.rpc.BadRequest"]
    {
        assert_eq!(schema.message(name).map(|id| schema.message_name(id)), Some(name));
    }
    assert_eq!(schema.message("google.protobuf.NullValue"), None, "an enum");
}

#[test]
fn fields_are_found_by_number_and_by_both_names() {
    let mut renamed = field("user_id", 2, Type::Int64, "");
    renamed.json_name = Some("owner".to_owned());
    let fields =
        vec![field("far_away", 5000, Type::Bool, ""), renamed, field("snake_2_case_", 1, Type::String, "")];
    let schema = decode(vec![file("a", vec![message("M", fields)])]).unwrap();
    let this = schema.message_at(schema.message("t.M").unwrap().0);
    let check = |name: &str, number| {
        let (index, found) = this.by_name(name.as_bytes()).unwrap();
        assert_eq!(
            (found.number, this.by_number(number).map(|found| found.0)),
            (number, Some(index)),
            "{name}"
        );
    };
    check("farAway", 5000);
    check("far_away", 5000);
    check("owner", 2);
    check("user_id", 2);
    check("snake2Case", 1);
    assert!(this.by_name(b"userId").is_none(), "json_name replaces the derived name");
    assert!(this.by_number(3).is_none() && this.by_number(5001).is_none());
}

#[test]
fn presence_and_packing_follow_syntax_and_options() {
    let mut optional = field("o", 2, Type::Int32, "");
    (optional.proto3_optional, optional.oneof_index) = (Some(true), Some(0));
    let mut list = field("l", 3, Type::Int32, "");
    list.label = Some(Label::Repeated.into());
    let mut unpacked = field("u", 4, Type::Int32, "");
    unpacked.label = Some(Label::Repeated.into());
    unpacked.options = Some(prost_types::FieldOptions { packed: Some(false), ..Default::default() });
    let mut this = message("M", vec![field("i", 1, Type::Int32, ""), optional, list, unpacked]);
    this.oneof_decl.push(OneofDescriptorProto { name: Some("_o".to_owned()), options: None });
    let shape = |schema: &Schema, name: &str| {
        let this = schema.message_at(schema.message("t.M").unwrap().0);
        let field = this.by_name(name.as_bytes()).unwrap().1;
        (field.shape, field.packed, field.oneof == NO_ONEOF)
    };
    let mut source = file("a", vec![this]);
    let schema = decode(vec![source.clone()]).unwrap();
    assert_eq!(shape(&schema, "i"), (Shape::Implicit, false, true));
    assert_eq!(shape(&schema, "o"), (Shape::Explicit, false, true), "its oneof is synthetic");
    assert_eq!(shape(&schema, "l"), (Shape::Repeated, true, true));
    assert_eq!(shape(&schema, "u"), (Shape::Repeated, false, true));
    source.syntax = None;
    let schema = decode(vec![source]).unwrap();
    assert_eq!(shape(&schema, "i"), (Shape::Explicit, false, true));
    assert_eq!(shape(&schema, "l"), (Shape::Repeated, false, true));
}

/// prost does not know editions, so the bytes are written by hand.
#[test]
fn editions_choose_features() {
    let edition = |number: u8, features: &[u8]| {
        let mut bytes = file("a", vec![message("M", vec![field("i", 1, Type::Int32, "")])]).encode_to_vec();
        // syntax = "editions"; edition = 1000 + number; options.features = …
        bytes.extend(b"\x62\x08editions\x70");
        prost::encoding::encode_varint(1000 + u64::from(number), &mut bytes);
        bytes.extend([0x42, features.len() as u8 + 3, 0x92, 0x03, features.len() as u8]);
        bytes.extend(features);
        let mut set = vec![0x0a];
        prost::encoding::encode_varint(bytes.len() as u64, &mut set);
        set.extend(bytes);
        Schema::decode(&set)
    };
    let shape = |schema: Schema| schema.message_at(schema.message("t.M").unwrap().0).fields[0].shape;
    assert_eq!(shape(edition(0, b"").unwrap()), Shape::Explicit);
    assert_eq!(shape(edition(1, b"\x08\x02").unwrap()), Shape::Implicit);
    for (features, required) in [(&b""[..], false), (b"\x08\x01", false), (b"\x08\x03", true)] {
        let schema = edition(0, features).unwrap();
        let this = schema.message_at(schema.message("t.M").unwrap().0);
        assert_eq!((this.fields[0].required, this.reaches_required), (required, required));
        assert_eq!(this.fields[0].shape, Shape::Explicit);
    }
    let words = "a: the syntax or edition 1009 is not supported (proto2, proto3, 2023 and 2024 are)";
    assert_eq!(edition(9, b"").unwrap_err().to_string(), words);
}

#[test]
fn what_messages_can_hold_is_known() {
    let holds = |name: &str, inner: &[&str]| {
        let fields = inner.iter().zip(1..).map(|(inner, number)| {
            field(&format!("f{number}"), number, Type::Message, &format!(".t.{inner}"))
        });
        message(name, fields.collect())
    };
    let mut needs = field("r", 9, Type::Int32, "");
    needs.label = Some(Label::Required.into());
    let mut required = holds("Required", &["Free"]);
    required.field.push(needs);
    let mut this = file(
        "a",
        vec![
            holds("Free", &["Free", "Other"]),
            holds("Other", &["Free"]),
            required,
            // A ring, with it hanging on it.
            holds("A", &["B"]),
            holds("B", &["C", "Required"]),
            holds("C", &["A"]),
        ],
    );
    this.syntax = None;
    let schema = decode(vec![this]).unwrap();
    for (name, required) in
        [("Free", false), ("Other", false), ("Required", true), ("A", true), ("B", true), ("C", true)]
    {
        let this = schema.message_at(schema.message(&format!("t.{name}")).unwrap().0);
        assert_eq!(this.reaches_required, required, "{name}");
    }
}

#[test]
fn what_no_compiler_would_write_is_refused() {
    let one = |kind, name: &str| vec![file("a", vec![message("M", vec![field("f", 1, kind, name)])])];
    refuses(
        one(Type::Message, ".t.Nope"),
        "t.M.f: the type .t.Nope is not in the descriptor set (was it written with --include_imports?)",
    );
    refuses(one(Type::Message, ""), "t.M.f: it has no type");
    refuses(
        one(Type::Message, "M"),
        "t.M.f: the type M is not in the descriptor set (was it written with --include_imports?)",
    );
    let numbered = |number| vec![file("a", vec![message("M", vec![field("f", number, Type::Int32, "")])])];
    for number in [0, -1, 1 << 29] {
        refuses(numbered(number), "t.M.f: its number is not in 1..2^29");
    }
    let twice = vec![field("f", 1, Type::Int32, ""), field("g", 1, Type::Int32, "")];
    refuses(vec![file("a", vec![message("M", twice)])], "t.M: two fields have one number");
    refuses(
        vec![file("a", vec![message("M", vec![]), message("M", vec![])])],
        "the name t.M is declared twice",
    );
    refuses(
        vec![file("a", vec![message("M", vec![])]), file("a", vec![message("N", vec![])])],
        "the file a is there twice, with different contents",
    );
    let mut told = file("a", vec![message("M", vec![])]);
    told.source_code_info = Some(prost_types::SourceCodeInfo {
        location: vec![prost_types::source_code_info::Location::default()],
    });
    assert!(decode(vec![file("a", vec![message("M", vec![])]), told]).is_ok(), "comments do not count");
    let mut entry = message("M", vec![field("key", 1, Type::Double, ""), field("value", 2, Type::Int32, "")]);
    entry.options = Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() });
    refuses(vec![file("a", vec![entry])], "t.M: it is not a map entry of key = 1 and value = 2");
    let mut fake = file("a", vec![message("Timestamp", vec![])]);
    fake.package = Some("google.protobuf".to_owned());
    refuses(vec![fake], "google.protobuf.Timestamp: it is not the well-known type of this name");
    let mut oneof = field("f", 1, Type::Int32, "");
    oneof.oneof_index = Some(3);
    refuses(vec![file("a", vec![message("M", vec![oneof])])], "t.M.f: its oneof does not exist");
    let mut syntax = file("a", vec![]);
    syntax.syntax = Some("proto4".to_owned());
    refuses(
        vec![syntax],
        "a: the syntax or edition proto4 is not supported (proto2, proto3, 2023 and 2024 are)",
    );
    let mut empty = file("a", vec![]);
    empty.enum_type.push(EnumDescriptorProto { name: Some("E".to_owned()), ..Default::default() });
    refuses(vec![empty], "t.E: an enum needs 1 to 65,535 values");
}

#[test]
fn methods_need_messages_and_distinct_paths() {
    let method = |input: &str| MethodDescriptorProto {
        name: Some("Call".to_owned()),
        input_type: Some(input.to_owned()),
        output_type: Some(".t.M".to_owned()),
        ..MethodDescriptorProto::default()
    };
    let with = |methods| {
        let mut this = file("a", vec![message("M", vec![])]);
        let value = EnumValueDescriptorProto { name: Some("Z".to_owned()), number: Some(0), options: None };
        this.enum_type.push(EnumDescriptorProto {
            name: Some("E".to_owned()),
            value: vec![value],
            ..Default::default()
        });
        this.service.push(ServiceDescriptorProto {
            name: Some("S".to_owned()),
            method: methods,
            options: None,
        });
        vec![this]
    };
    let schema = decode(with(vec![method(".t.M")])).unwrap();
    assert_eq!(schema.method("/t.S/Call").map(Method::grpc_path), Some("/t.S/Call"));
    assert_eq!(schema.service("t.S").map(|service| service.methods().len()), Some(1));
    refuses(with(vec![method(".t.E")]), "t.S.Call: an enum cannot be sent");
    refuses(with(vec![method(".t.M"), method(".t.M")]), "the name /t.S/Call is declared twice");
}

#[test]
fn malformed_bytes_say_where() {
    let words = "this is not a FileDescriptorSet: the length runs past the end at byte 2";
    assert_eq!(Schema::decode(b"\x0a\x05a").unwrap_err().to_string(), words);
    assert!(Schema::decode(b"\x08\x01\x0a\x02\x08\x01").is_err(), "a name that is a number");
    let mut nested = message("M", vec![]);
    for _ in 0..70 {
        nested =
            DescriptorProto { name: Some("M".to_owned()), nested_type: vec![nested], ..Default::default() };
    }
    assert!(decode(vec![file("a", vec![nested])]).unwrap_err().to_string().contains("declared too deep"));
}

#[test]
fn sets_that_share_files_can_be_joined() {
    let shared = file("shared", vec![message("Shared", vec![])]);
    let mut first = FileDescriptorSet { file: vec![shared.clone()] }.encode_to_vec();
    let user = file("user", vec![message("User", vec![field("f", 1, Type::Message, ".t.Shared")])]);
    first.extend(FileDescriptorSet { file: vec![shared, user] }.encode_to_vec());
    assert!(Schema::decode(&first).unwrap().message("t.User").is_some());
}
