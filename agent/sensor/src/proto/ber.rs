//! A cursor over definite-length BER and DER (ITU-T X.690), as Kerberos, LDAP and SNMP use it.
//!
//! It never descends by itself: a parser enters what it knows, so depth is bounded by the code that reads, not by the input.

/// Longest length that is believed; what claims more is not one of these protocols.
const LENGTH_MAX: usize = 1 << 28;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ber<'a>(pub(super) &'a [u8]);

/// How much a stream must hold before its first element is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Total {
    /// Tag, length and content together.
    Bytes(usize),
    /// The head is not whole yet.
    More,
    /// Indefinite, absurdly long or with a tag number of more than one byte: nothing that is read here.
    Impossible,
}

/// The length of tag, length and content of the element that `bytes` begin with.
pub(super) fn total_length(bytes: &[u8]) -> Total {
    match bytes {
        [] => Total::More,
        [tag, ..] if tag & 0x1f == 0x1f => Total::Impossible,
        [_] => Total::More,
        [_, short, ..] if *short < 0x80 => Total::Bytes(usize::from(*short).saturating_add(2)),
        [_, long, rest @ ..] => {
            let count = usize::from(long & 0x7f);
            if count == 0 || count > size_of::<u32>() {
                return Total::Impossible;
            }
            let Some(digits) = rest.get(..count) else { return Total::More };
            let length = digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
            if length > LENGTH_MAX {
                Total::Impossible
            } else {
                Total::Bytes(length.saturating_add(count).saturating_add(2))
            }
        }
    }
}

/// The length of an element's tag and length.
fn head_length(element: &[u8]) -> Option<usize> {
    match element.get(1)? {
        short if *short < 0x80 => Some(2),
        long => Some(usize::from(long & 0x7f).saturating_add(2)),
    }
}

impl<'a> Ber<'a> {
    /// The next element's tag and content; none at the end, and where what follows is broken or cut short.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let Total::Bytes(total) = total_length(self.0) else { return None };
        let (element, rest) = self.0.split_at_checked(total)?;
        self.0 = rest;
        Some((*element.first()?, element.get(head_length(element)?..)?))
    }

    /// The next element's tag and content, or as much of it as there is where it was cut short.
    pub(super) fn rest(&mut self) -> Option<(u8, &'a [u8])> {
        if let Some(whole) = self.next() {
            return Some(whole);
        }
        let Total::Bytes(_) = total_length(self.0) else { return None };
        let element = core::mem::take(&mut self.0);
        Some((*element.first()?, element.get(head_length(element)?..)?))
    }

    /// The next element's tag, without taking it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.peek()? != tag {
            return None;
        }
        self.next().map(|(_, content)| content)
    }

    /// As [`Self::expect`], to be read on.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self)
    }

    /// The content of the next element if it has this tag; otherwise nothing is taken.
    pub(super) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let content = ahead.expect(tag)?;
        *self = ahead;
        Some(content)
    }

    /// An INTEGER of at most eight bytes.
    pub(super) fn integer(&mut self) -> Option<i64> {
        self.expect(INTEGER).and_then(number)
    }

    /// An ENUMERATED of at most eight bytes.
    pub(super) fn enumerated(&mut self) -> Option<i64> {
        self.expect(ENUMERATED).and_then(number)
    }

    /// An OCTET STRING.
    pub(super) fn octets(&mut self) -> Option<&'a [u8]> {
        self.expect(OCTETS)
    }

    /// A BOOLEAN.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        self.expect(BOOLEAN).map(|content| content.iter().any(|byte| *byte != 0))
    }
}

/// The number that the content of an INTEGER or ENUMERATED is: two's complement, at most eight bytes.
pub(super) fn number(content: &[u8]) -> Option<i64> {
    let (first, _) = content.split_first()?;
    if content.len() > size_of::<i64>() {
        return None;
    }
    let sign = if first & 0x80 == 0 { 0 } else { -1 };
    Some(content.iter().fold(sign, |sum: i64, byte| sum << 8 | i64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_follow_one_another() {
        let mut ber = Ber(b"\x02\x01\x05\x04\x81\x02ab\x30\x82\x00\x03\x0a\x01\x02\x01\x01\xff");
        assert_eq!(ber.integer(), Some(5));
        assert_eq!(ber.octets(), Some(&b"ab"[..]));
        assert_eq!(ber.peek(), Some(SEQUENCE));
        assert_eq!(ber.optional(INTEGER), None);
        assert_eq!(ber.enter(SEQUENCE).and_then(|mut inner| inner.enumerated()), Some(2));
        assert_eq!(ber.boolean(), Some(true));
        assert!(ber.is_empty());
        assert_eq!(ber.next(), None);
    }

    #[test]
    fn numbers_have_signs() {
        assert_eq!(number(b"\xff"), Some(-1));
        assert_eq!(number(b"\x00\xff"), Some(255));
        assert_eq!(number(b"\x80\x00"), Some(-32768));
        assert_eq!(number(b""), None);
        assert_eq!(number(&[0x7f; 8]), Some(0x7f7f_7f7f_7f7f_7f7f));
        assert_eq!(number(&[1; 9]), None);
    }

    #[test]
    fn a_stream_knows_how_much_it_waits_for() {
        assert_eq!(total_length(b""), Total::More);
        assert_eq!(total_length(b"\x30"), Total::More);
        assert_eq!(total_length(b"\x30\x05"), Total::Bytes(7));
        assert_eq!(total_length(b"\x30\x82\x01"), Total::More);
        assert_eq!(total_length(b"\x30\x82\x01\x00"), Total::Bytes(260));
        assert_eq!(total_length(b"\x30\x84\x00\x00\x00\x7a"), Total::Bytes(128));
        assert_eq!(total_length(b"\x30\x80"), Total::Impossible, "indefinite");
        assert_eq!(total_length(b"\x30\x85\x00"), Total::Impossible);
        assert_eq!(total_length(b"\x30\x84\xff\xff\xff\xff"), Total::Impossible);
        assert_eq!(total_length(b"\x1f"), Total::Impossible, "a tag number of several bytes");
    }

    #[test]
    fn what_is_cut_short_is_not_taken() {
        let mut ber = Ber(b"\x04\x05ab");
        assert_eq!(ber.next(), None);
        assert_eq!(ber.0.len(), 4);
        assert_eq!(ber.rest(), Some((OCTETS, &b"ab"[..])), "unless what there is will do");
        assert_eq!(ber.rest(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            let mut ber = Ber(&bytes);
            let mut left = bytes.len();
            while ber.next().is_some() {
                prop_assert!(ber.0.len() < left);
                left = ber.0.len();
            }
        }
    }
}
