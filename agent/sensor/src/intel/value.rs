//! What feeds write, in the one form that is compared; and what is refused because it would match too much.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Kind, Refused};
use crate::domain::registered_domain;
use crate::segment::{is_private, is_unicast};

/// The parsers keep no more of a request's target.
pub(super) const VALUE_BYTES_MAX: usize = 2_048;
/// The largest block that one organisation holds in IANA's "IPv4 Address Space Registry".
pub(super) const V4_LENGTH_MIN: u8 = 8;
/// As much as a national carrier has: `2003::/19` of Deutsche Telekom, `2a01:c000::/19` of France Télécom (RIPE NCC, `inet6num`).
/// A few organisations were given more since; that all of such a block is malicious is a mistake whoever holds it.
pub(super) const V6_LENGTH_MIN: u8 = 19;
/// RFC 1035, 2.3.4.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The form that is compared.
pub(super) fn key(kind: Kind, text: &str) -> Result<Vec<u8>, Refused> {
    let text = text.trim();
    if text.len() > VALUE_BYTES_MAX {
        return Err(Refused::TooLong);
    }
    match kind {
        Kind::Address => address(text),
        Kind::Domain | Kind::Sni => name(&refanged(text)).map(String::into_bytes),
        Kind::Url => url(&refanged(text)),
        Kind::Path if text.len() > 1 && text.starts_with('/') => Ok(text.as_bytes().to_vec()),
        Kind::Path => Err(Refused::Path),
        Kind::Ja4 if is_ja4(text.as_bytes()) => Ok(text.as_bytes().to_vec()),
        Kind::Ja4 => Err(Refused::Ja4),
        Kind::Certificate => certificate(text),
    }
}

/// As a feed would write it.
pub(super) fn shown(kind: Kind, key: &[u8]) -> String {
    match kind {
        Kind::Address => net_of(key).map_or_else(String::new, |net| {
            if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
        }),
        Kind::Certificate => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        Kind::Url => format!("http://{}", String::from_utf8_lossy(key)),
        Kind::Domain | Kind::Sni | Kind::Path | Kind::Ja4 => String::from_utf8_lossy(key).into_owned(),
    }
}

/// A host and the target of a request in the form in which URLs are listed.
pub fn url_key(host: &str, target: &str) -> String {
    // Through a proxy the target is a URL itself.
    let target = match target.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?']).map_or("", |at| rest.get(at..).unwrap_or_default()),
        None => target,
    };
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    format!("{}{slash}{target}", host.to_ascii_lowercase())
}

/// The first address of the network of this length that an address lies in.
pub(super) fn network(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let host_bits = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & !host_bits).into()
        }
        IpAddr::V6(v6) => {
            let host_bits = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & !host_bits).into()
        }
    }
}

/// The length and the bytes of the network's address.
pub(super) fn prefix_key(net: IpNet) -> PrefixKey {
    let mut bytes = [0; 17];
    bytes[0] = net.prefix_len();
    let mut fill = |octets: &[u8]| bytes.iter_mut().skip(1).zip(octets).for_each(|(to, from)| *to = *from);
    let length = match net.network() {
        IpAddr::V4(v4) => {
            fill(&v4.octets());
            5
        }
        IpAddr::V6(v6) => {
            fill(&v6.octets());
            17
        }
    };
    PrefixKey { bytes, length }
}

/// See [`prefix_key`]; made for each look-up, so not on the heap.
pub(super) struct PrefixKey {
    bytes: [u8; 17],
    length: usize,
}

impl PrefixKey {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The network that [`prefix_key`] made this key of.
pub(super) fn net_of(key: &[u8]) -> Option<IpNet> {
    let (length, octets) = key.split_first()?;
    let address = match <[u8; 4]>::try_from(octets) {
        Ok(octets) => IpAddr::from(octets),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
    };
    IpNet::new(address, *length).ok()
}

fn address(text: &str) -> Result<Vec<u8>, Refused> {
    let text = refanged(text);
    let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_cause| Refused::Address)?.to_canonical()),
    };
    let net = net.trunc();
    let shortest = if net.addr().is_ipv4() { V4_LENGTH_MIN } else { V6_LENGTH_MIN };
    if net.prefix_len() < shortest {
        return Err(Refused::TooBroad);
    }
    if is_reserved(net.network()) || is_reserved(net.broadcast()) {
        return Err(Refused::Reserved);
    }
    Ok(prefix_key(net).as_slice().to_vec())
}

/// Addresses of no particular host (RFC 6890), but for those of documentation, which no network has.
fn is_reserved(address: IpAddr) -> bool {
    let shared = match address {
        // RFC 6598 (between provider and customer), "this network" and class E (RFC 1122).
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            a == 0 || a >= 240 || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(_) => false,
    };
    shared || is_private(address) || !is_unicast(address)
}

/// Feeds write what must not be clicked as `hxxp://evil[.]example`.
fn refanged(text: &str) -> String {
    let mut text = text.to_owned();
    if !text.contains(['[', '(', '{'])
        && !text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("hxxp"))
    {
        return text;
    }
    for (from, to) in [
        ("[.]", "."),
        ("(.)", "."),
        ("{.}", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("[:]", ":"),
        ("[://]", "://"),
    ] {
        text = text.replace(from, to);
    }
    match text.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("hxxp") => {
            format!("http{}", text.get(4..).unwrap_or_default())
        }
        _ => text,
    }
}

fn name(text: &str) -> Result<String, Refused> {
    let text = text.strip_prefix("*.").unwrap_or(text);
    let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(good);
    if text.len() > NAME_BYTES_MAX
        || !text.contains('.')
        || !text.split('.').all(label)
        || text.parse::<IpAddr>().is_ok()
    {
        return Err(Refused::Domain);
    }
    if registered_domain(&text).is_none() {
        return Err(Refused::Suffix);
    }
    Ok(text)
}

fn url(text: &str) -> Result<Vec<u8>, Refused> {
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|one| scheme.eq_ignore_ascii_case(one)) => rest,
        Some(_) => return Err(Refused::Url),
        None => text,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).ok_or(Refused::Url)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    match host.parse::<IpAddr>() {
        // On a private address a URL says more than the address does, but still means another host in every network.
        Ok(address) if is_reserved(address) => return Err(Refused::Reserved),
        Ok(_) => {}
        // A host alone may be a suffix under which strangers have pages: the path tells which.
        Err(_) => match name(host) {
            Ok(_) => {}
            Err(Refused::Suffix) if target.len() > 1 => {}
            Err(_) => return Err(Refused::Url),
        },
    }
    if !target.is_ascii() || target.contains(char::is_whitespace) {
        return Err(Refused::Url);
    }
    Ok(url_key(host, target).into_bytes())
}

/// `a_b_c` of 10, 12 and 12 characters (the specification of JA4).
fn is_ja4(text: &[u8]) -> bool {
    let hex = |part: &[u8]| {
        part.len() == 12 && part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
    };
    let mut parts = text.split(|byte| *byte == b'_');
    let first = parts.next().is_some_and(|part| {
        part.len() == 10
            && part.iter().all(u8::is_ascii_alphanumeric)
            && part.first().is_some_and(|kind| b"tqd".contains(kind))
    });
    first && parts.next().is_some_and(hex) && parts.next().is_some_and(hex) && parts.next().is_none()
}

fn certificate(text: &str) -> Result<Vec<u8>, Refused> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b':' | b' ')).collect();
    if digits.len() != 64 {
        return Err(Refused::Certificate);
    }
    let pairs = digits.chunks_exact(2).map(|pair| {
        let pair = core::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or(Refused::Certificate)
}
