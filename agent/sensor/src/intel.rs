//! Threat intelligence in memory: up to millions of indicators, looked up when a flow begins or names something, never for
//! each packet.
//!
//! ```text
//! filter, by leading bits of the fingerprint ─► one word that says "no" to all but one in a hundred of what is not listed
//! starts, by the same bits ─► where to begin looking: about four entries from the right one
//! entries, by fingerprint ─► 24 bytes each: fingerprint, place of the text, expiry, note, feed, confidence, kind
//! texts ─► every value and note, one after another: what a fingerprint found is compared in full
//! ```
//!
//! A million indicators of 25 characters take about 57 MiB; [`BYTES_MAX`] bounds it. The fingerprint only finds the place:
//! since the whole value is compared, nothing matches that is not listed. An address is looked up once for each prefix
//! length that occurs; a name once for itself and once for each name above it, all in one pass. Kinds of which nothing is
//! listed are not looked up at all.

mod build;
mod print;
mod shared;
#[cfg(test)]
mod tests;
mod value;

use core::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

pub use build::{Builder, Indicator, Refused};
pub use value::url_key;

/// The most that indicators may take, indexes included.
pub const BYTES_MAX: usize = 128 << 20;
/// Feeds that can be told apart.
pub const FEEDS_MAX: usize = 256;
/// Names above a name that are looked up. Registered names have two or three labels, and hosts below them rarely more
/// than four: a name of a hundred labels must not cost a hundred look-ups.
const PARENTS_MAX: usize = 8;
/// Of IPv4 only whole addresses are listed: in [`Intel::lengths`].
const HOSTS_ONLY: u128 = 1 << 31;
/// Never runs out.
const FOREVER: u32 = u32::MAX;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An address or prefix.
    Address,
    /// A domain with all below it: in DNS, in TLS and QUIC server names, in HTTP hosts.
    Domain,
    /// A TLS or QUIC server name, exactly.
    Sni,
    /// A host and a path, with the query if one is given. The scheme and port are not compared.
    Url,
    /// A path of any web server.
    Path,
    /// JA4 of a TLS client.
    Ja4,
    /// SHA-256 of a certificate.
    Certificate,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::Address, Self::Domain, Self::Sni, Self::Url, Self::Path, Self::Ja4, Self::Certificate];

    /// As files name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "ip",
            Self::Domain => "domain",
            Self::Sni => "sni",
            Self::Url => "url",
            Self::Path => "url_path",
            Self::Ja4 => "ja4",
            Self::Certificate => "cert_sha256",
        }
    }
}

/// Where indicators come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// As findings name it.
    pub name: String,
    /// When its content was put together, if it says so.
    pub made: Option<Timestamp>,
    /// After so long it should have been replaced.
    pub max_age: Option<Duration>,
    /// The most that a match of it alone can be.
    pub severity_max: Severity,
}

impl Feed {
    /// A feed that says nothing of its age.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), made: None, max_age: None, severity_max: Severity::HIGH }
    }

    /// It should have been replaced by now.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        match (self.made, self.max_age) {
            (Some(made), Some(max)) => now.since(made) > max,
            (None, _) | (_, None) => false,
        }
    }
}

/// Every indicator.
#[derive(Debug)]
pub struct Intel {
    feeds: Vec<Feed>,
    /// In order of fingerprint, then text, then feed.
    entries: Vec<Entry>,
    /// For each value of the fingerprint's leading bits, the bits of its entries (see [`print::mask`]).
    filter: Vec<u64>,
    /// For each of them, where its entries begin; one more ends the last.
    starts: Vec<u32>,
    /// How far a fingerprint is shifted to leave its leading bits.
    shift: u32,
    /// Each text behind its length in two bytes.
    texts: Vec<u8>,
    /// Prefix lengths that occur less one, for IPv4 and IPv6.
    lengths: [u128; 2],
    /// Kinds that occur.
    kinds: u8,
    shared: shared::Shared,
}

/// One indicator of one feed.
#[derive(Clone, Copy, Debug)]
struct Entry {
    fingerprint: u64,
    /// Where its text begins.
    text: u32,
    /// Seconds since 1970, or [`FOREVER`].
    expires: u32,
    /// Where its note begins.
    note: u32,
    feed: u16,
    confidence: u8,
    kind: Kind,
}

const _: () = assert!(size_of::<Entry>() == 24, "a million entries are counted on");

