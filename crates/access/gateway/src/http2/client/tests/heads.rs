//! HPACK: what the encoder writes, the decoder reads.

use super::*;
use crate::http2::hpack::{Call, Decoder, Encoder};
use bytes::BytesMut;

fn encode(encoder: &mut Encoder, headers: &HeaderMap) -> BytesMut {
    let mut out = BytesMut::new();
    encoder.encode(
        Call { secure: false, authority: "orders:50051", path: "/a.B/C", headers: &headers.into() },
        &mut out,
    );
    out
}

#[test]
fn a_head_that_comes_again_is_a_byte_a_field() {
    let mut encoder = Encoder::new();
    let headers = fields(&[("content-type", "application/grpc"), ("te", "trailers"), ("x-tenant", "7")]);
    let lengths: Vec<_> = (0..3).map(|_| encode(&mut encoder, &headers).len()).collect();
    assert!(lengths[0] > 60 && lengths[1] == lengths[0] && lengths[2] == 7, "{lengths:?}");
}

#[test]
fn what_is_secret_or_never_comes_again_stays_out_of_the_table() {
    let mut encoder = Encoder::new();
    let mut marked = fields(&[("authorization", "Bearer x"), ("cookie", "a=b"), ("content-length", "5")]);
    let mut once = HeaderValue::from_static("00-1");
    once.set_sensitive(true);
    marked.insert("traceparent", once);
    let lengths: Vec<_> = (0..4).map(|_| encode(&mut encoder, &marked).len()).collect();
    assert_eq!(lengths[2], lengths[3]);
    let block = encode(&mut encoder, &marked);
    let never = [&[0x10, 11][..], b"traceparent", &[4], b"00-1"].concat();
    assert!(block.windows(never.len()).any(|it| it == never), "never indexed");
}

#[test]
fn the_decoder_reads_what_the_encoder_writes_while_tables_overflow() {
    for limit in [4096, 300, 40, 0] {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(1 << 20, usize::MAX));
        encoder.limit(limit);
        for round in 0..2000usize {
            let mut headers = HeaderMap::new();
            for field in 0..round % 7 {
                let number = (round * 31 + field * 17) % 97;
                let name = HeaderName::try_from(format!("x-{}", number % 13)).unwrap();
                let value = "v".repeat(number * 3 % 200) + &number.to_string();
                headers.append(name, HeaderValue::try_from(value).unwrap());
            }
            let block = encode(&mut encoder, &headers);
            let told = block[0] & 0b1110_0000 == 0b0010_0000;
            assert_eq!(told, round == 0 && limit < 4096, "a smaller table is told, once");
            assert_eq!(decoder.decode(&block).unwrap().fields, headers, "round {round}, table of {limit}");
        }
    }
}

#[test]
fn a_long_head_is_continued() {
    let mut pair = Pair::new(&[]);
    let long = "x".repeat(40_000);
    let _call = pair.calls.call("/", (&fields(&[("x-long", &long)])).into(), whole(b"hello")).unwrap();
    let sent = pair.sent();
    let kinds: Vec<_> = sent.iter().map(|it| (it.head.kind, it.head.flags)).collect();
    let (head, more) = (frame::HEADERS, frame::CONTINUATION);
    assert_eq!(kinds, [(head, 0), (more, 0), (more, END_HEADERS), (frame::DATA, END_STREAM)]);
    let block: Vec<u8> = sent[..3].iter().flat_map(|it| it.payload.clone()).collect();
    assert_eq!(
        Decoder::new(1 << 20, usize::MAX).decode(&block).unwrap().fields,
        fields(&[("x-long", &long)])
    );
}
