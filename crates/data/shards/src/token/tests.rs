//! Tokens as text, and what a merged one demands.

use super::{Demand, Gtid, Token, TokenError};
use proptest::prelude::*;

fn token(text: &str) -> Token {
    Token::parse(text.as_bytes()).unwrap()
}

#[track_caller]
fn refused(text: &str, expect: TokenError) {
    assert_eq!(Token::parse(text.as_bytes()), Err(expect), "{text}");
}

#[test]
fn a_token_is_read_as_it_was_written() {
    for text in ["", "0@0-1-42", "0@0-1-42,2@0-1-7", "1@0-1-1,1@7-4294967295-18446744073709551615,3@*"] {
        assert_eq!(token(text).to_string(), text);
    }
    assert!(token("").is_empty());
    let read = token("0@0-1-42,2@*");
    assert_eq!(read.of_shard(0), Demand::Reached(&[Gtid { domain: 0, server: 1, sequence: 42 }]));
    assert_eq!(read.of_shard(1), Demand::Nothing);
    assert_eq!(read.of_shard(2), Demand::Primary);
}

#[test]
fn what_is_not_a_token_is_refused_by_place() {
    let malformed = |entry| TokenError::Malformed { entry };
    for text in
        ["x", "0", "0@", "@0-1-1", "0@0-1", "0@0-1-0", "0@0-1-1-1", "0@+0-1-1", "00@0-1-1", "0@0-01-1"]
    {
        refused(text, malformed(1));
    }
    for text in
        [",", "0@0-1-18446744073709551616", "0@4294967296-1-1", "0@0-4294967296-1", " 0@0-1-1", "0@**"]
    {
        refused(text, malformed(1));
    }
    refused("0@0-1-1,", malformed(2));
    refused("0@0-1-1, 1@0-1-1", malformed(2));
    refused("4@0-1-1", TokenError::Shard { entry: 1 });
    refused("256@0-1-1", TokenError::Shard { entry: 1 });
    refused("1@0-1-1,0@0-1-1", TokenError::Order { entry: 2 });
    refused("1@0-1-1,1@0-1-1", TokenError::Order { entry: 2 });
    refused("1@1-1-1,1@0-1-1", TokenError::Order { entry: 2 });
    refused("1@*,1@0-1-1", TokenError::Order { entry: 2 });
    refused("1@0-1-1,1@*", TokenError::Order { entry: 2 });
}

#[test]
fn its_length_is_bounded() {
    let entry = |shard: u8, domain: u32| format!("{shard}@{domain}-4294967295-18446744073709551615");
    let top = u32::MAX - 16;
    let full: Vec<_> = (0..4).flat_map(|shard| (1..=16).map(move |n| entry(shard, top + n))).collect();
    let longest = full.join(",");
    assert_eq!(longest.len(), Token::MAX_LEN);
    assert_eq!(token(&longest).to_string(), longest);
    refused(&format!("{longest}0"), TokenError::TooLong { len: Token::MAX_LEN + 1 });
    let seventeen: Vec<_> = (0..17).map(|domain| format!("0@{domain}-1-1")).collect();
    refused(&seventeen.join(","), TokenError::Domains { entry: 17 });
}

#[test]
fn a_merged_token_demands_what_both_do() {
    let merged = |left: &str, right: &str| token(left).merge(&token(right)).to_string();
    assert_eq!(merged("", "0@0-1-5"), "0@0-1-5");
    assert_eq!(merged("0@0-1-5", ""), "0@0-1-5");
    assert_eq!(merged("0@0-1-5", "0@0-2-4"), "0@0-1-5");
    assert_eq!(merged("0@0-1-5", "0@0-2-6"), "0@0-2-6");
    assert_eq!(merged("0@0-1-5", "0@1-2-4,3@0-1-1"), "0@0-1-5,0@1-2-4,3@0-1-1");
    assert_eq!(merged("0@*", "0@0-1-5"), "0@*");
    assert_eq!(merged("0@0-1-5,1@0-1-1", "0@*"), "0@*,1@0-1-1");
}

#[test]
fn more_domains_than_fit_are_the_primarys_business() {
    let mut many = Token::default();
    (0..17).for_each(|domain| many.add(2, Gtid { domain, server: 1, sequence: 1 }));
    assert_eq!(many.to_string(), "2@*");
}

#[test]
fn a_servers_list_is_understood_whole_or_not_at_all() {
    let list = Gtid::parse_list("0-1-42,1-7-3").unwrap();
    assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0-1-42", "1-7-3"]);
    assert_eq!(Gtid::parse_list(""), None);
    assert_eq!(Gtid::parse_list("0-1-42,x"), None);
    assert_eq!(Gtid::parse_list("3E11FA47-71CA-11E1-9E33-C80AA9429562:23"), None);
}

proptest! {
    #[test]
    fn one_token_has_one_text(text in "[0-5]@[*0-9]{1,2}(-[0-9]{1,2}){0,2}(,[0-5]@[*0-9]{1,2}(-[0-9]{1,2}){0,2}){0,3}") {
        if let Ok(token) = Token::parse(text.as_bytes()) {
            prop_assert_eq!(token.to_string(), text);
        }
    }

    #[test]
    fn any_token_comes_back(gtids in prop::collection::vec((0..4u8, 0..20u32, any::<u32>(), 1..u64::MAX), 0..40)) {
        let mut token = Token::default();
        for (shard, domain, server, sequence) in gtids {
            token.add(shard, Gtid { domain, server, sequence });
        }
        prop_assert_eq!(Token::parse(token.to_string().as_bytes()), Ok(token));
    }
}
