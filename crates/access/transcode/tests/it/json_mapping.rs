//! The rules of the proto3 JSON mapping, one line each: <https://protobuf.dev/programming-guides/json/>.

use aqueduct_transcode::ErrorKind;

use crate::fixture::{EVERYTHING, to_json, to_wire};

/// `json` is read, and printed back in its canonical form.
#[track_caller]
fn reads(json: &str, canonical: &str) {
    reads_as(EVERYTHING, json, canonical);
}

#[track_caller]
fn reads_as(message: &str, json: &str, canonical: &str) {
    match to_wire(message, json.as_bytes()) {
        Ok(wire) => assert_eq!(to_json(message, &wire).as_deref(), Ok(canonical), "{json}"),
        Err(error) => panic!("{json}: {error}"),
    }
}

/// `json` is refused with these words.
#[track_caller]
fn refuses(json: &str, kind: ErrorKind, words: &str) {
    refuses_as(EVERYTHING, json, kind, words);
}

#[track_caller]
fn refuses_as(message: &str, json: &str, kind: ErrorKind, words: &str) {
    match to_wire(message, json.as_bytes()) {
        Ok(wire) => panic!("{json} was read as {wire:?}"),
        Err(error) => {
            assert_eq!(error.to_string(), words, "{json}");
            assert_eq!(error.kind(), kind, "{json}");
        }
    }
}

