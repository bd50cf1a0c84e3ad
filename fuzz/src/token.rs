//! The text of a read-your-writes token, which clients send back.

use aqueduct_shards::Token;

/// The bytes as a token; and two tokens, where a line feed parts them, merged.
pub fn token(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (left, right) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (left, right) = (exact(left), exact(right));
    let (Some(left), Some(right)) = (left, right) else { return };
    let merged = left.clone().merge(&right);
    assert_eq!(Some(&merged), exact(merged.to_string().as_bytes()).as_ref(), "a merged token is a token");
    assert_eq!(merged, merged.clone().merge(&left).merge(&right), "it already demands what both do");
    assert_eq!(merged.is_empty(), left.is_empty() && right.is_empty());
}

/// The token, whose text is exactly what was read.
fn exact(text: &[u8]) -> Option<Token> {
    assert!(text.len() <= Token::MAX_LEN || Token::parse(text).is_err(), "its length is bounded");
    let token = Token::parse(text).ok()?;
    assert_eq!(token.to_string().as_bytes(), text, "one token has one text");
    Some(token)
}
