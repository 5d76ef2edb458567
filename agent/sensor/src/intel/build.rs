//! From indicators in any order to the sorted tables.

use sekimori_wire::text::prefix;
use sekimori_wire::time::Timestamp;

use super::shared::Shared;
use super::{BYTES_MAX, Entry, FEEDS_MAX, FOREVER, Feed, Intel, Kind, print, text_at, value};

/// A note is a hint for people, not a report.
const NOTE_BYTES_MAX: usize = 128;
/// All notes together; what comes later has none.
const NOTES_BYTES_MAX: usize = 16 << 20;
/// For each four entries one start and one word of the filter, up to 3 MiB of both: beyond it the search in a bucket grows by
/// its logarithm, and the filter lets more pass.
const START_BITS_MAX: u32 = 18;
/// Starts and filter.
const INDEX_BYTES_MAX: usize = ((size_of::<u32>() + size_of::<u64>()) << START_BITS_MAX) + size_of::<u32>();

/// One indicator as a feed gives it.
#[derive(Clone, Copy, Debug)]
pub struct Indicator<'a> {
    /// What is listed.
    pub kind: Kind,
    /// As the feed writes it.
    pub value: &'a str,
    /// Percent.
    pub confidence: u8,
    /// When it stops being listed.
    pub expires: Option<Timestamp>,
    /// What the feed says of it.
    pub note: &'a str,
}

/// Why an indicator was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// Not an address or prefix.
    #[error("not an address or a prefix")]
    Address,
    /// An address that belongs to nobody or to everybody.
    #[error("an address that is private or reserved: it means another host in every network")]
    Reserved,
    /// More addresses than one operator has.
    #[error(
        "a prefix shorter than /{} (IPv4) or /{} (IPv6): it holds more than one operator",
        value::V4_LENGTH_MIN,
        value::V6_LENGTH_MIN
    )]
    TooBroad,
    /// Not a domain name.
    #[error("not a domain name in ASCII (write others in Punycode)")]
    Domain,
    /// A name under which strangers register.
    #[error("a public suffix, not a name that somebody registered")]
    Suffix,
    /// Not a URL of a web server.
    #[error("not a URL of the form http://HOST/PATH")]
    Url,
    /// Not a path.
    #[error("not a path of at least two characters that begins with `/`")]
    Path,
    /// Not a JA4.
    #[error("not a JA4 fingerprint")]
    Ja4,
    /// Not a SHA-256.
    #[error("not a SHA-256 in hexadecimal")]
    Certificate,
    /// Confidence is in percent.
    #[error("a confidence above 100")]
    Confidence,
    /// Longer than is compared.
    #[error("longer than {} bytes", value::VALUE_BYTES_MAX)]
    TooLong,
    /// No feed of this number.
    #[error("no such feed, or more than {FEEDS_MAX} of them")]
    Feed,
    /// No room.
    #[error("no room: indicators take more than {} MiB", BYTES_MAX >> 20)]
    Full,
}

/// Takes indicators.
#[derive(Debug)]
pub struct Builder {
    feeds: Vec<Feed>,
    entries: Vec<Entry>,
    texts: Vec<u8>,
    lengths: [u128; 2],
    notes_bytes: usize,
    /// The last note, which the next indicator often has too.
    last_note: u32,
    shared: Shared,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Nothing yet. The first text is empty: the note of those that have none.
    pub fn new() -> Self {
        Self {
            feeds: Vec::new(),
            entries: Vec::new(),
            texts: vec![0, 0],
            lengths: [0; 2],
            notes_bytes: 0,
            last_note: 0,
            shared: Shared::own(),
        }
    }

    /// A feed, for [`Builder::add`]; the number of the one of this name, if there is one.
    ///
    /// # Errors
    /// If there are too many.
    pub fn feed(&mut self, feed: Feed) -> Result<u16, Refused> {
        if let Some(at) = self.feeds.iter().position(|one| one.name == feed.name) {
            if let Some(one) = self.feeds.get_mut(at) {
                // Several files of one feed: as old as the oldest part of it.
                one.made = match (one.made, feed.made) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                one.max_age = one.max_age.or(feed.max_age);
            }
            return u16::try_from(at).map_err(|_cause| Refused::Feed);
        }
        if self.feeds.len() >= FEEDS_MAX {
            return Err(Refused::Feed);
        }
        self.feeds.push(feed);
        u16::try_from(self.feeds.len() - 1).map_err(|_cause| Refused::Feed)
    }

    /// The feeds so far.
    pub fn feeds(&self) -> &[Feed] {
        &self.feeds
    }

