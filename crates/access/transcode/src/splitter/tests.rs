use super::*;

/// Feeds `text` in pieces of `piece` bytes; the elements with their offsets, and the error if there is one.
fn run(mut splitter: Splitter, text: &[u8], piece: usize) -> (Vec<(usize, String)>, Option<String>) {
    let mut elements = Vec::new();
    let mut buffer = Vec::new();
    let mut pieces = text.chunks(piece);
    let mut at_end = text.is_empty();
    loop {
        let consumed = match splitter.next(&buffer, at_end) {
            Ok(Split::Element { range, offset, consumed }) => {
                let element = buffer[range].to_vec();
                assert_eq!(
                    text[offset..offset + element.len()],
                    element,
                    "the offset is that of the element"
                );
                elements.push((offset, String::from_utf8(element).unwrap()));
                consumed
            }
            Ok(Split::More { consumed }) => {
                assert!(!at_end, "there is no more");
                consumed
            }
            Ok(Split::End) => {
                assert_eq!(splitter.next(&buffer, true), Ok(Split::End));
                return (elements, None);
            }
            Err(error) => return (elements, Some(error.to_string())),
        };
        let more = consumed == 0 || buffer.len() == consumed || elements.is_empty();
        buffer.drain(..consumed);
        if more {
            buffer.extend(pieces.next().unwrap_or_default());
            at_end = pieces.len() == 0;
        }
    }
}

#[track_caller]
fn check(splitter: &Splitter, text: &str, expect: &[&str], error: Option<&str>) {
    for piece in [1, 2, 3, 7, text.len().max(1)] {
        let (elements, found) = run(splitter.clone(), text.as_bytes(), piece);
        let elements: Vec<&str> = elements.iter().map(|element| element.1.as_str()).collect();
        assert_eq!(elements, expect, "{text} in pieces of {piece}");
        assert_eq!(found.as_deref(), error, "{text} in pieces of {piece}");
    }
}

#[test]
fn arrays_are_cut_into_elements() {
    let check = |text, expect: &[&str]| check(&Splitter::json(), text, expect, None);
    check("[]", &[]);
    check(" [ \n] ", &[]);
    check("[1]", &["1"]);
    check(
        r#"[{"a": [1, {"b": "]}"}]} , [ [], {} ],"x,\"]" ,null,-1.5e3 ]"#,
        &[r#"{"a": [1, {"b": "]}"}]}"#, "[ [], {} ]", r#""x,\"]""#, "null", "-1.5e3"],
    );
    check(r#"["\\","\\\"",""]"#, &[r#""\\""#, r#""\\\"""#, r#""""#]);
    check("[\"é\u{1f980}\", {\"é\":1}]", &["\"é\u{1f980}\"", "{\"é\":1}"]);
    // Brackets that do not fit are the encoder's to refuse.
    check("[{]]", &["{]"]);
}

#[test]
fn values_are_cut_apart() {
    let json = |text, expect: &[&str]| check(&Splitter::json(), text, expect, None);
    json("", &[]);
    json(" \r\n\t", &[]);
    json("{\"a\": 1}\n{\"a\": 2}\n", &["{\"a\": 1}", "{\"a\": 2}"]);
    json(
        "{\"a\":\n  1\n}\r\n\r\n{}{}\n1 2\ntrue\"x\"null[3]4",
        &["{\"a\":\n  1\n}", "{}", "{}", "1", "2", "true", "\"x\"", "null", "[3]", "4"],
    );
    let values = |text, expect: &[&str]| check(&Splitter::values(), text, expect, None);
    values("[1, 2]\n[]", &["[1, 2]", "[]"]);
    values("", &[]);
    values("12", &["12"]);
}

#[test]
fn what_is_between_elements_is_checked() {
    let json = |text, expect: &[&str], error| check(&Splitter::json(), text, expect, Some(error));
    json("[1 2]", &["1"], "expected \",\" or \"]\", found '2' (at byte 3)");
    json("[{}{}]", &["{}"], "expected \",\" or \"]\", found '{' (at byte 3)");
    json("[1,]", &["1"], "expected another one after the comma, found ']' (at byte 3)");
    json("[,1]", &[], "expected a value, found ',' (at byte 1)");
    json("[1,,2]", &["1"], "expected a value, found ',' (at byte 3)");
    json("[}", &[], "expected a value, found '}' (at byte 1)");
    json("[1] x", &["1"], "expected nothing behind the array, found 'x' (at byte 4)");
    json("[] []", &[], "expected nothing behind the array, found '[' (at byte 3)");
    json("[", &[], "expected a value or \"]\", but the stream ends here (at byte 1)");
    json("[1", &[], "expected the end of the element, but the stream ends here (at byte 2)");
    json("[1 ", &["1"], "expected \",\" or \"]\", but the stream ends here (at byte 3)");
    json("[1,", &["1"], "expected a value, but the stream ends here (at byte 3)");
    json("[{\"a\": 1", &[], "expected the end of the element, but the stream ends here (at byte 8)");
    json("[\"a\\\"", &[], "expected the end of the element, but the stream ends here (at byte 5)");
    json("{\"a\"", &[], "expected the end of the element, but the stream ends here (at byte 4)");
    json("{}, {}", &["{}"], "expected a value, found ',' (at byte 2)");
    json("{}]", &["{}"], "expected a value, found ']' (at byte 2)");
    let deep = "[".repeat(202);
    json(&deep, &[], "the JSON is nested too deep (at byte 201)");
}

/// One byte a call: an element that was looked at from its start each time would take minutes.
#[test]
fn bytes_are_looked_at_once() {
    let mut text = b"[\"".to_vec();
    text.resize(400_000, b'a');
    text.extend(b"\",{\"x\":[");
    text.extend(b"{},".repeat(130_000));
    text.extend(b"1]}]");
    let mut splitter = Splitter::json();
    let mut sizes = Vec::new();
    let mut from = 0;
    let mut to = 0;
    loop {
        match splitter.next(&text[from..to], to == text.len()).unwrap() {
            Split::Element { range, consumed, .. } => {
                sizes.push(range.len());
                from += consumed;
            }
            Split::More { consumed } => {
                from += consumed;
                to += 1;
            }
            Split::End => break,
        }
    }
    assert_eq!(sizes, [400_000, 390_009]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::with_cases(3000)
    })]

    /// How the bytes come changes nothing.
    #[test]
    fn pieces_of_any_size_give_the_same(
        text in "[\\[\\]{},:\"\\\\ \\nat1é]{0,24}",
        piece in 1usize..9,
        array in proptest::bool::ANY,
    ) {
        let splitter = if array { Splitter::json() } else { Splitter::values() };
        let whole = run(splitter.clone(), text.as_bytes(), text.len().max(1));
        // Pieces may cut a character that an error shows.
        let (elements, error) = run(splitter, text.as_bytes(), piece);
        proptest::prop_assert_eq!(&elements, &whole.0);
        let place = |error: &Option<String>| error.as_ref().map(|words| words.rsplit_once("(at").unwrap().1.to_owned());
        proptest::prop_assert_eq!(place(&error), place(&whole.1));
    }
}
