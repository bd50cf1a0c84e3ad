//! JSON in the one form in which two texts that mean the same are equal: without blanks, keys in order, strings escaped in one
//! way. Numbers stay as they are written: made into doubles, different amounts could become equal.

/// Deeper than any payload; the text is read recursively.
const MOST_DEPTH: usize = 128;

/// The canonical form of `text`, which must be valid JSON.
///
/// # Errors
/// What is valid and still means nothing definite: a key that stands twice in an object, half a surrogate pair; and what is
/// nested too deeply.
pub(crate) fn canonical(text: &str) -> Result<String, String> {
    let mut reader = Reader { text, at: 0 };
    let mut out = String::with_capacity(text.len());
    reader.value(&mut out, 0)?;
    Ok(out)
}

/// Writes a string as JSON.
pub(crate) fn push_string(out: &mut String, text: &str) {
    // A string cannot fail to be written.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        if depth > MOST_DEPTH {
            return Err(format!("it is nested deeper than {MOST_DEPTH} levels"));
        }
        match self.peek() {
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.array(out, depth),
            Some(b'"') => {
                let text = self.string()?;
                push_string(out, &text);
                Ok(())
            }
            Some(_) => {
                let word = self.word();
                out.push_str(word);
                Ok(())
            }
            None => Err("it ends too early".to_owned()),
        }
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        self.skip(b'{');
        let mut fields: Vec<(String, String)> = Vec::new();
        while !self.skip(b'}') {
            self.skip(b',');
            let key = self.string()?;
            self.skip(b':');
            let mut value = String::new();
            self.value(&mut value, depth + 1)?;
            fields.push((key, value));
        }
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some([twice, _]) = fields.array_windows().find(|[one, other]| one.0 == other.0) {
            return Err(format!("the key {:?} stands twice in one object", twice.0));
        }
        out.push('{');
        for (at, (key, value)) in fields.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_string(out, key);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        self.skip(b'[');
        out.push('[');
        let mut first = true;
        while !self.skip(b']') {
            if !first {
                self.skip(b',');
                out.push(',');
            }
            first = false;
            self.value(out, depth + 1)?;
        }
        out.push(']');
        Ok(())
    }

    /// A string, without its escapes.
    fn string(&mut self) -> Result<String, String> {
        self.peek();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut escaped = false;
        let end = rest.bytes().enumerate().skip(1).find_map(|(at, byte)| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends.then_some(at + 1)
        });
        let text = end.and_then(|end| rest.get(..end)).ok_or("a string is wanted")?;
        self.at += text.len();
        serde_json::from_str(text).map_err(|_| format!("the string {text} is no Unicode"))
    }

    /// A number, `true`, `false` or `null`, as it stands there.
    fn word(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}' | b':');
        let length = rest.bytes().position(ends).unwrap_or(rest.len()).max(1);
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use proptest::prelude::*;
    use serde_json::Value;

    fn check(text: &str, expect: &str) {
        assert_eq!(canonical(text).as_deref(), Ok(expect), "{text}");
        assert_eq!(canonical(expect).as_deref(), Ok(expect), "{text}, again");
    }

    #[test]
    fn order_blanks_and_escapes_do_not_matter() {
        check(" { \"b\" : [ 1 , 2 ] ,\n\"a\":{} }", r#"{"a":{},"b":[1,2]}"#);
        check(r#"{"\u0061":"\u00e9\/\"x\\"}"#, r#"{"a":"é/\"x\\"}"#);
        check(r#"[true,false,null,"",[],{}]"#, r#"[true,false,null,"",[],{}]"#);
        check("\t7 ", "7");
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        for number in ["12345678901234567890", "12345678901234567891", "1.10", "1.1", "1e400", "-0", "0.1E+2"]
        {
            check(number, number);
        }
    }

    #[test]
    fn what_means_nothing_definite_is_refused() {
        let why = |text: &str| canonical(text).unwrap_err();
        assert_eq!(why(r#"{"a":1,"b":2,"\u0061":3}"#), r#"the key "a" stands twice in one object"#);
        assert!(why(r#"["\ud800"]"#).contains("no Unicode"));
        assert!(why(&"[".repeat(1000)).contains("deeper than 128"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<Option<bool>>().prop_map(|b| b.map_or(Value::Null, Value::from)),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_means_the_same_however_it_is_written(value in any_json()) {
            let (close, wide) = (value.to_string(), serde_json::to_string_pretty(&value).unwrap());
            let canonical = canonical(&close).unwrap();
            prop_assert_eq!(super::canonical(&wide).unwrap(), canonical.clone());
            prop_assert_eq!(serde_json::from_str::<Value>(&canonical).unwrap(), value);
        }
    }
}