/// Something listed, and what the feeds say of it.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'i> {
    /// The same for the same value as long as these indicators are in force.
    pub place: u32,
    /// What is listed.
    pub kind: Kind,
    /// The feed that is surest of it.
    pub feed: &'i Feed,
    /// Feeds that list it.
    pub feeds: usize,
    /// Percent.
    pub confidence: u8,
    /// When that feed no longer lists it.
    pub expires: Option<Timestamp>,
    /// What that feed says of it.
    pub note: &'i str,
    key: &'i [u8],
}

impl Hit<'_> {
    /// As a feed would write it.
    pub fn value(&self) -> String {
        value::shown(self.kind, self.key)
    }
}

impl Default for Intel {
    fn default() -> Self {
        Builder::new().build()
    }
}

impl Intel {
    /// There is nothing to look for.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Indicators, each counted once for each feed that lists it.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where they come from.
    pub fn feeds(&self) -> &[Feed] {
        &self.feeds
    }

    /// Indicators of each feed and kind, in order of both.
    pub fn counts(&self) -> std::collections::BTreeMap<(usize, Kind), u64> {
        let mut counts = std::collections::BTreeMap::new();
        for entry in &self.entries {
            *counts.entry((usize::from(entry.feed), entry.kind)).or_default() += 1;
        }
        counts
    }

