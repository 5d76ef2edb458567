//! Blocks as the kernel writes them, and blocks that lie.

use super::*;

/// A block as the kernel writes it, of frames (seconds, VLAN, bytes).
fn block(frames: &[(u32, Option<u16>, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; 4096];
    put(&mut block, 8, libc::TP_STATUS_USER);
    put(&mut block, 12, u32::try_from(frames.len()).unwrap());
    put(&mut block, 16, 48);
    let mut at = 48;
    for (idx, (seconds, vlan, bytes)) in frames.iter().enumerate() {
        let next = (82 + bytes.len()).next_multiple_of(16);
        put(&mut block, at, if idx + 1 == frames.len() { 0 } else { u32::try_from(next).unwrap() });
        put(&mut block, at + 4, *seconds);
        put(&mut block, at + 8, 7);
        put(&mut block, at + 12, u32::try_from(bytes.len()).unwrap());
        put(&mut block, at + 16, 1500);
        put(&mut block, at + 20, vlan.map_or(1, |_| 1 | libc::TP_STATUS_VLAN_VALID));
        block[at + 24..at + 26].copy_from_slice(&82_u16.to_ne_bytes());
        put(&mut block, at + 32, vlan.map_or(0, |id| 0xe000 | u32::from(id)));
        block[at + 82..at + 82 + bytes.len()].copy_from_slice(bytes);
        at += next;
    }
    block
}

fn put(block: &mut [u8], at: usize, value: u32) {
    block[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// Time, VLAN, bytes and length on the wire.
type Seen = (u64, Option<u16>, Vec<u8>, u32);

fn walked(block: &[u8]) -> (bool, Vec<Seen>) {
    let mut seen = Vec::new();
    let good = walk(block, LinkType::Ethernet, |frame| {
        seen.push((frame.at.nanos(), frame.vlan, frame.bytes.to_vec(), frame.wire_len));
    });
    (good, seen)
}

#[test]
fn frames_come_with_time_vlan_and_bytes() {
    let block = block(&[(5, None, b"first"), (6, Some(0x123), b"second frame")]);
    let expected = vec![
        (5_000_000_007, None, b"first".to_vec(), 1500),
        (6_000_000_007, Some(0x123), b"second frame".to_vec(), 1500),
    ];
    assert_eq!(walked(&block), (true, expected));
}

#[test]
fn a_block_that_lies_is_left_where_it_lies() {
    let good = block(&[(5, None, b"first"), (6, None, b"second")]);
    for (at, value) in [(48, 5000), (48 + 12, 5000), (16, 4095), (16, u32::MAX), (48 + 12, u32::MAX)] {
        let mut bad = good.clone();
        put(&mut bad, at, value);
        let (whole, seen) = walked(&bad);
        assert!(!whole && seen.len() < 2, "{at} {value}");
    }
    let mut many = good.clone();
    put(&mut many, 12, 10_000);
    assert_eq!((walked(&many).0, walked(&many).1.len()), (false, 2), "the last frame leads nowhere");
    assert_eq!(walked(&good[..20]), (false, vec![]));
}

#[test]
fn what_a_block_uses_is_at_most_all_of_it() {
    let mut block = block(&[(5, None, b"first")]);
    put(&mut block, 20, 144);
    assert_eq!(used(&block), 144);
    put(&mut block, 20, u32::MAX);
    assert_eq!(used(&block), 4096);
    assert_eq!(used(&block[..20]), 0);
}
