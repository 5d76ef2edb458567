//! What the fuzzer and the property tests call.

use sekimori_wire::time::Timestamp;

use super::fragment::{Fragments, Outcome};
use super::{Frame, Layer, Met, Step, plain};
use crate::counters::Counters;
use crate::frame::LinkType;
use crate::limits::Limits;

const LINKS: [LinkType; 14] = [
    LinkType::Ethernet,
    LinkType::RawIp,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Loopback,
    LinkType::Ppp,
    LinkType::PppWithDirection,
    LinkType::PppEther,
    LinkType::CiscoHdlc,
    LinkType::Wireless,
    LinkType::Radiotap,
    LinkType::PrismOrAvs,
    LinkType::Nflog,
    LinkType::Other(147),
];

/// The first byte picks the link type, the second what is verified and into how many frames the rest is cut.
pub(super) fn fuzz(data: &[u8]) {
    let [first, second, ref bytes @ ..] = *data else { return };
    let link = LINKS.get(usize::from(first) % LINKS.len()).copied().unwrap_or(LinkType::Ethernet);
    let frames = usize::from(second >> 1 & 7) + 1;
    let mut counters = Counters::default();
    let limits = Limits { datagrams: 4, datagram_bytes: 16 * 1024, ..Limits::gateway() };
    let mut fragments = Fragments::new(&limits, 1);
    for bytes in bytes.chunks(bytes.len().div_ceil(frames).max(1)) {
        let frame = Frame { at: Timestamp::ZERO, link, bytes, wire_len: 1_500, vlan: None };
        agrees(&frame);
        let Ok(layer) = Layer::of(&frame, &mut Met::default()) else { continue };
        let steps = walk(layer, second & 1 == 1, &mut fragments, &mut counters);
        assert!(steps <= bytes.len() + 1, "{steps} steps for {} bytes", bytes.len());
    }
    fragments.finish(&mut counters);
}

/// What is read in one go is what the layers give; whether it was.
pub(super) fn agrees(frame: &Frame<'_>) -> bool {
    let Some(ip) = plain(frame) else { return false };
    let mut met = Met::default();
    let step = Layer::of(frame, &mut met).and_then(|layer| layer.step(false, &mut met));
    assert_eq!(met, Met::default());
    assert!(matches!(step, Ok(Step::Ip(same, None)) if same == ip), "{ip:?}");
    true
}

/// Reads a layer and all within it; the number of steps.
fn walk(layer: Layer<'_>, verify: bool, fragments: &mut Fragments, counters: &mut Counters) -> usize {
    let (mut next, mut steps) = (Some(layer), 0);
    while let Some(layer) = next.take() {
        steps += 1;
        match layer.step(verify, &mut Met::default()) {
            Err(_) | Ok(Step::Arp(_)) => {}
            Ok(Step::Ip(ip, inner)) => {
                assert!(ip.payload.len() <= 65_535 + 1_500, "a payload lies within its frame or datagram");
                next = inner;
            }
            Ok(Step::Into(layer)) => next = Some(layer),
            Ok(Step::Both(first, rest)) => {
                steps += walk(first, verify, fragments, counters);
                next = Some(rest);
            }
            Ok(Step::Fragment(fragment)) => {
                let outcome = fragments.add(Timestamp::ZERO, &fragment, counters);
                if let Outcome::Whole(whole, _) = outcome {
                    // Its bytes came in other frames as well: what it takes is not this frame's.
                    walk(whole.layer(), verify, fragments, counters);
                }
            }
        }
    }
    steps
}