    /// Every indicator of every feed, by feed and then by fingerprint.
    pub fn iter(&self) -> impl Iterator<Item = Hit<'_>> {
        (0..self.feeds.len()).flat_map(move |feed| {
            let own = self.entries.iter().filter(move |entry| usize::from(entry.feed) == feed);
            own.filter_map(|entry| self.hit(0, entry, 1))
        })
    }

    /// Bytes held.
    pub const fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.starts.capacity() * size_of::<u32>()
            + self.filter.capacity() * size_of::<u64>()
            + self.texts.capacity()
    }

    /// Something of this kind is listed.
    pub const fn has(&self, kind: Kind) -> bool {
        self.kinds >> kind as u8 & 1 == 1
    }

    /// An address that is listed, or lies in a prefix that is. The surest feed answers for it.
    pub fn address(&self, address: IpAddr, now: Timestamp) -> Option<Hit<'_>> {
        let address = address.to_canonical();
        let [v4, v6] = self.lengths;
        // Most lists have single addresses only, and most addresses are on none.
        if v4 == HOSTS_ONLY
            && let IpAddr::V4(_) = address
            && !self.may_list(print::of_address(address, 32))
        {
            return None;
        }
        let mut lengths = if address.is_ipv4() { v4 } else { v6 };
        let mut best: Option<Hit<'_>> = None;
        while lengths != 0 {
            let longest = 127 - lengths.leading_zeros();
            lengths &= !(1 << longest);
            let length = u8::try_from(longest + 1).unwrap_or(u8::MAX);
            let network = value::network(address, length);
            let print = print::of_address(network, length);
            if !self.may_list(print) {
                continue;
            }
            let Ok(net) = IpNet::new(network, length) else { continue };
            if let Some(found) = self.find(Kind::Address, print, value::prefix_key(net).as_slice(), now) {
                best = Some(match best {
                    None => found,
                    Some(best) => {
                        let surer = if found.confidence > best.confidence { found } else { best };
                        // A feed that lists the prefix and the address counts twice at most here: it is one judgement
                        // more than none.
                        let others = usize::from(found.feed != best.feed);
                        Hit { feeds: best.feeds.max(found.feeds).max(1 + others), ..surer }
                    }
                });
            }
        }
        best
    }

    /// A name that is listed, or lies below one that is. Names are in lower case, without the final dot.
    pub fn domain(&self, name: &str, now: Timestamp) -> Option<Hit<'_>> {
        if !self.has(Kind::Domain) {
            return None;
        }
        let name = name.as_bytes();
        let mut tail = print::Tail::EMPTY;
        // Where the names above begin that the filter lets pass, the highest first.
        let mut above = [(0, 0); PARENTS_MAX];
        let (mut dots, mut passed) = (0, 0);
        for (at, byte) in name.iter().enumerate().rev() {
            if *byte == b'.' && dots < PARENTS_MAX {
                dots += 1;
                if self.may_list(tail.print())
                    && let Some(one) = above.get_mut(passed)
                {
                    *one = (at + 1, tail.print());
                    passed += 1;
                }
            }
            tail.prepend(*byte);
        }
        let find = |(at, print): (usize, u64)| self.find(Kind::Domain, print, name.get(at..)?, now);
        let own = if self.may_list(tail.print()) { find((0, tail.print())) } else { None };
        // The nearest first: what is listed below says more than what is listed above.
        own.or_else(|| above.iter().take(passed).rev().find_map(|one| find(*one)))
    }

    /// Something that is listed as it is: a server name, a URL (see [`url_key`]), a path, a JA4.
    pub fn exact(&self, kind: Kind, text: &str, now: Timestamp) -> Option<Hit<'_>> {
        self.look_up(kind, text.as_bytes(), now)
    }

    /// A certificate that is listed.
    pub fn certificate(&self, sha256: &[u8; 32], now: Timestamp) -> Option<Hit<'_>> {
        self.look_up(Kind::Certificate, sha256, now)
    }

    /// The place in `other` of what is listed here at this place, if it is still listed there.
    pub fn place_in(&self, place: u32, other: &Self) -> Option<u32> {
        let entry = self.entries.get(place as usize)?;
        other.place(entry.kind, entry.fingerprint, self.text(entry.text))
    }

    /// Who serves many from this address, if somebody is known to: one feed's word is not enough for it.
    pub fn shared(&self, address: IpAddr) -> Option<&str> {
        self.shared.operator(address.to_canonical())
    }

    fn look_up(&self, kind: Kind, key: &[u8], now: Timestamp) -> Option<Hit<'_>> {
        if !self.has(kind) {
            return None;
        }
        let print = print::of_text(kind, key);
        if self.may_list(print) { self.find(kind, print, key, now) } else { None }
    }

    /// What has this fingerprint may be listed; never says "no" to what is.
    fn may_list(&self, print: u64) -> bool {
        let mask = print::mask(print);
        usize::try_from(print >> self.shift)
            .ok()
            .and_then(|bucket| self.filter.get(bucket))
            .is_some_and(|word| word & mask == mask)
    }

    fn find(&self, kind: Kind, print: u64, key: &[u8], now: Timestamp) -> Option<Hit<'_>> {
        let place = self.place(kind, print, key)?;
        let is_same =
            |entry: &&Entry| (entry.fingerprint, entry.kind) == (print, kind) && self.text(entry.text) == key;
        let seconds = now.secs();
        let (mut feeds, mut best) = (0, None::<&Entry>);
        for entry in self.entries.get(place as usize..)?.iter().take_while(is_same) {
            if entry.expires == FOREVER || u64::from(entry.expires) > seconds {
                feeds += 1;
                best = Some(best.filter(|best| best.confidence >= entry.confidence).unwrap_or(entry));
            }
        }
        self.hit(place, best?, feeds)
    }

    /// The first entry of a value.
    fn place(&self, kind: Kind, print: u64, key: &[u8]) -> Option<u32> {
        let bucket = usize::try_from(print >> self.shift).ok()?;
        let (from, to) = (*self.starts.get(bucket)?, *self.starts.get(bucket + 1)?);
        let entries = self.entries.get(from as usize..to as usize)?;
        // Texts are only read where fingerprints agree.
        let first = entries.partition_point(|entry| {
            let by_value = entry.fingerprint.cmp(&print).then_with(|| self.text(entry.text).cmp(key));
            by_value.then(entry.kind.cmp(&kind)).is_lt()
        });
        let found = entries.get(first)?;
        let is_it = (found.fingerprint, found.kind) == (print, kind) && self.text(found.text) == key;
        is_it.then(|| u32::try_from(first).ok()?.checked_add(from))?
    }

    fn hit(&self, place: u32, entry: &Entry, feeds: usize) -> Option<Hit<'_>> {
        Some(Hit {
            place,
            kind: entry.kind,
            feed: self.feeds.get(usize::from(entry.feed))?,
            feeds,
            confidence: entry.confidence,
            expires: (entry.expires != FOREVER).then(|| Timestamp::from_secs(entry.expires.into())),
            note: core::str::from_utf8(self.text(entry.note)).unwrap_or_default(),
            key: self.text(entry.text),
        })
    }

    fn text(&self, at: u32) -> &[u8] {
        text_at(&self.texts, at)
    }
}

fn text_at(texts: &[u8], at: u32) -> &[u8] {
    let at = at as usize;
    let length =
        texts.get(at..at + 2).and_then(|length| length.try_into().ok()).map_or(0, u16::from_le_bytes);
    texts.get(at + 2..at + 2 + usize::from(length)).unwrap_or_default()
}
