//! The events of a binlog, and the transactions that they make.

use aqueduct_cdc::{Assembler, Decoder, Gtid, Position, Watched};

/// The most keys of a transaction, small so that it is passed.
const MAX_KEYS: usize = 4;

/// A sequence of events: type, length of the body as two bytes, body. They are followed by one transaction that is whole, which
/// must come out whatever stood before.
pub fn binlog(data: &[u8]) {
    let tables = vec![Watched::exact("d", "t", "v"), Watched::bounded("d", "u")];
    let mut decoder = Decoder::new(tables);
    let mut assembler = Assembler::new(Position::default(), MAX_KEYS, 2);
    let mut facts = Vec::new();
    let mut rest = data;
    while let [kind, low, high, body @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(body.len());
        let (body, after) = body.split_at(len);
        rest = after;
        if decoder.decode((*kind, 0, 1), body, &mut facts).is_err() {
            facts.clear();
        }
        for transaction in facts.drain(..).filter_map(|fact| assembler.push(fact)) {
            assert!(transaction.changes.len() <= MAX_KEYS, "memory is bounded");
            let text = transaction.resume.to_string();
            assert_eq!(text.parse(), Ok(transaction.resume), "a position has one text");
        }
    }
    let last = Gtid { domain: 9, server: 1, sequence: 7 };
    let mut begin = last.sequence.to_le_bytes().to_vec();
    begin.extend(last.domain.to_le_bytes());
    begin.push(0);
    decoder.decode((162, 0, last.server), &begin, &mut facts).unwrap();
    decoder.decode((171, 0, last.server), &[1; 8], &mut facts).unwrap();
    decoder.decode((16, 0, last.server), &[0; 8], &mut facts).unwrap();
    let ended = facts.drain(..).filter_map(|fact| assembler.push(fact)).last().unwrap();
    assert_eq!((ended.gtid, ended.bumps.len()), (Some(last), 1), "unknown rows are told");
}
