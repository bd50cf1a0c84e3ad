//! A client's stream of JSON, cut into its elements.

use std::ops::Range;

use aqueduct_transcode::{Split, Splitter, TranscodeError};
use serde_json::Value;

type Elements = Result<Vec<Range<usize>>, TranscodeError>;

/// The first byte tells how the others come: in pieces of that size.
pub fn splitter(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let size = usize::from(*size).max(1);
    for make in [Splitter::json as fn() -> Splitter, Splitter::values] {
        // Of a character that is cut, an error cannot show all.
        let place = |error: TranscodeError| (error.kind(), error.offset());
        let whole = split(make(), stream, stream.len().max(1)).map_err(place);
        let pieces = split(make(), stream, size).map_err(place);
        assert_eq!(whole, pieces, "pieces of {size} are cut otherwise than the whole");
    }
    let Ok(text) = std::str::from_utf8(stream) else { return };
    if let Ok(Value::Array(values)) = serde_json::from_str::<Value>(text) {
        let found = split(Splitter::json(), stream, size).unwrap();
        assert_eq!(read(text, &found), Some(values), "an array");
    }
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    if let (Ok(values), Ok(found)) = (values, split(Splitter::values(), stream, size))
        && let Some(read) = read(text, &found)
    {
        assert_eq!(read, values, "values one behind the other");
    }
}

/// The elements as places in the stream.
fn split(mut splitter: Splitter, stream: &[u8], size: usize) -> Elements {
    let (mut found, mut buffer) = (Vec::new(), Vec::new());
    let mut pieces = stream.chunks(size);
    let mut at_end = false;
    loop {
        match splitter.next(&buffer, at_end)? {
            Split::Element { range, offset, consumed } => {
                assert_eq!(
                    stream.get(offset..offset + range.len()),
                    buffer.get(range.clone()),
                    "the offset is wrong"
                );
                found.push(offset..offset + range.len());
                buffer.drain(..consumed);
            }
            Split::More { consumed } => {
                buffer.drain(..consumed);
                assert!(!at_end, "more is wanted behind the end");
                match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => at_end = true,
                }
            }
            Split::End => return Ok(found),
        }
    }
}

/// The elements as values, if all of them are some.
fn read(text: &str, elements: &[Range<usize>]) -> Option<Vec<Value>> {
    elements.iter().map(|range| serde_json::from_str(text.get(range.clone())?).ok()).collect()
}
