//! The program is run as the kernel runs it, over frames of every kind, in both directions.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;

/// What Linux lets a fanout program see of a frame that userspace gets as `bytes`.
struct Shown {
    data: Vec<u8>,
    protocol: u32,
    packet_type: u32,
}

fn incoming(bytes: &[u8]) -> Shown {
    let protocol = u16::from_be_bytes([bytes[12], bytes[13]]).into();
    Shown { data: bytes[14..].to_vec(), protocol, packet_type: 0 }
}

fn outgoing(bytes: &[u8]) -> Shown {
    // The protocol of a frame that goes out may be anything; it is not to be looked at.
    Shown { data: bytes.to_vec(), protocol: 0xdead, packet_type: PACKET_OUTGOING }
}

/// Classic BPF as in Linux `bpf_prog_run`; a load beyond the data ends the program with 0.
fn run(program: &[Instruction], shown: &Shown) -> u32 {
    let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [0_u32; 16], 0_usize);
    let load = |at: u32, length: usize| -> Option<u32> {
        match at {
            PROTOCOL => return Some(shown.protocol),
            PACKET_TYPE => return Some(shown.packet_type),
            _ => {}
        }
        let at = usize::try_from(at).unwrap();
        Some(shown.data.get(at..at + length)?.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
    };
    for _step in 0..program.len() {
        let Instruction { code, jump_true, jump_false, constant: k } = program[at];
        at += 1;
        let jump = |condition: bool| usize::from(if condition { jump_true } else { jump_false });
        let loaded = match code {
            LD_W => load(k, 4),
            LD_H => load(k, 2),
            LD_B => load(k, 1),
            LD_W_X => load(x + k, 4),
            LD_H_X => load(x + k, 2),
            LD_B_X => load(x + k, 1),
            _ => Some(a),
        };
        let Some(loaded) = loaded else { return 0 };
        a = loaded;
        match code {
            LD_W | LD_H | LD_B | LD_W_X | LD_H_X | LD_B_X => {}
            LD_IMMEDIATE => a = k,
            LD_MEMORY => a = memory[k as usize],
            LDX_MEMORY => x = memory[k as usize],
            STORE => memory[k as usize] = a,
            ADD => a = a.wrapping_add(k),
            ADD_X => a = a.wrapping_add(x),
            MULTIPLY => a = a.wrapping_mul(k),
            SHIFT_RIGHT => a >>= k,
            XOR_X => a ^= x,
            TO_X => x = a,
            JUMP => at += k as usize,
            IF_EQUAL => at += jump(a == k),
            IF_SET => at += jump(a & k != 0),
            RETURN => return k,
            RETURN_A => return a,
            other => panic!("no such instruction: {other:#x}"),
        }
    }
    panic!("the program does not end");
}

/// An IP packet between two addresses: protocol, and whether it is a later fragment.
fn packet(from: IpAddr, to: IpAddr, protocol: u8, later_fragment: bool) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (bytes[0], bytes[9]) = (0x45, protocol);
            bytes[6] = if later_fragment { 0x20 } else { 0 };
            bytes[7] = u8::from(later_fragment);
            bytes[12..16].copy_from_slice(&from.octets());
            bytes[16..20].copy_from_slice(&to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            (bytes[0], bytes[6]) = (0x60, if later_fragment { 44 } else { protocol });
            bytes[8..24].copy_from_slice(&from.octets());
            bytes[24..40].copy_from_slice(&to.octets());
        }
        _ => panic!("two of one family"),
    }
    // Ports differ by direction and mean nothing.
    bytes.extend([from, to].iter().flat_map(|end| end.to_string().into_bytes()).take(20).chain([0; 20]));
    bytes
}

