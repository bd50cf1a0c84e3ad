//! Who does what: each case is one call that is measured.

use std::hint::black_box;

use anyhow::{Context as _, Result, anyhow, ensure};
use aqueduct_transcode::{Lookup, Options, Request, Router, Schema, Target, Transcoder};
use clap::ValueEnum;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::generated::Order;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Work {
    /// JSON to wire bytes
    Encode,
    /// Wire bytes to JSON
    Decode,
    /// Finding the binding of a method and path among four
    Route,
    /// Binding a path variable and two query parameters
    Bind,
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// aqueduct-transcode: from descriptors, without a message in between.
    Aqueduct,
    /// prost-reflect: from descriptors, through a `DynamicMessage`.
    Reflect,
    /// pbjson: through types compiled in.
    Pbjson,
    /// serde_json, which only reads the tokens.
    Tokens,
}

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aqueduct => "aqueduct-transcode",
            Self::Reflect => "prost-reflect",
            Self::Pbjson => "pbjson",
            Self::Tokens => "serde_json, tokens only",
        }
    }
}

/// One call to measure.
pub(super) struct Case<'a> {
    pub(super) work: Work,
    pub(super) who: Who,
    pub(super) run: Box<dyn FnMut() + 'a>,
}

/// Half a kilobyte of an order.
const JSON: &[u8] = br#"{"id":"7205759403792794","userId":"42","status":"PAID","version":"2","items":[{"sku":"AQ-1001-BLUE","quantity":2,"priceCents":"1999","weightKg":0.75},{"sku":"AQ-2002-RED","quantity":1,"priceCents":"24900"},{"sku":"AQ-3003","quantity":12,"priceCents":"349","tags":["gift","fragile"]}],"totalCents":"33086","note":"Please leave it at the door","createdAt":"2024-05-17T09:30:15.250Z","labels":{"channel":"web","campaign":"spring"},"address":{"street":"1 Via Appia","city":"Roma","zip":"00184","geo":{"lat":41.8902,"lon":12.4922}}}"#;

/// The message in both forms, and what knows its type.
pub(super) struct Fixture {
    schema: Schema,
    router: Router,
    options: Options,
    descriptor: MessageDescriptor,
    pub(super) json: &'static [u8],
    pub(super) wire: Vec<u8>,
}

impl Fixture {
    pub(super) fn new() -> Result<Self> {
        let descriptors = include_bytes!(concat!(env!("OUT_DIR"), "/bench.binpb"));
        let schema = Schema::decode(descriptors).context("compile the schema")?;
        let router = Router::builder(&schema).service("bench.v1.Orders", 0).build();
        let router = router.map_err(|errors| anyhow!("compile the routes: {errors:?}"))?;
        let pool = DescriptorPool::decode(&descriptors[..]).context("load the descriptors")?;
        let descriptor = pool.get_message_by_name("bench.v1.Order").context("find the message")?;
        let wire = serde_json::from_slice::<Order>(JSON).context("read the message")?.encode_to_vec();
        Ok(Self { schema, router, options: Options::default(), descriptor, json: JSON, wire })
    }