#[test]
fn integers() {
    reads(r#"{"fInt32": 7}"#, r#"{"fInt32":7}"#);
    reads(r#"{"fInt32": "7"}"#, r#"{"fInt32":7}"#);
    reads(r#"{"fInt32": "\u0037"}"#, r#"{"fInt32":7}"#);
    reads(r#"{"fInt32": -2147483648}"#, r#"{"fInt32":-2147483648}"#);
    reads(r#"{"fInt32": 1e5, "fInt64": "1e2"}"#, r#"{"fInt32":100000,"fInt64":"100"}"#);
    reads(r#"{"fInt32": 2147483647.000}"#, r#"{"fInt32":2147483647}"#);
    reads(r#"{"fInt64": -9223372036854775808}"#, r#"{"fInt64":"-9223372036854775808"}"#);
    reads(r#"{"fUint64": "18446744073709551615"}"#, r#"{"fUint64":"18446744073709551615"}"#);
    reads(r#"{"fSint32": -1, "fSint64": "-1"}"#, r#"{"fSint32":-1,"fSint64":"-1"}"#);
    reads(r#"{"fFixed32": 4294967295, "fSfixed64": 5}"#, r#"{"fFixed32":4294967295,"fSfixed64":"5"}"#);
    reads(r#"{"fInt32": 0, "fInt64": "-0", "fUint32": -0}"#, "{}");
    refuses(
        r#"{"fInt32": 2147483648}"#,
        ErrorKind::Value,
        "fInt32: expected an int32 in its range, found 2147483648 (at byte 11)",
    );
    refuses(
        r#"{"fUint32": -1}"#,
        ErrorKind::Value,
        "fUint32: expected a uint32 in its range, found -1 (at byte 12)",
    );
    refuses(
        r#"{"fInt64": 9223372036854775808}"#,
        ErrorKind::Value,
        "fInt64: expected an int64 in its range, found 9223372036854775808 (at byte 11)",
    );
    refuses(
        r#"{"fUint64": 18446744073709551616}"#,
        ErrorKind::Value,
        "fUint64: expected a uint64, found 18446744073709551616 (at byte 12)",
    );
    refuses(r#"{"fInt32": 0.5}"#, ErrorKind::Value, "fInt32: expected an int32, found 0.5 (at byte 11)");
    refuses(r#"{"fInt32": " 7"}"#, ErrorKind::Value, "fInt32: expected an int32, found \" 7\" (at byte 11)");
    refuses(r#"{"fInt32": ""}"#, ErrorKind::Value, "fInt32: expected an int32, found \"\" (at byte 11)");
    refuses(r#"{"fInt32": "07"}"#, ErrorKind::Value, "fInt32: expected an int32, found \"07\" (at byte 11)");
    refuses(r#"{"fInt32": true}"#, ErrorKind::Value, "fInt32: expected an int32, found true (at byte 11)");
    refuses(r#"{"fInt32": [7]}"#, ErrorKind::Value, "fInt32: expected an int32, found an array (at byte 11)");
    refuses(
        r#"{"fInt32": 07}"#,
        ErrorKind::Syntax,
        "fInt32: expected the rest of a number, found 7 (at byte 12)",
    );
    refuses(r#"{"fInt32": 1x}"#, ErrorKind::Syntax, "expected \",\" or \"}\", found x (at byte 12)");
}

#[test]
fn floats() {
    reads(r#"{"fDouble": 1.5, "fFloat": 0.1}"#, r#"{"fDouble":1.5,"fFloat":0.1}"#);
    reads(r#"{"fDouble": "1.5e300", "fFloat": "-2"}"#, r#"{"fDouble":1.5e+300,"fFloat":-2}"#);
    reads(r#"{"fDouble": "NaN", "fFloat": "-Infinity"}"#, r#"{"fDouble":"NaN","fFloat":"-Infinity"}"#);
    reads(
        r#"{"fDouble": "Infinity", "fFloat": 3.4028235e38}"#,
        r#"{"fDouble":"Infinity","fFloat":3.4028235e+38}"#,
    );
    reads(r#"{"fDouble": -0.0, "fFloat": 0.0}"#, r#"{"fDouble":-0}"#);
    reads(r#"{"fDouble": 5e-324}"#, r#"{"fDouble":5e-324}"#);
    reads(r#"{"fDouble": 1e-400}"#, "{}");
    refuses(
        r#"{"fDouble": 1e309}"#,
        ErrorKind::Value,
        "fDouble: expected a double in its range, found 1e309 (at byte 12)",
    );
    refuses(
        r#"{"fFloat": 3.5e38}"#,
        ErrorKind::Value,
        "fFloat: expected a float in its range, found 3.5e38 (at byte 11)",
    );
    refuses(r#"{"fFloat": "inf"}"#, ErrorKind::Value, "fFloat: expected a float, found \"inf\" (at byte 11)");
    refuses(r#"{"fFloat": "nan"}"#, ErrorKind::Value, "fFloat: expected a float, found \"nan\" (at byte 11)");
    refuses(r#"{"fDouble": NaN}"#, ErrorKind::Syntax, "fDouble: expected a value, found NaN (at byte 12)");
    refuses(r#"{"fDouble": .5}"#, ErrorKind::Syntax, "fDouble: expected a value, found '.' (at byte 12)");
}

#[test]
fn bools_strings_bytes() {
    reads(r#"{"fBool": true, "oBool": false}"#, r#"{"fBool":true,"oBool":false}"#);
    refuses(
        r#"{"fBool": "true"}"#,
        ErrorKind::Value,
        "fBool: expected true or false, found \"true\" (at byte 10)",
    );
    refuses(r#"{"fBool": 1}"#, ErrorKind::Value, "fBool: expected true or false, found 1 (at byte 10)");
    refuses(r#"{"fBool": tru}"#, ErrorKind::Syntax, "fBool: expected true, found tru (at byte 10)");
    reads(r#"{"fString": "a\u00e9\ud83d\ude00\n\/"}"#, "{\"fString\":\"aé\u{1f600}\\n/\"}");
    reads(r#"{"fString": "", "oString": ""}"#, r#"{"oString":""}"#);
    refuses(r#"{"fString": 1}"#, ErrorKind::Value, "fString: expected a string, found 1 (at byte 12)");
    refuses(
        r#"{"fString": "\ud800"}"#,
        ErrorKind::Syntax,
        "fString: the escape is half of a surrogate pair (at byte 13)",
    );
    refuses(
        "{\"fString\": \"a\tb\"}",
        ErrorKind::Syntax,
        "fString: a control character in a string must be escaped (at byte 14)",
    );
    reads(r#"{"fBytes": "AQI="}"#, r#"{"fBytes":"AQI="}"#);
    reads(r#"{"fBytes": "-_"}"#, r#"{"fBytes":"+w=="}"#);
    reads(r#"{"fBytes": "", "oBytes": ""}"#, r#"{"oBytes":""}"#);
    refuses(
        r#"{"fBytes": "A"}"#,
        ErrorKind::Value,
        "fBytes: expected a string of base64, found \"A\" (at byte 11)",
    );
}

#[test]
fn enums() {
    reads(r#"{"fColor": "RED"}"#, r#"{"fColor":"RED"}"#);
    reads(r#"{"fColor": -5}"#, r#"{"fColor":"BLUE"}"#);
    reads(r#"{"fColor": 99}"#, r#"{"fColor":99}"#);
    reads(r#"{"fColor": "COLOR_UNSPECIFIED", "oColor": 0}"#, r#"{"oColor":"COLOR_UNSPECIFIED"}"#);
    reads(
        r#"{"alias": "SECOND", "rColor": ["RED", 2, 7]}"#,
        r#"{"rColor":["RED","GREEN",7],"alias":"SECOND"}"#,
    );
    reads(r#"{"alias": "ALSO_FIRST"}"#, "{}");
    refuses(
        r#"{"fColor": "red"}"#,
        ErrorKind::Value,
        "fColor: expected a name of test.v1.Color, found \"red\" (at byte 11)",
    );
    refuses(
        r#"{"fColor": 2147483648}"#,
        ErrorKind::Value,
        "fColor: expected an int32 in its range, found 2147483648 (at byte 11)",
    );
    refuses(
        r#"{"fColor": true}"#,
        ErrorKind::Value,
        "fColor: expected the name or number of an enum value, found true (at byte 11)",
    );
}

#[test]
fn names_and_nulls() {
    reads(r#"{"f_int32": 1, "fInt64": 2}"#, r#"{"fInt32":1,"fInt64":"2"}"#);
    reads(r#"{"f\u0049nt32": 1}"#, r#"{"fInt32":1}"#);
    reads(r#"{"some \"other\" name": "x"}"#, r#"{"some \"other\" name":"x"}"#);
    reads(r#"{"renamed": "x"}"#, r#"{"some \"other\" name":"x"}"#);
    reads(
        r#"{"fInt32": null, "rInt32": null, "mStringString": null, "fNested": null, "oString": null}"#,
        "{}",
    );
    reads(r#"{"wInt64": null, "wTimestamp": null, "wStruct": null, "wAny": null}"#, "{}");
    reads(r#"{"snakeCaseWith1Number": "x"}"#, r#"{"snakeCaseWith1Number":"x"}"#);
    refuses(r#"{"nope": 1}"#, ErrorKind::Unknown, "nope: test.v1.Everything has no such field (at byte 2)");
    refuses(
        r#"{"FINT32": 1}"#,
        ErrorKind::Unknown,
        "FINT32: test.v1.Everything has no such field (at byte 2)",
    );
    refuses(
        r#"{"rInt32": [null]}"#,
        ErrorKind::Value,
        "rInt32[0]: expected an int32, found null (at byte 12)",
    );
    refuses(
        r#"{"rString": ["a", null]}"#,
        ErrorKind::Value,
        "rString[1]: expected a string, found null (at byte 18)",
    );
    refuses(
        r#"{"rNested": [null]}"#,
        ErrorKind::Value,
        "rNested[0]: expected an object, found null (at byte 13)",
    );
    refuses(
        r#"{"mStringString": {"a": null}}"#,
        ErrorKind::Value,
        "mStringString[\"a\"]: expected a string, found null (at byte 24)",
    );
}

#[test]
fn duplicates() {
    let twice = ErrorKind::Duplicate;
    refuses(r#"{"fInt32": 1, "fInt32": 2}"#, twice, "fInt32: the field is there twice (at byte 23)");
    refuses(r#"{"fInt32": 1, "f_int32": 2}"#, twice, "fInt32: the field is there twice (at byte 24)");
    refuses(r#"{"fInt32": null, "fInt32": 2}"#, twice, "fInt32: the field is there twice (at byte 26)");
    refuses(
        r#"{"snakeCaseWith1Number": "", "snake_case_with_1_number": ""}"#,
        twice,
        "snakeCaseWith1Number: the field is there twice (at byte 56)",
    );
    refuses(
        r#"{"cInt32": 1, "cString": "x"}"#,
        twice,
        "cString: another field of the oneof choice is there already (at byte 25)",
    );
    refuses(
        r#"{"mStringString": {"a": "1", "b": "", "a": "2"}}"#,
        twice,
        "mStringString[\"a\"]: a key is there twice (at byte 47)",
    );
    refuses(
        r#"{"mInt32Int64": {"1": 1, "1.0": 2}}"#,
        twice,
        "mInt32Int64: a key is there twice (at byte 34)",
    );
    // A long value moves its key when its length is written.
    let long = format!(r#"{{"mStringString": {{"a": "", "a": "{}"}}}}"#, "x".repeat(200));
    refuses(&long, twice, "mStringString[\"a\"]: a key is there twice (at byte 236)");
    refuses(
        r#"{"wStruct": {"a": 1, "\u0061": 2}}"#,
        twice,
        "wStruct[\"a\"]: a key is there twice (at byte 33)",
    );
    refuses(
        r#"{"wAny": {"@type": "x/test.v1.Nested", "@type": "x/test.v1.Nested"}}"#,
        twice,
        "wAny.@type: the field is there twice (at byte 47)",
    );
}

#[test]
fn oneofs() {
    reads(r#"{"cInt32": 0}"#, r#"{"cInt32":0}"#);
    reads(r#"{"cString": ""}"#, r#"{"cString":""}"#);
    reads(r#"{"cInt32": null, "cString": "x"}"#, r#"{"cString":"x"}"#);
    reads(r#"{"cString": "x", "cInt32": null}"#, r#"{"cString":"x"}"#);
    reads(r#"{"cNull": null}"#, r#"{"cNull":null}"#);
    reads(r#"{"cValue": null}"#, r#"{"cValue":null}"#);
    refuses(
        r#"{"cNull": null, "cInt32": 1}"#,
        ErrorKind::Duplicate,
        "cInt32: another field of the oneof choice is there already (at byte 26)",
    );
}

#[test]
fn lists_and_maps() {
    reads(r#"{"rInt32": [], "rNested": []}"#, "{}");
    reads(r#"{"rInt32": [1, "2", 0], "rUnpacked": [3]}"#, r#"{"rInt32":[1,2,0],"rUnpacked":[3]}"#);
    reads(r#"{"rNested": [{}, {"name": "a"}]}"#, r#"{"rNested":[{},{"name":"a"}]}"#);
    reads(r#"{"mStringString": {"": "", "a": "b"}}"#, r#"{"mStringString":{"":"","a":"b"}}"#);
    reads(
        r#"{"mUint64Bool": {"7": false}, "mBoolBytes": {"true": "AQ=="}}"#,
        r#"{"mUint64Bool":{"7":false},"mBoolBytes":{"true":"AQ=="}}"#,
    );
    reads(
        r#"{"mFixed64Color": {"18446744073709551615": "RED"}}"#,
        r#"{"mFixed64Color":{"18446744073709551615":"RED"}}"#,
    );
    reads(r#"{"mStringNested": {"x": {}}}"#, r#"{"mStringNested":{"x":{}}}"#);
    refuses(r#"{"rInt32": 1}"#, ErrorKind::Value, "rInt32: expected an array, found 1 (at byte 11)");
    refuses(
        r#"{"rInt32": [1,]}"#,
        ErrorKind::Syntax,
        "rInt32: expected another one after the comma, found ']' (at byte 14)",
    );
    refuses(
        r#"{"rNested": [{"tags": ["a", 1]}]}"#,
        ErrorKind::Value,
        "rNested[0].tags[1]: expected a string, found 1 (at byte 28)",
    );
    refuses(
        r#"{"mInt32Int64": {"x": 1}}"#,
        ErrorKind::Value,
        "mInt32Int64[\"x\"]: expected a key that is an int32, found \"x\" (at byte 17)",
    );
    refuses(
        r#"{"mInt32Int64": {"2147483648": 1}}"#,
        ErrorKind::Value,
        "mInt32Int64[\"2147483648\"]: expected a key that is an int32, found \"2147483648\" (at byte 17)",
    );
    refuses(
        r#"{"mBoolBytes": {"1": ""}}"#,
        ErrorKind::Value,
        "mBoolBytes[\"1\"]: expected a key that is true or false, found \"1\" (at byte 16)",
    );
    refuses(
        r#"{"mInt32Int64": {1: 1}}"#,
        ErrorKind::Value,
        "mInt32Int64: expected a map key in quotes, found 1 (at byte 17)",
    );
    refuses(
        r#"{"mInt32Int64": []}"#,
        ErrorKind::Value,
        "mInt32Int64: expected an object, found an array (at byte 16)",
    );
}

#[test]
fn timestamps_durations_masks() {
    reads(r#"{"wTimestamp": "2024-02-29T12:00:00.5+01:00"}"#, r#"{"wTimestamp":"2024-02-29T11:00:00.500Z"}"#);
    reads(r#"{"wTimestamp": "1970-01-01T00:00:00Z"}"#, r#"{"wTimestamp":"1970-01-01T00:00:00Z"}"#);
    reads(r#"{"wDuration": "-1.5s"}"#, r#"{"wDuration":"-1.500s"}"#);
    reads(r#"{"wMask": "fooBar,baz.quX"}"#, r#"{"wMask":"fooBar,baz.quX"}"#);
    reads(r#"{"wMask": ""}"#, r#"{"wMask":""}"#);
    let expected = "expected an RFC 3339 timestamp such as \"2024-01-31T12:00:00Z\"";
    refuses(
        r#"{"wTimestamp": "now"}"#,
        ErrorKind::Value,
        &format!("wTimestamp: {expected}, found \"now\" (at byte 15)"),
    );
    refuses(
        r#"{"wTimestamp": 0}"#,
        ErrorKind::Value,
        &format!("wTimestamp: {expected}, found 0 (at byte 15)"),
    );
    refuses(
        r#"{"wDuration": "1"}"#,
        ErrorKind::Value,
        "wDuration: expected a duration such as \"1.5s\", found \"1\" (at byte 14)",
    );
    refuses(
        r#"{"wMask": "foo_bar"}"#,
        ErrorKind::Value,
        "wMask: expected a field mask such as \"a,b.c\", found \"foo_bar\" (at byte 10)",
    );
    refuses(
        r#"{"wMask": "a,,b"}"#,
        ErrorKind::Value,
        "wMask: expected a field mask such as \"a,b.c\", found \"a,,b\" (at byte 10)",
    );
}

#[test]
fn structs_and_wrappers() {
    reads(
        r#"{"wStruct": {"a": [1, "x", null, true, {"b": {}}]}}"#,
        r#"{"wStruct":{"a":[1,"x",null,true,{"b":{}}]}}"#,
    );
    reads(r#"{"wValue": null}"#, r#"{"wValue":null}"#);
    reads(r#"{"wValue": -1.25, "wList": []}"#, r#"{"wValue":-1.25,"wList":[]}"#);
    reads(r#"{"rwValue": [null, 1, []]}"#, r#"{"rwValue":[null,1,[]]}"#);
    reads(r#"{"mwValue": {"a": null}}"#, r#"{"mwValue":{"a":null}}"#);
    refuses(
        r#"{"wStruct": []}"#,
        ErrorKind::Value,
        "wStruct: expected an object, found an array (at byte 12)",
    );
    refuses(
        r#"{"wValue": 1e999}"#,
        ErrorKind::Value,
        "wValue: expected a double in its range, found 1e999 (at byte 11)",
    );
    reads(r#"{"wInt64": 0, "wString": "", "wBool": false}"#, r#"{"wInt64":"0","wBool":false,"wString":""}"#);
    reads(
        r#"{"wDouble": "NaN", "wBytes": "AQ", "rwInt64": ["1", 2]}"#,
        r#"{"wDouble":"NaN","wBytes":"AQ==","rwInt64":["1","2"]}"#,
    );
    refuses(
        r#"{"wInt64": {"value": 1}}"#,
        ErrorKind::Value,
        "wInt64: expected an int64, found an object (at byte 11)",
    );
    refuses(
        r#"{"rwInt64": [null]}"#,
        ErrorKind::Value,
        "rwInt64[0]: expected an int64, found null (at byte 13)",
    );
    reads(r#"{"wEmpty": {}}"#, r#"{"wEmpty":{}}"#);
    refuses(
        r#"{"wEmpty": {"a": 1}}"#,
        ErrorKind::Unknown,
        "wEmpty.a: google.protobuf.Empty has no such field (at byte 13)",
    );
}

#[test]
fn anys() {
    let nested = r#"{"wAny":{"@type":"type.googleapis.com/test.v1.Nested","name":"a","count":"1"}}"#;
    reads(nested, nested);
    reads(r#"{"wAny": {"name": "a", "count": 1, "@type": "type.googleapis.com/test.v1.Nested"}}"#, nested);
    reads(
        r#"{"wAny": {"name": "a", "\u0040type": "type.googleapis.com/test.v1.Nested", "count": 1}}"#,
        nested,
    );
    let wrapped = r#"{"wAny":{"@type":"x/google.protobuf.Duration","value":"1s"}}"#;
    reads(wrapped, wrapped);
    reads(r#"{"wAny": {"value": "1s", "@type": "x/google.protobuf.Duration"}}"#, wrapped);
    let empty = r#"{"wAny":{"@type":"x/google.protobuf.Empty"}}"#;
    reads(empty, empty);
    reads(r#"{"wAny": {"@type": "x/google.protobuf.Empty", "value": {}}}"#, empty);
    refuses(
        r#"{"wAny": {"@type": "x/google.protobuf.Empty", "value": {"a": 1}}}"#,
        ErrorKind::Unknown,
        "wAny.a: google.protobuf.Empty has no such field (at byte 57)",
    );
    let double = r#"{"wAny":{"@type":"x/google.protobuf.Any","value":{"@type":"x/google.protobuf.Value","value":null}}}"#;
    reads(double, double);
    reads(r#"{"wAny": {}}"#, r#"{"wAny":{}}"#);
    reads_as(
        "google.protobuf.Any",
        r#"{"@type":"x/google.rpc.ErrorInfo","reason":"R"}"#,
        r#"{"@type":"x/google.rpc.ErrorInfo","reason":"R"}"#,
    );
    refuses(r#"{"wAny": {"name": "a"}}"#, ErrorKind::Value, "wAny: an Any needs an \"@type\" (at byte 10)");
    refuses(
        r#"{"wAny": {"@type": 1}}"#,
        ErrorKind::Value,
        "wAny.@type: expected a type URL, found 1 (at byte 19)",
    );
    refuses(
        r#"{"wAny": {"@type": "x/nope.Nope"}}"#,
        ErrorKind::Unknown,
        "wAny.@type: no message type is known for \"x/nope.Nope\" (at byte 20)",
    );
    refuses(
        r#"{"wAny": {"@type": "test.v1.Nested"}}"#,
        ErrorKind::Unknown,
        "wAny.@type: no message type is known for \"test.v1.Nested\" (at byte 20)",
    );
    refuses(
        r#"{"wAny": {"@type": "x/test.v1.Nested", "x": 1}}"#,
        ErrorKind::Unknown,
        "wAny.x: test.v1.Nested has no such field (at byte 40)",
    );
    refuses(
        r#"{"wAny": {"@type": "x/google.protobuf.Duration"}}"#,
        ErrorKind::Value,
        "wAny: an Any of a well-known type needs a \"value\" (at byte 48)",
    );
    refuses(
        r#"{"wAny": {"@type": "x/google.protobuf.Duration", "value": "1s", "z": 1}}"#,
        ErrorKind::Unknown,
        "wAny.z: an Any of a well-known type has \"@type\" and \"value\" only (at byte 65)",
    );
    refuses(
        r#"{"wAny": {"@type": "x/google.protobuf.Duration", "value": 1}}"#,
        ErrorKind::Value,
        "wAny.value: expected a duration such as \"1.5s\", found 1 (at byte 58)",
    );
}

#[test]
fn whole_texts() {
    reads(" { } ", "{}");
    refuses("", ErrorKind::Syntax, "expected a value, but the JSON ends here (at byte 0)");
    refuses("null", ErrorKind::Value, "expected an object, found null (at byte 0)");
    refuses("[]", ErrorKind::Value, "expected an object, found an array (at byte 0)");
    refuses("{} {}", ErrorKind::Syntax, "expected the end of the JSON text, found an object (at byte 3)");
    refuses(
        r#"{"fString": "abc"#,
        ErrorKind::Syntax,
        "fString: expected the end of the string, but the JSON ends here (at byte 16)",
    );
    refuses(r#"{"fInt32""#, ErrorKind::Syntax, "expected \":\", but the JSON ends here (at byte 9)");
    refuses(r"{fInt32: 1}", ErrorKind::Syntax, "expected a field name in quotes, found fInt32 (at byte 1)");
}

#[test]
fn proto2() {
    const LEGACY: &str = "test.v1.Legacy";
    reads_as(LEGACY, r#"{"id": 0, "name": ""}"#, r#"{"id":0,"name":""}"#);
    reads_as(
        LEGACY,
        r#"{"data": {"value": 1}, "item": [{"value": 2}, {}]}"#,
        r#"{"data":{"value":1},"item":[{"value":2},{}]}"#,
    );
    reads_as(
        LEGACY,
        r#"{"[test.v1.score]": 5, "[test.v1.more]": [{"id": 1}]}"#,
        r#"{"[test.v1.score]":5,"[test.v1.more]":[{"id":1}]}"#,
    );
    reads_as(
        LEGACY,
        r#"{"numbers": [1, 2], "packedNumbers": [3]}"#,
        r#"{"numbers":[1,2],"packedNumbers":[3]}"#,
    );
    refuses_as(
        LEGACY,
        r#"{"level": 9}"#,
        ErrorKind::Value,
        "level: expected a number of test.v1.Legacy.Level, found 9 (at byte 10)",
    );
    // Numbers that a closed enum does not have are unknown fields.
    let check =
        |wire: &[u8], expect: &str| assert_eq!(to_json(LEGACY, wire).as_deref(), Ok(expect), "{wire:?}");
    check(b"\x18\x01\x18\x09", r#"{"level":"LOW"}"#);
    check(b"\x20\x01\x20\x09\x20\x02", r#"{"levels":["LOW","HIGH"]}"#);
    check(b"\x22\x03\x09\x01\x09", r#"{"levels":["LOW"]}"#);
    check(b"\x5a\x05\x0a\x01a\x10\x09", "{}");
}
