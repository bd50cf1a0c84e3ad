//! Compression of answers, as client and route agree: which coding, and of which answers (RFC 9110, section 12.5.3).

pub(crate) mod encoder;
pub(crate) mod squeeze;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, VARY,
};
use http::{Response, StatusCode};

use crate::body::Body;
use encoder::Encoder;

/// Which answers of a route are compressed, for clients that accept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// Which codings there are; of those that a client likes best, the first.
    pub algorithms: Vec<Algorithm>,
    /// Bytes of an answer, below which it is left as it is; streams are compressed however short. Default 1 KiB.
    pub min_bytes: usize,
    /// Media types that are worth it, such as `application/json` or `text/*`.
    pub types: Vec<String>,
}

impl Default for Compression {
    fn default() -> Self {
        let types = [
            "application/json",
            "application/x-ndjson",
            "application/javascript",
            "application/xml",
            "text/*",
        ];
        Self {
            algorithms: vec![Algorithm::Zstd, Algorithm::Gzip],
            min_bytes: 1024,
            types: types.map(str::to_owned).into(),
        }
    }
}

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Gzip => "gzip",
            Algorithm::Zstd => "zstd",
        }
    }
}

/// Whole answers up to this are compressed in one go, and have a length; longer ones piece by piece, so that other requests
/// of the worker have their turn.
const AT_ONCE: usize = 256 << 10;
/// Streams of one worker that are compressed at a time, each with a state of its own; further ones go as they are.
const MAX_STREAMS: usize = 512;

/// What a worker needs for it.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    /// The states for whole answers, made when they are first needed.
    gzip: RefCell<Option<Encoder>>,
    zstd: RefCell<Option<Encoder>>,
    streams: Cell<usize>,
}

impl Worker {
    /// The whole compressed, if that is shorter.
    fn whole(&self, algorithm: Algorithm, data: &[u8]) -> Option<Bytes> {
        let mut kept = match algorithm {
            Algorithm::Gzip => self.gzip.borrow_mut(),
            Algorithm::Zstd => self.zstd.borrow_mut(),
        };
        let mut encoder = kept.take().or_else(|| Encoder::for_whole(algorithm))?;
        let mut out = Vec::with_capacity(data.len() / 2);
        encoder.finish(data, &mut out).ok()?;
        // One that failed is not used again.
        *kept = encoder.renewed();
        (out.len() < data.len()).then(|| out.into())
    }
}

/// A stream that is being compressed counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Streaming(Rc<Worker>);

impl Streaming {
    fn begin(worker: &Rc<Worker>) -> Option<Self> {
        let streams = worker.streams.get();
        (streams < MAX_STREAMS).then(|| {
            worker.streams.set(streams + 1);
            Self(Rc::clone(worker))
        })
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

impl Compression {
    /// What is wrong with it, by key.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.algorithms.is_empty() {
            problems.push(("algorithms".into(), "name at least one: zstd or gzip".into()));
        }
        for (index, kind) in self.types.iter().enumerate() {
            let good = kind.split_once('/').is_some_and(|(kind, sub)| {
                let token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
                token(kind)
                    && !kind.contains('*')
                    && token(sub)
                    && (sub == "*" || !sub.contains(['*', ';', ',']))
            });
            if !good {
                let what = format!("`{kind}` is not a media type, such as application/json or text/*");
                problems.push((format!("types[{index}]"), what));
            }
        }
        problems
    }

    /// The coding that the client likes best; `None` when it likes the plain answer as much.
    pub(crate) fn choose(&self, headers: &HeaderMap) -> Option<Algorithm> {
        let fields = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let accepted: Vec<_> = fields.flat_map(|field| field.split(',')).filter_map(coding).collect();
        if accepted.is_empty() || says_no_transform(headers) {
            return None;
        }
        let of = |name: &str| {
            let found = accepted.iter().find(|(coding, _)| {
                coding.eq_ignore_ascii_case(name) || (name == "gzip" && coding.eq_ignore_ascii_case("x-gzip"))
            });
            found.map(|(_, quality)| *quality)
        };
        let any = of("*");
        // The plain answer is accepted unless it is said not to be, and comes last unless it is named.
        let plain = of("identity").unwrap_or(0);
        let mut best = None;
        for algorithm in &self.algorithms {
            let quality = of(algorithm.name()).or(any).unwrap_or(0);
            if quality > 0 && quality >= plain && best.is_none_or(|(_, than)| quality > than) {
                best = Some((*algorithm, quality));
            }
        }
        best.map(|(algorithm, _)| algorithm)
    }

    /// Compresses an answer that is worth it, and says of each that another client may get another one.
    pub(crate) fn apply(
        &self,
        chosen: Option<Algorithm>,
        response: &mut Response<Body>,
        worker: &Rc<Worker>,
    ) {
        if !self.is_worth_it(response) {
            return;
        }
        response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        let Some(algorithm) = chosen else { return };
        let done = match response.body().whole().filter(|whole| whole.len() <= AT_ONCE) {
            Some(whole) => worker.whole(algorithm, whole).map(Body::full),
            None => Streaming::begin(worker)
                .zip(Encoder::for_stream(algorithm))
                .map(|with| std::mem::replace(response.body_mut(), Body::empty()).squeezed(with)),
        };
        let Some(body) = done else { return };
        *response.body_mut() = body;
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(algorithm.name()));
        headers.remove(CONTENT_LENGTH);
        weaken(headers);
    }

    fn is_worth_it(&self, response: &Response<Body>) -> bool {
        let headers = response.headers();
        let long = response.body().length().is_none_or(|length| length > 0 && length >= self.min_bytes);
        let plain = !headers.contains_key(CONTENT_ENCODING) && !headers.contains_key(CONTENT_RANGE);
        let status = response.status();
        let content = status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
        long && plain && content && !says_no_transform(headers) && self.is_of_type(headers)
    }

    fn is_of_type(&self, headers: &HeaderMap) -> bool {
        let Some(found) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let found = found.split(';').next().unwrap_or_default().trim();
        self.types.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(kind) => found.get(..kind.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(kind)),
            None => wanted.eq_ignore_ascii_case(found),
        })
    }
}

/// One element of `accept-encoding`: a coding and how much it is liked, in thousandths. What is malformed is not there.
fn coding(element: &str) -> Option<(&str, u16)> {
    let (coding, quality) = match element.split_once(';') {
        None => (element, 1000),
        Some((coding, parameter)) => {
            let (name, value) = parameter.split_once('=')?;
            let quality = name.trim().eq_ignore_ascii_case("q").then(|| quality(value.trim()))?;
            (coding, quality?)
        }
    };
    let coding = coding.trim();
    (!coding.is_empty()).then_some((coding, quality))
}

/// RFC 9110, section 12.4.2: 0 to 1, with at most three digits.
fn quality(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let good =
        matches!(whole, "0" | "1") && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u16 = format!("{whole}{digits:0<3}").parse().ok().filter(|_| good)?;
    (thousandths <= 1000).then_some(thousandths)
}

/// RFC 9111, sections 5.2.1.6 and 5.2.2.6.
fn says_no_transform(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case("no-transform"))
}

/// The bytes are others, what they mean is the same (RFC 9110, section 8.8.3).
fn weaken(headers: &mut HeaderMap) {
    let strong = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    let weak = strong.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests;
