//! HTTP/1.1, as much of it as an answer with a length needs.

use std::cell::Cell;
use std::io;

use super::Dialect;

/// Requests in turn; usually the same one again and again.
#[derive(Debug)]
pub(crate) struct Http1 {
    requests: Vec<Vec<u8>>,
    next: Cell<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    head: Vec<u8>,
    /// Bytes of the body that are still to come, and whether the status was 2xx.
    body: Option<(usize, bool)>,
}

impl Http1 {
    pub(crate) fn get(path: &str) -> Self {
        Self::gets([path])
    }

    /// Each path once, and then from the first again.
    pub(crate) fn gets<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Self {
        let get = |path: P| format!("GET {} HTTP/1.1\r\nhost: bench\r\n\r\n", path.as_ref()).into_bytes();
        Self { requests: paths.into_iter().map(get).collect(), next: Cell::new(0) }
    }

    pub(crate) fn post(path: &str, json: &str) -> Self {
        let length = json.len();
        let head = "host: bench\r\ncontent-type: application/json";
        let request = format!("POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{json}");
        Self { requests: vec![request.into_bytes()], next: Cell::new(0) }
    }
}

impl Dialect for Http1 {
    type State = State;

    fn preface(&self, _: &mut Vec<u8>) {}

    fn request(&self, _: &mut State, out: &mut Vec<u8>) {
        let next = self.next.get();
        out.extend_from_slice(&self.requests[next]);
        self.next.set((next + 1) % self.requests.len());
    }

    fn answer(&self, state: &mut State, input: &[u8], _: &mut Vec<u8>) -> io::Result<Option<bool>> {
        let (left, good) = if let Some((left, good)) = state.body.take() {
            (left.checked_sub(input.len()), good)
        } else {
            state.head.extend_from_slice(input);
            let Some((left, good)) = body(&state.head)? else { return Ok(None) };
            state.head.clear();
            (left, good)
        };
        let left = left.ok_or_else(|| io::Error::other("more than was asked for"))?;
        state.body = (left > 0).then_some((left, good));
        Ok((left == 0).then_some(good))
    }
}

/// What is missing of the body once the head is complete, and whether the status is 2xx.
fn body(bytes: &[u8]) -> io::Result<Option<(Option<usize>, bool)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
    let good = head.starts_with("HTTP/1.1 2") || head.starts_with("HTTP/1.0 2");
    Ok(Some(((end + 4 + length).checked_sub(bytes.len()), good)))
}

#[cfg(test)]
mod tests {
    use super::super::Dialect as _;
    use super::{Http1, State};

    #[test]
    fn paths_take_turns() {
        let (dialect, mut out) = (Http1::gets(["/a", "/b"]), Vec::new());
        (0..3).for_each(|_| dialect.request(&mut State::default(), &mut out));
        let lines = String::from_utf8(out).unwrap();
        let paths: Vec<_> = lines.lines().filter_map(|line| line.strip_prefix("GET ")?.get(..2)).collect();
        assert_eq!(paths, ["/a", "/b", "/a"]);
    }

    #[test]
    fn an_answer_is_read_in_pieces_of_any_size() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        let (dialect, mut out) = (Http1::get("/"), Vec::new());
        for size in [1, 7, 40, answer.len()] {
            let mut state = State::default();
            let pieces =
                answer.chunks(size).map(|piece| dialect.answer(&mut state, piece, &mut out).unwrap());
            let heard: Vec<_> = pieces.collect();
            assert_eq!(heard.iter().flatten().collect::<Vec<_>>(), [&true], "{size}");
            assert_eq!(heard.last(), Some(&Some(true)));
        }
    }
}
