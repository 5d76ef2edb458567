//! Names that carry data in good faith.
//!
//! Reputation services ask questions by name: antivirus products send hashes, mail servers the reversed address of a
//! sender. Each entry is a public service with a page that describes the look-up.

use crate::domain::ends;

/// Services whose look-ups carry data, by the suffix they are asked under.
fn is_service(end: &str) -> bool {
    matches!(
        end,
        "avqs.mcafee.com" // McAfee Global Threat Intelligence file reputation
            | "avts.mcafee.com" // the same
            | "sophosxl.net" // Sophos Extensible List
            | "e5.sk" // ESET LiveGrid
            | "eset.com" // the same
            | "trendmicro.com" // Trend Micro Smart Protection
            | "surfright.nl" // HitmanPro
            | "hash.cymru.com" // Team Cymru malware hash registry
            | "asn.cymru.com" // Team Cymru address to ASN
            | "spamhaus.org" // DNSBL
            | "spamhaus.net" // DNSBL, keyed
            | "spamcop.net" // DNSBL
            | "barracudacentral.org" // DNSBL
            | "sorbs.net" // DNSBL
            | "uribl.com" // URI block list
            | "surbl.org" // URI block list
            | "dnswl.org" // DNS white list
            | "senderbase.org" // Cisco sender reputation
    )
}

/// Labels of the longest of [`is_service`].
const LABELS_MAX: usize = 3;

/// A reverse look-up, a local name, a reversed address or a known service.
pub(super) fn is_harmless(name: &str, below: &str) -> bool {
    let known = |end: &str| matches!(end, "arpa" | "local" | "localhost") || is_service(end);
    ends(name, LABELS_MAX).any(known) || is_reversed_address(below)
}

/// `4.3.2.1.list` (RFC 5782, 2.1) or the nibbles of an IPv6 address (2.4).
fn is_reversed_address(below: &str) -> bool {
    let rest = 1 + below.bytes().filter(|byte| *byte == b'.').count();
    if rest < 4 {
        return false;
    }
    let labels = |is: fn(&str) -> bool| below.split('.').take_while(|label| is(label)).count();
    let octet = |label: &str| label.len() <= 3 && label.parse::<u8>().is_ok();
    let nibble = |label: &str| label.len() == 1 && label.bytes().all(|byte| byte.is_ascii_hexdigit());
    (labels(octet) == 4 && rest <= 6) || (labels(nibble) == 32 && rest <= 34)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_reverse_look_ups_are_harmless() {
        for (name, below, harmless) in [
            ("2.0.0.127.zen.spamhaus.org", "2.0.0.127.zen", true),
            ("1.2.0.192.in-addr.arpa", "1.2.0", true),
            ("4.3.2.1.bl.example.com", "4.3.2.1.bl", true),
            ("4.3.2.1.5.example.com", "4.3.2.1.5", false),
            ("0123.avqs.mcafee.com", "0123.avqs", true),
            ("notsophosxl.net", "", false),
            ("deadbeef.example.com", "deadbeef", false),
        ] {
            assert_eq!(is_harmless(name, below), harmless, "{name}");
        }
    }
}
