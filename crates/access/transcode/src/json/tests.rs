use super::number::{Integer, NotInteger, integer, scan};
use super::*;

fn skip(text: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(text).map_err(|error| error.to_string())?;
    let mut scratch = Vec::new();
    reader.skip_value(100, &mut scratch).and_then(|()| reader.end()).map_err(|error| error.to_string())
}

#[test]
fn the_grammar_is_that_of_rfc_8259() {
    let good: &[&str] = &[
        "null",
        " true ",
        "\t\r\n false",
        "0",
        "-0",
        "12.5e-3",
        "1E+2",
        "\"\"",
        r#""\"\\\/\b\f\n\r\t\u0000\u00e9\ud83d\ude00""#,
        "[]",
        "[ ]",
        "{}",
        r#"{ "a" : [ 1 , { "b" : null } ] , "a" : 2 }"#,
        "\"é\u{7f}\u{2028}\"",
    ];
    for text in good {
        assert_eq!(skip(text.as_bytes()), Ok(()), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let bad: &[&[u8]] = &[
        b"",
        b" ",
        b"nul",
        b"nulll",
        b"True",
        b"01",
        b"-",
        b"+1",
        b"1.",
        b".5",
        b"1e",
        b"1e+",
        b"0x1",
        b"NaN",
        b"Infinity",
        b"\"",
        b"\"\\\"",
        b"\"\\x\"",
        b"\"\\u12\"",
        b"\"\\u12g4\"",
        b"\"\\ud800\"",
        b"\"\\ud800\\u0041\"",
        b"\"\\udc00\"",
        b"\"\\ud800\\ud800\"",
        b"\"\x01\"",
        b"\"\n\"",
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"]",
        b"{",
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":1",
        b"{\"a\":1,",
        b"{\"a\":1,}",
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b"{\"a\" 1}",
        b"{} {}",
        b"1 2",
        b"'a'",
        b"// c\n1",
        b"\xef\xbb\xbf{}",
        b"\"\xff\"",
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\xc2\xa01",
    ];
    for text in bad {
        assert!(skip(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        assert!(serde_json::from_slice::<serde_json::Value>(text).is_err());
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(skip(nested(100).as_bytes()), Ok(()));
    assert!(skip(nested(101).as_bytes()).unwrap_err().contains("nested too deep (at byte 100)"));
    assert!(skip("[".repeat(1_000_000).as_bytes()).is_err());
    assert!(skip("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn refusals_say_where_and_what() {
    let check =
        |text: &str, expect: &str| assert_eq!(skip(text.as_bytes()), Err(expect.to_owned()), "{text}");
    check("[1, x]", "expected a value, found x (at byte 4)");
    check("[1", "expected \",\" or \"]\", but the JSON ends here (at byte 2)");
    check("{\"a\": \"b", "expected the end of the string, but the JSON ends here (at byte 8)");
    check("{} é", "expected the end of the JSON text, found 'é' (at byte 3)");
    check("{\"a\" [1]}", "expected \":\", found an array (at byte 5)");
    check("-x", "expected the rest of a number, found x (at byte 1)");
}

#[test]
fn integers_are_exact_however_they_are_written() {
    let check = |text: &str, expect: Result<i128, NotInteger>| {
        assert_eq!(scan(text.as_bytes()), Ok(text.len()), "{text}");
        let found = integer(text.as_bytes()).map(|Integer { negative, magnitude }| {
            if negative { -i128::from(magnitude) } else { i128::from(magnitude) }
        });
        assert_eq!(found, expect, "{text}");
    };
    check("0", Ok(0));
    check("-0.000e5", Ok(0));
    check("1e3", Ok(1000));
    check("120.00", Ok(120));
    check("0.5e1", Ok(5));
    check("1.50e1", Ok(15));
    check("1000e-3", Ok(1));
    check("0e999999999999999999999", Ok(0));
    check("18446744073709551615", Ok(i128::from(u64::MAX)));
    check("1844674407370955161500e-2", Ok(i128::from(u64::MAX)));
    check("-9223372036854775808.0", Ok(i128::from(i64::MIN)));
    check("18446744073709551616", Err(NotInteger::TooLarge));
    check("1e20", Err(NotInteger::TooLarge));
    check("1e99999999999999999999", Err(NotInteger::TooLarge));
    check("1e-99999999999999999999", Err(NotInteger::Fraction));
    check("0.5", Err(NotInteger::Fraction));
    check("5e-1", Err(NotInteger::Fraction));
}

#[test]
fn plain_integers_take_the_short_way_only_when_it_is_right() {
    let check = |text: &str, expect: Option<(i128, usize)>| {
        let mut reader = Reader::new(text.as_bytes()).unwrap();
        let found = reader.plain_integer().map(|Integer { negative, magnitude }| {
            let value = i128::from(magnitude);
            (if negative { -value } else { value }, reader.pos)
        });
        assert_eq!(found, expect, "{text}");
    };
    check("7,", Some((7, 1)));
    check("-12}", Some((-12, 3)));
    check("\"34\",", Some((34, 4)));
    check("9999999999999999999]", Some((9_999_999_999_999_999_999, 19)));
    for slow in
        ["", "-", "\"\"", "\"1", "\"1 \"", "01", "\"-01\"", "1.0", "1e2", "\"1e2\"", "18446744073709551615"]
    {
        check(slow, None);
    }
}