    fn target(&self) -> Target<'_> {
        let message = self.schema.message("bench.v1.Order").expect("compiled from the same descriptors");
        Target { schema: &self.schema, message, options: &self.options }
    }

    /// All make the same message of the JSON, and the same JSON of the message; or there are no figures.
    pub(super) fn check(&self) -> Result<()> {
        let mut transcoder = Transcoder::new();
        let (mut wire, mut json) = (Vec::new(), Vec::new());
        transcoder.json_to_wire(self.target(), self.json, &mut wire)?;
        transcoder.wire_to_json(self.target(), &self.wire, &mut json)?;
        let dynamic = |wire: &[u8]| DynamicMessage::decode(self.descriptor.clone(), wire);
        let expected = dynamic(&self.wire)?;
        ensure!(dynamic(&wire)? == expected, "aqueduct-transcode reads another message than pbjson");
        let mut deserializer = serde_json::Deserializer::from_slice(self.json);
        let read = DynamicMessage::deserialize(self.descriptor.clone(), &mut deserializer)?;
        ensure!(read == expected, "prost-reflect reads another message than pbjson");
        let value = |json: &[u8]| serde_json::from_slice::<Json>(json);
        let written = value(&json)?;
        ensure!(written == value(&serde_json::to_vec(&expected)?)?, "prost-reflect writes other JSON");
        // It writes the offset of a timestamp as +00:00, so that the JSON is other text for the same message.
        let message = Order::decode(&*self.wire)?;
        let read: Order = serde_json::from_slice(&serde_json::to_vec(&message)?)?;
        ensure!(read == message, "pbjson writes JSON of another message");
        Ok(())
    }

    /// All cases, in the order of the report. Each keeps its output buffer.
    pub(super) fn cases(&self) -> Vec<Case<'_>> {
        let mut cases = Vec::new();
        self.encode(&mut cases);
        self.decode(&mut cases);
        self.request(&mut cases);
        cases
    }

    fn encode<'a>(&'a self, cases: &mut Vec<Case<'a>>) {
        let mut add = |who, run| cases.push(Case { work: Work::Encode, who, run });
        let (target, json) = (self.target(), self.json);
        let (mut transcoder, mut out) = (Transcoder::new(), Vec::new());
        add(
            Who::Aqueduct,
            Box::new(move || {
                out.clear();
                transcoder.json_to_wire(target, black_box(json), &mut out).expect(FITS);
            }),
        );
        let mut out = Vec::new();
        add(
            Who::Reflect,
            Box::new(move || {
                out.clear();
                let mut deserializer = serde_json::Deserializer::from_slice(black_box(json));
                let message = DynamicMessage::deserialize(self.descriptor.clone(), &mut deserializer);
                message.expect(FITS).encode(&mut out).expect(FITS);
            }),
        );
        let mut out = Vec::new();
        add(
            Who::Pbjson,
            Box::new(move || {
                out.clear();
                let message: Order = serde_json::from_slice(black_box(json)).expect(FITS);
                message.encode(&mut out).expect(FITS);
            }),
        );
        add(
            Who::Tokens,
            Box::new(move || {
                black_box(serde_json::from_slice::<IgnoredAny>(black_box(json)).expect(FITS));
            }),
        );
    }

    fn decode<'a>(&'a self, cases: &mut Vec<Case<'a>>) {
        let mut add = |who, run| cases.push(Case { work: Work::Decode, who, run });
        let (target, wire) = (self.target(), &*self.wire);
        let (mut transcoder, mut out) = (Transcoder::new(), Vec::new());
        add(
            Who::Aqueduct,
            Box::new(move || {
                out.clear();
                transcoder.wire_to_json(target, black_box(wire), &mut out).expect(FITS);
            }),
        );
        let mut out = Vec::new();
        add(
            Who::Reflect,
            Box::new(move || {
                out.clear();
                let message = DynamicMessage::decode(self.descriptor.clone(), black_box(wire)).expect(FITS);
                serde_json::to_writer(&mut out, &message).expect(FITS);
            }),
        );
        let mut out = Vec::new();
        add(
            Who::Pbjson,
            Box::new(move || {
                out.clear();
                let message = Order::decode(black_box(wire)).expect(FITS);
                serde_json::to_writer(&mut out, &message).expect(FITS);
            }),
        );
    }

    fn request<'a>(&'a self, cases: &mut Vec<Case<'a>>) {
        let route = move || {
            black_box(self.router.find("POST", black_box("/v1/orders/7205759403792794:pay")));
        };
        cases.push(Case { work: Work::Route, who: Who::Aqueduct, run: Box::new(route) });
        let path = "/v1/orders/7205759403792794";
        let Lookup::Found(found) = self.router.find("GET", path) else { return };
        let request = Request { path, query: Some("userId=42&address.city=Roma+Nord"), body: b"" };
        let (mut transcoder, mut out) = (Transcoder::new(), Vec::new());
        let bind = move || {
            out.clear();
            transcoder.encode_request(&found, black_box(request), &mut out).expect(FITS);
        };
        cases.push(Case { work: Work::Bind, who: Who::Aqueduct, run: Box::new(bind) });
    }
}

/// Nothing here depends on what comes from outside.
const FITS: &str = "the message fits its type";

#[cfg(test)]
mod tests {
    use super::{Fixture, Who, Work};

    #[test]
    fn all_do_the_same_work() {
        let fixture = Fixture::new().unwrap();
        fixture.check().unwrap();
        let mut cases = fixture.cases();
        for case in &mut cases {
            (case.run)();
        }
        let ours = cases.iter().filter(|case| case.who == Who::Aqueduct);
        assert_eq!(
            ours.map(|case| case.work).collect::<Vec<_>>(),
            [Work::Encode, Work::Decode, Work::Route, Work::Bind]
        );
    }
}
