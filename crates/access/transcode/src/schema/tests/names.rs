//! Names: of fields, in JSON and in the proto, that may not meet.

use super::*;

fn named(name: &str, number: i32, json_name: Option<&str>) -> FieldDescriptorProto {
    FieldDescriptorProto { json_name: json_name.map(str::to_owned), ..field(name, number, Type::String, "") }
}

/// A message of string fields with these names, and JSON names where they are given.
fn with(fields: &[(&str, Option<&str>)]) -> FileDescriptorProto {
    let fields = fields.iter().zip(1..).map(|(&(name, json_name), number)| named(name, number, json_name));
    file("a", vec![message("M", fields.collect())])
}

const DERIVED: &[(&str, Option<&str>)] = &[("foo_bar", None), ("fooBar", None)];
const GIVEN: &[(&str, Option<&str>)] = &[("a", None), ("b", Some("a"))];
const CHAIN: &[(&str, Option<&str>)] = &[("a", Some("b")), ("b", Some("b")), ("c", Some("a"))];

#[test]
fn colliding_json_names_are_refused() {
    let words = "t.M.foo_bar: another field has the same JSON name";
    refuses(vec![with(DERIVED)], words);
    refuses(vec![with(GIVEN)], "t.M.a: another field has the same JSON name");
    let mut file = with(&[("a", None), ("b", None)]);
    file.message_type[0].field[1].name = Some("a".to_owned());
    refuses(vec![file], "t.M.a: another field has the same name");
    // The JSON name of one may be the proto name of another: it is the JSON name that counts.
    let schema = decode(vec![with(&[("a", Some("b")), ("b", Some("c"))])]).unwrap();
    let this = schema.message_at(schema.message("t.M").unwrap().0);
    assert_eq!(this.by_name(b"b").map(|found| found.1.number), Some(1));
}

/// A field of a message, by hand.
fn with_length(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend(content);
    out
}

/// The file with `deprecated_legacy_json_field_conflicts` in its message, which prost-types does not know.
fn allowing(mut file: FileDescriptorProto) -> Vec<u8> {
    let mut message = file.message_type.remove(0).encode_to_vec();
    message.extend(b"\x3a\x02\x58\x01");
    [file.encode_to_vec(), with_length(0x22, &message)].concat()
}

#[test]
fn proto2_and_an_option_let_them_collide() {
    let check = |file: Vec<u8>, expect: &[&str]| {
        let schema = Schema::decode(&with_length(0x0a, &file)).unwrap();
        let this = schema.message_at(schema.message("t.M").unwrap().0);
        let names: Vec<&str> = this.fields.iter().map(|field| &*field.json_name).collect();
        assert_eq!(names, expect);
        for (name, field) in names.iter().zip(&this.fields) {
            assert_eq!(this.by_name(name.as_bytes()).map(|found| found.1.number), Some(field.number));
        }
    };
    for (fields, expect) in
        [(DERIVED, &["foo_bar", "fooBar"][..]), (GIVEN, &["a", "b"]), (CHAIN, &["a", "b", "c"])]
    {
        let mut proto2 = with(fields);
        proto2.syntax = None;
        check(proto2.encode_to_vec(), expect);
        check(allowing(with(fields)), expect);
    }
}

#[test]
fn message_sets_have_single_messages_only() {
    let set = |extension: FieldDescriptorProto, fields: Vec<FieldDescriptorProto>| {
        let mut this = file("a", vec![message("Set", fields), message("M", vec![])]);
        let options = MessageOptions { message_set_wire_format: Some(true), ..MessageOptions::default() };
        this.message_type[0].options = Some(options);
        this.extension = vec![FieldDescriptorProto { extendee: Some(".t.Set".to_owned()), ..extension }];
        vec![this]
    };
    let extension = field("e", 5, Type::Message, ".t.M");
    assert!(decode(set(extension.clone(), vec![])).is_ok());
    let words = "t.Set: an extension of a message set is not a single message";
    refuses(set(field("e", 5, Type::Int32, ""), vec![]), words);
    let list = FieldDescriptorProto { label: Some(Label::Repeated.into()), ..extension.clone() };
    refuses(set(list, vec![]), words);
    let fields = vec![field("f", 1, Type::Int32, "")];
    refuses(set(extension, fields), "t.Set: a message set has extensions, but no fields");
}
