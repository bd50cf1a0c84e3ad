//! What is believed of the outside: which peers are proxies of ours, and how paths are read.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that begin alike: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether the address is one of them. An IPv4 address that is written as an IPv6 one is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => own.to_bits() == other.to_bits() & mask_v4(self.bits),
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() == other.to_bits() & mask_v6(self.bits),
            _ => false,
        }
    }
}

fn mask_v4(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

fn mask_v6(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a network, such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1");
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        let begin = match address {
            IpAddr::V4(address) => IpAddr::V4((address.to_bits() & mask_v4(bits)).into()),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & mask_v6(bits)).into()),
        };
        if begin != address {
            return Err(format!(
                "`{text}` has bits behind the prefix; {begin}/{bits} is the network that it is in"
            ));
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// How paths are brought into one form before they are routed. A zero byte and a backslash are always refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paths {
    /// `.` and `..` as segments, in whatever spelling.
    pub dot_segments: DotSegments,
    /// `//`.
    pub double_slashes: DoubleSlashes,
    /// `%2F`.
    pub encoded_slashes: EncodedSlashes,
}

/// What becomes of `.` and `..` in a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DotSegments {
    /// They are resolved (RFC 3986, section 5.2.4); a path that leads out of the root is refused, and so is one that hides
    /// `..` behind an encoded slash or backslash.
    #[default]
    Resolve,
    /// The path is refused.
    Reject,
    /// They reach the service as they are.
    Keep,
}

/// What becomes of `//` in a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DoubleSlashes {
    /// An empty segment between them, which a `**` may match.
    #[default]
    Keep,
    /// One slash.
    Merge,
    /// The path is refused.
    Reject,
}

/// What becomes of `%2F` in a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EncodedSlashes {
    /// A part of the segment, as `google.api.http` wants it.
    #[default]
    Keep,
    /// The path is refused.
    Reject,
    /// A slash, before everything else is looked at.
    Decode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_begins_alike() {
        let check = |network: &str, address: &str, expect| {
            let found = network.parse::<Network>().unwrap().contains(address.parse().unwrap());
            assert_eq!(found, expect, "{address} in {network}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::ffff:10.1.1.1", true);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("0.0.0.0/0", "255.1.1.1", true);
        check("0.0.0.0/0", "::1", false);
        check("2001:db8::/32", "2001:db8:ffff::", true);
        check("2001:db8::/32", "2001:db9::", false);
        check("::/0", "2001:db9::", true);
    }

    #[test]
    fn what_is_no_network_is_told() {
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::1/129", "a", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(wrong.parse::<Network>().unwrap_err().contains("not a network"), "{wrong}");
        }
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert!(error.contains("10.0.0.0/8 is the network"), "{error}");
    }
}