    /// Changes what is known of each feed.
    pub fn feeds_mut(&mut self) -> impl Iterator<Item = &mut Feed> {
        self.feeds.iter_mut()
    }

    /// Takes a prefix behind which many stand: a line of prefix, tab and operator. `false` if it is none, or there is no room.
    pub fn share(&mut self, line: &str) -> bool {
        self.shared.add(line)
    }

    /// Takes an indicator of a feed.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn add(&mut self, feed: u16, indicator: &Indicator<'_>) -> Result<(), Refused> {
        if usize::from(feed) >= self.feeds.len() {
            return Err(Refused::Feed);
        }
        if indicator.confidence > 100 {
            return Err(Refused::Confidence);
        }
        let key = value::key(indicator.kind, indicator.value)?;
        let entries = (self.entries.len() + 1) * size_of::<Entry>();
        let room = entries + self.texts.len() + key.len() + INDEX_BYTES_MAX;
        if room > BYTES_MAX {
            return Err(Refused::Full);
        }
        let fingerprint = match value::net_of(&key).filter(|_| indicator.kind == Kind::Address) {
            Some(net) => {
                let [v4, v6] = &mut self.lengths;
                // None is shorter than one bit.
                *(if net.addr().is_ipv4() { v4 } else { v6 }) |= 1 << net.prefix_len().saturating_sub(1);
                print::of_address(net.addr(), net.prefix_len())
            }
            None => print::of_text(indicator.kind, &key),
        };
        let text = self.push(&key)?;
        let note = self.note(indicator.note)?;
        let expires = indicator.expires.map_or(FOREVER, |at| u32::try_from(at.secs()).unwrap_or(FOREVER));
        let Indicator { kind, confidence, .. } = *indicator;
        self.entries.push(Entry { fingerprint, text, expires, note, feed, confidence, kind });
        Ok(())
    }

    fn push(&mut self, text: &[u8]) -> Result<u32, Refused> {
        let at = u32::try_from(self.texts.len()).map_err(|_cause| Refused::Full)?;
        let length = u16::try_from(text.len()).map_err(|_cause| Refused::TooLong)?;
        self.texts.extend(length.to_le_bytes());
        self.texts.extend(text);
        Ok(at)
    }

    fn note(&mut self, note: &str) -> Result<u32, Refused> {
        let note = prefix(note.trim(), NOTE_BYTES_MAX);
        if note.is_empty() || self.notes_bytes + note.len() > NOTES_BYTES_MAX {
            return Ok(0);
        }
        if text_at(&self.texts, self.last_note) != note.as_bytes() {
            self.notes_bytes += note.len();
            self.last_note = self.push(note.as_bytes())?;
        }
        Ok(self.last_note)
    }

    /// All that was taken, each value once for each feed: the surest and longest listing of it.
    pub fn build(self) -> Intel {
        let Self { feeds, mut entries, mut texts, lengths, shared, .. } = self;
        let of = |entry: &Entry| text_at(&texts, entry.text);
        entries.sort_unstable_by(|a, b| {
            let by_value = a.fingerprint.cmp(&b.fingerprint).then_with(|| of(a).cmp(of(b)));
            by_value.then_with(|| (a.kind, a.feed, a.text).cmp(&(b.kind, b.feed, b.text)))
        });
        entries.dedup_by(|later, kept| {
            let same = (later.fingerprint, later.kind, later.feed)
                == (kept.fingerprint, kept.kind, kept.feed)
                && of(later) == of(kept);
            if same {
                kept.confidence = kept.confidence.max(later.confidence);
                kept.expires = kept.expires.max(later.expires);
            }
            same
        });
        entries.shrink_to_fit();
        texts.shrink_to_fit();
        let bits =
            entries.len().checked_ilog2().map_or(1, |bits| bits.saturating_sub(2)).clamp(1, START_BITS_MAX);
        let shift = u64::BITS - bits;
        let starts = (0..=1_u64 << bits).map(|bucket| {
            let begins = entries.partition_point(|entry| entry.fingerprint >> shift < bucket);
            u32::try_from(begins).unwrap_or(u32::MAX)
        });
        let starts = starts.collect();
        let mut filter = vec![0; 1 << bits];
        let mut kinds = 0;
        for entry in &entries {
            kinds |= 1 << entry.kind as u8;
            let bucket = usize::try_from(entry.fingerprint >> shift).unwrap_or(usize::MAX);
            if let Some(word) = filter.get_mut(bucket) {
                *word |= print::mask(entry.fingerprint);
            }
        }
        Intel { feeds, entries, filter, starts, shift, texts, lengths, kinds, shared }
    }
}