/// What lies before the packet, for IPv4 or IPv6.
fn encapsulations(v6: bool) -> Vec<Vec<u8>> {
    let ethertype: [u8; 2] = if v6 { [0x86, 0xdd] } else { [8, 0] };
    let ppp = [0, if v6 { 0x57 } else { 0x21 }];
    let with = |tags: &[u8], end: &[u8]| [&[2; 12], tags, end].concat();
    vec![
        with(&[], &ethertype),
        with(&[0x81, 0, 0, 30], &ethertype),
        with(&[0x88, 0xa8, 0, 100, 0x81, 0, 0, 30], &ethertype),
        with(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 42], &ppp),
        with(&[0x81, 0, 0, 30, 0x88, 0x64, 0x11, 0, 0, 1, 0, 42], &ppp),
        with(&[0x88, 0x47, 0, 1, 1, 64], &[]),
        with(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 0, 64, 0, 4, 1, 64], &[]),
    ]
}

fn pairs() -> Vec<(IpAddr, IpAddr)> {
    let v4 = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n * 7));
    let v6 = |n: u128| IpAddr::from(Ipv6Addr::from_bits((0x2001_0db8 << 96) + (n << 64) + n * 3));
    (1..400).map(|n| (v4(n), v4(n * n + 1))).chain((1..400).map(|n| (v6(n), v6(n * n + 1)))).collect()
}

#[test]
fn both_directions_and_all_fragments_of_a_flow_come_to_one_ring() {
    for workers in [2, 3, 4, 16] {
        let fanout = Fanout::new(workers, 0x1234_5678_9abc_def0);
        let (program, raw) = (fanout.program(1), fanout.program(101));
        let mut frames = vec![0_usize; workers];
        for (one, other) in pairs() {
            let expected = fanout.of((one, other));
            assert_eq!(fanout.of((other, one)), expected);
            frames[expected] += 1;
            for (from, to, protocol, later) in [
                (one, other, 6, false),
                (other, one, 6, false),
                (one, other, 17, false),
                (one, other, 17, true),
                (other, one, 1, false),
            ] {
                let packet = packet(from, to, protocol, later);
                for before in encapsulations(one.is_ipv6()) {
                    let frame = [before, packet.clone()].concat();
                    for shown in [incoming(&frame), outgoing(&frame)] {
                        let ring = run(&program, &shown) as usize;
                        assert_eq!(ring, expected, "{from} > {to}, {protocol}: {frame:02x?}");
                    }
                }
                for packet_type in [0, PACKET_OUTGOING] {
                    let shown = Shown { data: packet.clone(), protocol: 0, packet_type };
                    assert_eq!(run(&raw, &shown) as usize, expected);
                }
            }
        }
        let fair = 798 / workers;
        assert!(frames.iter().all(|got| (fair / 2..fair * 2).contains(got)), "{frames:?}");
    }
}

#[test]
fn what_has_no_addresses_comes_to_the_first() {
    let program = Fanout::new(4, 99).program(1);
    let arp = [&[2; 12][..], &[8, 6], &[7; 28]].concat();
    let deep = [&[2; 12][..], &[0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0], &[0x45; 60]].concat();
    let labels = [&[2; 12][..], &[0x88, 0x47], &[0, 1, 0, 64].repeat(5), &[0x45; 60]].concat();
    let discovery = [&[2; 12][..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 8, 0xc0, 0x21], &[1; 40]].concat();
    let cut = [&[2; 12][..], &[8, 0, 0x45, 0, 0, 40]].concat();
    for frame in [arp, deep, labels, discovery, cut] {
        assert_eq!(
            (run(&program, &incoming(&frame)), run(&program, &outgoing(&frame))),
            (0, 0),
            "{frame:02x?}"
        );
    }
}

#[test]
fn another_key_shares_otherwise() {
    let [one, other] = [1, 0x9e37_79b9_7f4a_7c15].map(|seed| Fanout::new(4, seed));
    assert!(pairs().into_iter().any(|ends| one.of(ends) != other.of(ends)));
}

#[test]
fn what_goes_out_is_left_out_on_request() {
    let filter = without_outgoing(vec![ACCEPT]);
    let frame = [0; 60];
    assert_eq!((run(&filter, &incoming(&frame)), run(&filter, &outgoing(&frame))), (0x4_0000, 0));
}
