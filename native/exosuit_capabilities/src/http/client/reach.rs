//! The addresses that a request may reach, after its host was resolved.
//!
//! Private, loopback, link-local and other special addresses belong to the machine and the network of the host. A
//! request reaches them only if its list names the host itself, or a range with the address. Without this, a public
//! name that resolves to 127.0.0.1 would open local services to guests.
//!
//! | list of the link | addresses that are reached |
//! |---|---|
//! | names the host itself | all of the host's |
//! | `*` or `*.example.com` | public ones |
//! | the same, and `10.0.0.0/8` | public ones, and those of the range |
//! | only ranges | for targets that are addresses in a range |
//!
//! The reach is part of the mark of a connection, as text: two links with different lists never
//! share one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use data_encoding::HEXLOWER;
use exosuit_core::{Code, Error};

/// The addresses that a request may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them: the list names the host.
    All,
    /// Public addresses, and those in these ranges.
    Public(Vec<Range>),
}

/// A range of addresses, `10.0.0.0/8`. IPv4 addresses that are mapped to IPv6 count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    address: IpAddr,
    prefix: u8,
}

impl Range {
    /// Parses `ADDRESS/PREFIX`. `None` for anything else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// Whether an address is in the range.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = u128::from(own.to_bits() ^ other.to_bits());
                differ.checked_shr(32 - u32::from(self.prefix)) == Some(0)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ
                    .checked_shr(128 - u32::from(self.prefix))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

impl Reach {
    /// Whether an address may be reached.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Public(ranges) => {
                !is_special(address) || ranges.iter().any(|range| range.holds(address))
            }
        }
    }

    /// Parses the text of [`Display`](fmt::Display).
    pub(crate) fn parse(mark: &str) -> Option<Self> {
        if mark == "all" {
            return Some(Self::All);
        }
        let bytes = HEXLOWER
            .decode(mark.strip_prefix("public")?.as_bytes())
            .ok()?;
        let range = |bytes: &[u8]| {
            let (prefix, address) = bytes.split_first()?;
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?);
            let (address, prefix) = (address.to_canonical(), *prefix);
            Some(Range { address, prefix })
        };
        bytes
            .chunks(17)
            .map(range)
            .collect::<Option<_>>()
            .map(Self::Public)
    }
}

/// A text that fits into the user part of an authority.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Public(ranges) = self else {
            return f.write_str("all");
        };
        f.write_str("public")?;
        for Range { address, prefix } in ranges {
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => *address,
            };
            write!(f, "{prefix:02x}{}", HEXLOWER.encode(&address.octets()))?;
        }
        Ok(())
    }
}

/// The error for a host whose every address is out of reach.
pub(crate) fn out_of_reach(host: &str, address: IpAddr) -> Error {
    let detail = format!(
        "requests to {host} are not allowed: {address} is a private, loopback, link-local or other \
         special address; name the host itself, or a range such as {}, in allowed_hosts",
        example(address)
    );
    Error::new(Code::Denied, detail)
}

/// A range with only this address, for the error.
fn example(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}/32:*"),
        IpAddr::V6(address) => format!("[{address}/128]:*"),
    }
}

/// Whether an address belongs to this machine, to a private network, or is reserved.
fn is_special(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => is_special_v6(address),
    }
}

/// The special addresses of IPv4.
fn is_special_v4(address: Ipv4Addr) -> bool {
    // 0/8 is this machine, 100.64/10 the network of a provider (CGNAT), 192.0.0/24 and 198.18/15 are
    // for protocols and benchmarks, 240/4 is reserved. 168.63.129.16 is the wire server of Azure:
    // public by its number, but it gives each virtual machine the secrets of that machine.
    let [a, b, c, d] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || [a, b, c, d] == [168, 63, 129, 16]
        || a >= 240
}

/// The special addresses of IPv6, and those that embed a special one of IPv4.
fn is_special_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, .., high, low] = address.segments();
    let embedded = |high: u16, low: u16| {
        is_special_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        // Site-local, once.
        || first & 0xffc0 == 0xfec0
        // An IPv4 address, compatible, translated (SIIT, NAT64), or tunnelled (6to4).
        || (address.to_bits() >> 32 == 0 && embedded(high, low))
        || (address.to_bits() >> 32 == 0xffff_0000 && embedded(high, low))
        || (address.to_bits() >> 32 == 0x0064_ff9b << 64 && embedded(high, low))
        || (first == 0x2002 && embedded(second, third))
        // NAT64 of a network of its own, and Teredo.
        || (first == 0x64 && second == 0xff9b && third == 1)
        || (first == 0x2001 && second == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn special_addresses_are_told_from_public_ones() {
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:168.63.129.16",
            "::ffff:0:127.0.0.1",
            "::ffff:0:168.63.129.16",
            "::ffff:0:169.254.169.254",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:1::1",
        ] {
            assert!(is_special(address(special)), "{special}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "168.63.129.15",
            "168.63.129.17",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2002:808:808::",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
            "::ffff:0:8.8.8.8",
            "2001:4860::1",
        ] {
            assert!(!is_special(address(public)), "{public}");
        }
    }

    #[test]
    fn a_range_holds_what_begins_like_it() {
        for (range, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.1.1", "::ffff:10.1.1.1"][..],
                &["11.0.0.1", "::1"][..],
            ),
            ("127.0.0.1/32", &["127.0.0.1"], &["127.0.0.2"]),
            ("0.0.0.0/0", &["1.2.3.4", "255.255.255.255"], &["::1"]),
            ("fd00::/8", &["fd00::1", "fdff::"], &["fc00::1", "10.0.0.1"]),
            ("::/0", &["::1", "ff00::"], &["10.0.0.1"]),
        ] {
            let range = Range::read(range).expect(range);
            for inside in inside {
                assert!(range.holds(address(inside)), "{range:?} {inside}");
            }
            for outside in outside {
                assert!(!range.holds(address(outside)), "{range:?} {outside}");
            }
        }
        for bad in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0",
            "10.0.0/8",
            "a/8",
            "10.0.0.0/",
            "/8",
        ] {
            assert!(Range::read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_reach_is_read_as_it_was_written() {
        let ranges = ["10.0.0.0/8", "fd00::/8"].map(|text| Range::read(text).expect(text));
        for reach in [
            Reach::All,
            Reach::Public(Vec::new()),
            Reach::Public(ranges.into()),
        ] {
            assert_eq!(Reach::parse(&reach.to_string()), Some(reach));
        }
        for bad in ["", "al", "public1", "publicxx", "public00"] {
            assert_eq!(Reach::parse(bad), None, "{bad}");
        }
    }
}
