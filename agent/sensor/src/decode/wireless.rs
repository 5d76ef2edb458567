//! IEEE 802.11: data frames that are not encrypted, alone or aggregated (A-MSDU), behind the headers that drivers add.

use super::tags::{Next, walk};
use super::{Context, Layer, LayerContent, Met, Reason, Skip, Span, Step, half};

const SMALL: Skip = Skip::link("decoder.ieee80211.pkt_too_small");
/// First byte of the frame control: version 0, type 2 (data).
const VERSION_AND_TYPE: u8 = 0x0f;
const DATA: u8 = 0x08;
/// Subtype bits: there is a `QoS` field; there is no payload.
const QOS: u8 = 0x80;
const NULL: u8 = 0x40;
/// Second byte of the frame control.
const TO_AND_FROM_DS: u8 = 0x03;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
const HEADER: usize = 24;
const SEQUENCE: usize = 22;
/// The lowest four bits of the sequence control number fragments.
const FRAGMENT: u8 = 0x0f;
/// The `QoS` field says that the payload is an aggregate.
const AGGREGATE: u8 = 0x80;
const SUBFRAME_HEADER: usize = 14;
/// Magic of an AVS header, without its version.
const AVS: [u8; 3] = [0x80, 0x21, 0x10];

/// Behind a radiotap header, which tells its length (radiotap.org).
pub(super) fn radiotap(span: Span<'_>) -> Result<Span<'_>, Skip> {
    let length = span.bytes.get(2..).and_then(<[u8]>::first_chunk).ok_or(SMALL)?;
    span.after(u16::from_le_bytes(*length).into()).ok_or(SMALL)
}

/// Behind a header of Prism's driver or of AVS: both tell their length, the first in the byte order of the machine.
pub(super) fn prism_or_avs(span: Span<'_>) -> Result<Span<'_>, Skip> {
    let length = *span.bytes.get(4..).and_then(<[u8]>::first_chunk).ok_or(SMALL)?;
    let big = u32::from_be_bytes(length);
    let length = if span.bytes.starts_with(&AVS) { big } else { big.min(u32::from_le_bytes(length)) };
    span.after(usize::try_from(length).map_err(|_cause| SMALL)?).ok_or(SMALL)
}

/// A frame of the wireless medium.
pub(super) fn data<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Result<Layer<'a>, Skip> {
    let [control, flags, ..] = *span.bytes else { return Err(SMALL) };
    if control & VERSION_AND_TYPE != DATA || control & NULL != 0 {
        return Err(Skip::of(Reason::EtherType));
    }
    if flags & PROTECTED != 0 {
        return Err(Skip::of(Reason::Protected));
    }
    let sequence = span.bytes.get(SEQUENCE).ok_or(SMALL)?;
    if flags & MORE_FRAGMENTS != 0 || sequence & FRAGMENT != 0 {
        return Err(Skip::of(Reason::Fragment));
    }
    let mut header = HEADER + if flags & TO_AND_FROM_DS == TO_AND_FROM_DS { 6 } else { 0 };
    let mut aggregate = false;
    if control & QOS != 0 {
        aggregate = span.bytes.get(header).ok_or(SMALL)? & AGGREGATE != 0;
        header += 2 + if flags & ORDER != 0 { 4 } else { 0 };
    }
    let span = span.after(header).ok_or(SMALL)?;
    if aggregate {
        let Span { bytes, beyond } = span;
        return Ok(Layer { context, content: LayerContent::Aggregate { bytes, beyond } });
    }
    walk(context, Next::Llc, span, met)
}

/// The first subframe of an aggregate, and the rest if there is one. The first decides what becomes of the frame.
pub(super) fn aggregate<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Result<Step<'a>, Skip> {
    let length = usize::from(half(span.bytes, 12).ok_or(SMALL)?);
    let payload = span.after(SUBFRAME_HEADER).ok_or(SMALL)?;
    let (bytes, beyond) = match payload.bytes.get(..length) {
        Some(bytes) => (bytes, 0),
        None => (payload.bytes, payload.beyond),
    };
    let first = walk(context, Next::Llc, Span { bytes, beyond }, met);
    let rest = span.after((SUBFRAME_HEADER + length).next_multiple_of(4)).filter(|rest| {
        // Shorter than a subframe: the frame's checksum, or padding.
        rest.bytes.len() > SUBFRAME_HEADER
    });
    match (first, rest) {
        (Ok(first), None) => Ok(Step::Into(first)),
        (Err(skip), None) => Err(skip),
        (first, Some(Span { bytes, beyond })) => {
            let content = LayerContent::Aggregate { bytes, beyond };
            match first {
                Ok(first) => {
                    Ok(Step::Both(first, Layer { context: Context { frames: 0, ..context }, content }))
                }
                // The next one decides.
                Err(_skip) => Ok(Step::Into(Layer { context, content })),
            }
        }
    }
}
