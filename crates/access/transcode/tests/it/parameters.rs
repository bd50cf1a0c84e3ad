//! Query parameters: every type that one text can be, and every way to name a field.

use aqueduct_transcode::{Options, Router};

use crate::rules::{JSON, message, router};

fn get(options: &Options) -> Router {
    router(
        options,
        &[
            ("Parameters", "Part", r#"get: "/x" additional_bindings { post: "/all" body: "*" }"#),
            ("Parameters", "Part", r#"post: "/part" body: "the_part""#),
            ("Order", "Order", r#"get: "/order/{id}""#),
        ],
    )
}

#[test]
fn every_scalar_and_well_known_type_is_read() {
    let router = get(&Options::default());
    let check = |query: &str, expect: &str| {
        let found = message(&router, JSON, ("GET", &format!("/x?{query}")), b"");
        assert_eq!(found.as_deref(), Ok(expect), "{query}");
    };
    check("fDouble=-1.5e-3&f_float=Infinity", r#"{"fDouble":-0.0015,"fFloat":"Infinity"}"#);
    check("fDouble=-Infinity&f_float=NaN", r#"{"fDouble":"-Infinity","fFloat":"NaN"}"#);
    check(
        "fInt32=-2147483648&fUint64=18446744073709551615&fSint64=-1&fFixed32=4294967295",
        r#"{"fInt32":-2147483648,"fUint64":"18446744073709551615","fSint64":"-1","fFixed32":4294967295}"#,
    );
    check("fBool=true&fString=", r#"{"fBool":true}"#);
    check("fColor=RED", r#"{"fColor":"RED"}"#);
    check("fColor=1", r#"{"fColor":"RED"}"#);
    check("fColor=-7", r#"{"fColor":-7}"#);
    check("r_color=RED&rColor=0&rColor=1", r#"{"rColor":["RED","COLOR_UNSPECIFIED","RED"]}"#);
    check("wTimestamp=2024-05-17T09:30:15.25%2B02:00", r#"{"wTimestamp":"2024-05-17T07:30:15.250Z"}"#);
    check("wDuration=-0.5s", r#"{"wDuration":"-0.500s"}"#);
    check("wMask=a.b_c,d", r#"{"wMask":"a.bC,d"}"#);
    check("wMask=a.bC,d", r#"{"wMask":"a.bC,d"}"#);
    check(
        "wDouble=0&wFloat=1.5&wInt64=-1&wUint64=1&wInt32=-2&wUint32=2&wBool=false&wString=&wBytes=",
        r#"{"wDouble":0,"wFloat":1.5,"wInt64":"-1","wUint64":"1","wInt32":-2,"wUint32":2,"wBool":false,"wString":"","wBytes":""}"#,
    );
    check(
        "rTimestamp=1970-01-01T00:00:00Z&rTimestamp=1970-01-01T00:00:01Z",
        r#"{"rTimestamp":["1970-01-01T00:00:00Z","1970-01-01T00:00:01Z"]}"#,
    );
    check("rDuration=1s&rDuration=0s", r#"{"rDuration":["1s","0s"]}"#);
    check("rInt64=0&rInt64=-1", r#"{"rInt64":["0","-1"]}"#);
}

#[test]
fn both_alphabets_of_base64_are_read_with_and_without_padding() {
    let router = get(&Options::default());
    for text in ["%2B%2F8%3D", "%2B%2F8", "-_8%3D", "-_8", "-_8=", "+/8=", "+/8", "-/8", "+_8="] {
        for field in ["fBytes", "wBytes"] {
            let found = message(&router, JSON, ("GET", &format!("/x?{field}={text}")), b"");
            assert_eq!(found, Ok(format!(r#"{{"{field}":"+/8="}}"#)), "{text}");
        }
        let found = message(&router, JSON, ("GET", &format!("/x?rBytes={text}&r_bytes=")), b"");
        assert_eq!(found.as_deref(), Ok(r#"{"rBytes":["+/8=",""]}"#), "{text}");
    }
    for text in ["*", "a", "ab%3D%3D%3D", "a%0Ab"] {
        assert!(message(&router, JSON, ("GET", &format!("/x?fBytes={text}")), b"").is_err(), "{text}");
    }
}

#[test]
fn names_are_dotted_in_either_casing() {
    let router = get(&Options::default());
    let check = |query: &str, expect: &str| {
        let found = message(&router, JSON, ("GET", &format!("/x?{query}")), b"");
        assert_eq!(found.as_deref(), Ok(expect), "{query}");
    };
    check("the_part.long_note=n", r#"{"thePart":{"longNote":"n"}}"#);
    check("thePart.longNote=n", r#"{"thePart":{"longNote":"n"}}"#);
    check(
        "thePart.byPart.long_note=n&the_part.by_part.byPart.id=1&thePart.tags=a&the_part.tags=b",
        r#"{"thePart":{"tags":["a","b"],"byPart":{"longNote":"n","byPart":{"id":"1"}}}}"#,
    );
    check("the%5Fpart%2Elong_note=n", r#"{"thePart":{"longNote":"n"}}"#);
    check("thePart.limit=1&thePart.mask=a,b", r#"{"thePart":{"mask":"a,b","limit":1}}"#);
    let group = message(&router, JSON, ("GET", "/order/1?extra.why=w&item.sku=s"), b"");
    assert_eq!(group.as_deref(), Ok(r#"{"id":"1","item":{"sku":"s"},"extra":{"why":"w"}}"#));
}

#[test]
fn what_no_parameter_can_set_is_refused_by_name() {
    let strict = get(&Options::default());
    let options = Options { ignore_unknown_query: true, ..Options::default() };
    let lenient = get(&options);
    let refuses = |(method, url): (&str, &str), words: &str, unknown: bool| {
        let found = message(&strict, JSON, (method, url), b"");
        assert_eq!(found.unwrap_err(), words, "{url}");
        let found = message(&lenient, JSON, (method, url), b"");
        assert_eq!(
            found.map_err(|error| error == words),
            if unknown { Ok("{}".to_owned()) } else { Err(true) }
        );
    };
    let message = "a message cannot be a query parameter: name one of its fields";
    for name in ["thePart", "rPart", "wStruct", "wAny", "wValue"] {
        refuses(("GET", &format!("/x?{name}=1")), &format!("unknown: {name}: {message}"), true);
    }
    refuses(("GET", "/x?m_string=1"), "unknown: m_string: a map cannot be a query parameter", true);
    for (name, what) in [
        ("mString.a", "m_string is not a message whose fields can be set"),
        ("rPart.id", "r_part is not a message whose fields can be set"),
        ("wTimestamp.seconds", "w_timestamp is not a message whose fields can be set"),
        ("fString.x", "f_string is not a message whose fields can be set"),
        ("thePart.nope", "shaping.v1.Part has no such field"),
        ("nope", "shaping.v1.Parameters has no such field"),
        ("mString[a]", "shaping.v1.Parameters has no such field"),
        (".fString", "shaping.v1.Parameters has no such field"),
        ("FSTRING", "shaping.v1.Parameters has no such field"),
    ] {
        refuses(("GET", &format!("/x?{name}=1")), &format!("unknown: {name}: {what}"), true);
    }
    refuses(("POST", "/part?thePart.id=1"), "unknown: thePart.id: the field is the body", true);
    let whole = "unknown: fString: the body is the whole request, so that there are no query parameters";
    refuses(("POST", "/all?fString=a"), whole, true);
    refuses(("GET", "/x?fBool=yes"), "value: fBool: expected true or false, found \"yes\"", false);
    refuses(("GET", "/x?fBool=true&f_bool=true"), "duplicate: f_bool: the parameter is there twice", false);
    refuses(("GET", "/x?%zz=1"), "url: %zz: a \"%\" must be followed by two hexadecimal digits", false);
}

#[test]
fn parameters_can_be_ignored_by_name() {
    let options =
        Options { ignored_query: vec!["key".to_owned(), "fString".to_owned()], ..Options::default() };
    let router = get(&options);
    let check = |method: &str, url: &str, expect: Result<&str, &str>| {
        let found = message(&router, JSON, (method, url), b"");
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{url}");
    };
    check("GET", "/x?key=%zz&f_int32=1&k%65y&fString=a", Ok(r#"{"fInt32":1}"#));
    check("GET", "/x?f_string=a", Ok(r#"{"fString":"a"}"#));
    check("POST", "/all?key=1", Ok("{}"));
    check("POST", "/part?key=1", Ok("{}"));
    check("GET", "/x?Key=1", Err("unknown: Key: shaping.v1.Parameters has no such field"));
    let whole = "unknown: other: the body is the whole request, so that there are no query parameters";
    check("POST", "/all?key=1&other=1", Err(whole));
}
