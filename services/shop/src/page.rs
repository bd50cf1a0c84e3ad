//! Page tokens: where a list goes on, as text that means nothing to its holder.
//!
//! A token pins the last order that was shown and not an offset, so that orders created between two pages are neither
//! repeated nor push others out of sight. It is bound to the user it was made for. The checksum tells a damaged token
//! from a good one; it is no secret, since the token opens nothing that its user id does not open.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The layout below; another number is another layout.
const VERSION: u8 = 1;
/// version 1, user 8, last id 8, checksum 4.
const LEN: usize = 21;

/// The text that continues a list of `user` after the order `last`.
pub(crate) fn encode(user: i64, last: i64) -> String {
    let mut token = [0; LEN];
    token[0] = VERSION;
    token[1..9].copy_from_slice(&user.to_be_bytes());
    token[9..17].copy_from_slice(&last.to_be_bytes());
    let sum = checksum(&token[..17]);
    token[17..].copy_from_slice(&sum.to_be_bytes());
    URL_SAFE_NO_PAD.encode(token)
}

/// The last order that was shown; `None` for anything that [`encode`] did not make for this user.
pub(crate) fn decode(token: &str, user: i64) -> Option<i64> {
    let mut bytes = [0; LEN];
    let len = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).ok()?;
    let (body, sum) = bytes.split_at(17);
    let intact = len == LEN && sum == checksum(body).to_be_bytes();
    let mine = body[0] == VERSION && body[1..9] == user.to_be_bytes();
    let last = i64::from_be_bytes(body[9..].try_into().ok()?);
    (intact && mine).then_some(last)
}

/// FNV-1a, 32 bits (draft-eastlake-fnv): stable over releases, which the hashers of the standard library are not.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_the_last_id_of_its_user_alone() {
        let token = encode(7, 1234567890123);
        assert_eq!(decode(&token, 7), Some(1234567890123));
        assert_eq!(decode(&token, 8), None);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{token}");
    }

    #[test]
    fn the_format_is_fixed() {
        assert_eq!(encode(1, 2), "AQAAAAAAAAABAAAAAAAAAAJrrRql");
    }

    #[test]
    fn every_change_of_one_character_is_noticed() {
        let token = encode(42, 77);
        for at in 0..token.len() {
            for other in ['A', 'Z', '0', '_', '='] {
                let mut changed: Vec<char> = token.chars().collect();
                if changed[at] != other {
                    changed[at] = other;
                    let changed: String = changed.into_iter().collect();
                    assert_eq!(decode(&changed, 42), None, "{changed}");
                }
            }
        }
    }

    #[test]
    fn garbage_is_refused() {
        for token in
            ["", "A", "?", "AQAAAAAAAAABAAAAAAAAAAI", &"A".repeat(28), &"A".repeat(4096), "\u{0}", "é"]
        {
            assert_eq!(decode(token, 0), None, "{token}");
        }
    }
}
