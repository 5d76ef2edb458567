//! Which of several rings gets a frame: a classic BPF program that the kernel runs for `PACKET_FANOUT_CBPF`.
//!
//! The addresses of the outermost IP header decide, in either order and never the ports, so that both directions and all
//! fragments of a flow come to one ring. VLAN tags (in the frame or beside it), `PPPoE` and up to [`LABELS_MAX`] MPLS labels
//! are looked through; what a tunnel (GRE, VXLAN, IP in IP, …) carries stays with the tunnel. Everything else, ARP among it,
//! goes to the first ring.
//!
//! What the program is shown differs by direction (Linux `packet_rcv_fanout`): a frame that comes in begins at its network
//! header, its `EtherType` and the tag that the kernel took out beside it; one that goes out begins at its link header.

use core::net::IpAddr;

use super::filter::Instruction;

/// Tags in the frame that are looked through, beside the one that the kernel took out.
const TAGS_MAX: usize = 2;
/// MPLS labels that are looked through.
const LABELS_MAX: usize = 4;

/// Scratch memory of the program: where the network header begins, and three intermediate values.
const NETWORK: u32 = 0;
const ONE: u32 = 1;
const OTHER: u32 = 2;
const MIXED: u32 = 3;

/// `SKF_AD_OFF` and what lies there.
const PROTOCOL: u32 = 0xffff_f000;
const PACKET_TYPE: u32 = 0xffff_f004;
const PACKET_OUTGOING: u32 = 4;

const LD_W: u16 = 0x20;
const LD_H: u16 = 0x28;
const LD_B: u16 = 0x30;
const LD_W_X: u16 = 0x40;
const LD_H_X: u16 = 0x48;
const LD_B_X: u16 = 0x50;
const LD_IMMEDIATE: u16 = 0x00;
const LD_MEMORY: u16 = 0x60;
const LDX_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const ADD: u16 = 0x04;
const ADD_X: u16 = 0x0c;
const MULTIPLY: u16 = 0x24;
const SHIFT_RIGHT: u16 = 0x74;
const XOR_X: u16 = 0xac;
const TO_X: u16 = 0x07;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;

/// A filter that lets nothing in, and one that lets all in, as long as any frame is.
pub(super) const REFUSE: Instruction = Instruction { code: RETURN, jump_true: 0, jump_false: 0, constant: 0 };
pub(super) const ACCEPT: Instruction = Instruction { constant: 0x4_0000, ..REFUSE };

/// A filter that leaves out what this machine sends, and is otherwise the given one.
pub(super) fn without_outgoing(filter: Vec<Instruction>) -> Vec<Instruction> {
    let packet_type = Instruction { code: LD_W, constant: PACKET_TYPE, ..REFUSE };
    let skip = Instruction { code: IF_EQUAL, jump_false: 1, constant: PACKET_OUTGOING, ..REFUSE };
    // Jumps are relative: the rest needs no change.
    [packet_type, skip, REFUSE].into_iter().chain(filter).collect()
}

/// The choice among rings. Keyed, so that nobody who cannot see the key can aim at one ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fanout {
    workers: u32,
    /// Odd factors.
    keys: [u32; 2],
}

impl Fanout {
    pub(crate) fn new(workers: usize, seed: u64) -> Self {
        let workers = u32::try_from(workers).unwrap_or(1).clamp(1, u16::MAX.into());
        let [a, b, c, d, rest @ ..] = seed.to_le_bytes();
        Self { workers, keys: [u32::from_le_bytes([a, b, c, d]) | 1, u32::from_le_bytes(rest) | 1] }
    }

    /// How many there are to choose among.
    pub(crate) fn workers(&self) -> usize {
        usize::try_from(self.workers).unwrap_or(1)
    }

    /// Who gets what is between these two: what [`program`](Self::program) answers.
    pub(crate) fn of(&self, ends: (IpAddr, IpAddr)) -> usize {
        let mixed = match ends {
            (IpAddr::V4(one), IpAddr::V4(other)) => self.mix(0, one.to_bits(), other.to_bits()),
            (one, other) => {
                let words = |address: IpAddr| {
                    let bits = match address {
                        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
                        IpAddr::V6(v6) => v6.to_bits(),
                    };
                    [96, 64, 32, 0].map(|shift| low_word(bits >> shift))
                };
                words(one).into_iter().zip(words(other)).fold(0, |mixed, (a, b)| self.mix(mixed, a, b))
            }
        };
        usize::try_from(((mixed >> 16) * self.workers) >> 16).unwrap_or_default()
    }

    /// Takes two words into the hash, in either order.
    const fn mix(&self, before: u32, one: u32, other: u32) -> u32 {
        let [k1, k2] = self.keys;
        let differences = (before ^ one ^ other).wrapping_mul(k1);
        differences.wrapping_add(one.wrapping_add(other).wrapping_mul(k2))
    }

    /// The program, for frames of this link type (its number in capture files).
    pub(crate) fn program(&self, link: u32) -> Vec<Instruction> {
        let mut program = Program::default();
        program.find_network(link);
        program.at(Label::Mpls);
        program.skip_labels();
        program.at(Label::V4);
        program.set(LD_IMMEDIATE, 0);
        program.set(STORE, MIXED);
        self.mix_words(&mut program, 12, 16);
        self.choose(&mut program);
        program.at(Label::V6);
        program.set(LD_IMMEDIATE, 0);
        program.set(STORE, MIXED);
        for word in [0, 4, 8, 12] {
            self.mix_words(&mut program, 8 + word, 24 + word);
        }
        self.choose(&mut program);
        program.at(Label::Nothing);
        program.set(RETURN, 0);
        program.finish()
    }

    /// `MIXED = mix(MIXED, word at a, word at b)`.
    fn mix_words(&self, program: &mut Program, a: u32, b: u32) {
        let [k1, k2] = self.keys;
        program.set(LDX_MEMORY, NETWORK);
        program.set(LD_W_X, a);
        program.set(STORE, ONE);
        program.set(LD_W_X, b);
        program.set(STORE, OTHER);
        program.set(LDX_MEMORY, ONE);
        program.set(ADD_X, 0);
        program.set(MULTIPLY, k2);
        program.set(LDX_MEMORY, MIXED);
        program.set(STORE, MIXED);
        // X is what was mixed before.
        program.set(LD_MEMORY, ONE);
        program.set(XOR_X, 0);
        program.set(LDX_MEMORY, OTHER);
        program.set(XOR_X, 0);
        program.set(MULTIPLY, k1);
        program.set(LDX_MEMORY, MIXED);
        program.set(ADD_X, 0);
        program.set(STORE, MIXED);
    }

    /// The high half, multiplied into the range: no division, and no bias that matters.
    fn choose(&self, program: &mut Program) {
        program.set(LD_MEMORY, MIXED);
        program.set(SHIFT_RIGHT, 16);
        program.set(MULTIPLY, self.workers);
        program.set(SHIFT_RIGHT, 16);
        program.set(RETURN_A, 0);
    }
}

fn low_word(bits: u128) -> u32 {
    u32::try_from(bits & 0xffff_ffff).unwrap_or_default()
}

/// Where a jump leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// The `EtherType` is in A.
    Type,
    /// X or `NETWORK` is where an IPv4 header begins.
    V4,
    V6,
    Mpls,
    /// Nothing to choose by.
    Nothing,
    /// The `n`th tag, `PPPoE`, or label.
    Step(usize),
}

/// A program in the making: jumps go forward to labels.
#[derive(Debug, Default)]
struct Program {
    instructions: Vec<Instruction>,
    labels: Vec<(Label, usize)>,
    jumps: Vec<(usize, Label)>,
    steps: usize,
}

impl Program {
    fn set(&mut self, code: u16, constant: u32) {
        self.instructions.push(Instruction { code, jump_true: 0, jump_false: 0, constant });
    }

    fn at(&mut self, label: Label) {
        self.labels.push((label, self.instructions.len()));
    }

    fn jump(&mut self, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.set(JUMP, 0);
    }

    /// Jumps if A equals the value. A conditional jump is short, so it skips a long one.
    fn jump_if(&mut self, value: u32, to: Label) {
        self.instructions.push(Instruction { code: IF_EQUAL, jump_true: 0, jump_false: 1, constant: value });
        self.jump(to);
    }

    /// `NETWORK += by`, `X = NETWORK`; A is lost.
    fn advance(&mut self, by: u32) {
        self.set(LD_MEMORY, NETWORK);
        self.set(ADD, by);
        self.set(STORE, NETWORK);
        self.set(TO_X, 0);
    }

    /// Goes to `V4`, `V6`, `Mpls` or `Nothing`, with `NETWORK` set.
    fn find_network(&mut self, link: u32) {
        self.set(LD_IMMEDIATE, 0);
        self.set(STORE, NETWORK);
        self.set(TO_X, 0);
        if link != 1 {
            // No link header in either direction: the version tells.
            self.set(LD_B, 0);
            return self.by_version();
        }
        self.set(LD_W, PACKET_TYPE);
        let outgoing = self.step();
        self.jump_if(PACKET_OUTGOING, outgoing);
        self.set(LD_W, PROTOCOL);
        self.jump(Label::Type);
        self.at(outgoing);
        self.advance(14);
        self.set(LD_H, 12);
        self.at(Label::Type);
        for tags in 0..=TAGS_MAX {
            self.by_type();
            if tags == TAGS_MAX {
                break;
            }
            let tagged = self.step();
            for kind in [0x8100, 0x88a8, 0x9100] {
                self.jump_if(kind, tagged);
            }
            self.jump(Label::Nothing);
            self.at(tagged);
            // The tag's own type was read: its identifier comes next, then the type of what follows.
            self.set(LD_H_X, 2);
            self.set(STORE, ONE);
            self.advance(4);
            self.set(LD_MEMORY, ONE);
        }
        self.jump(Label::Nothing);
    }

    /// By the `EtherType` in A; goes on behind if it is none of these.
    fn by_type(&mut self) {
        self.jump_if(0x0800, Label::V4);
        self.jump_if(0x86dd, Label::V6);
        self.jump_if(0x8847, Label::Mpls);
        self.jump_if(0x8848, Label::Mpls);
        let (session, behind) = (self.step(), self.step());
        self.jump_if(0x8864, session);
        self.jump(behind);
        self.at(session);
        // Six bytes of PPPoE, two of PPP.
        self.set(LD_H_X, 6);
        self.set(STORE, ONE);
        self.advance(8);
        self.set(LD_MEMORY, ONE);
        self.jump_if(0x0021, Label::V4);
        self.jump_if(0x0057, Label::V6);
        self.jump(Label::Nothing);
        self.at(behind);
    }

    /// By the version of the IP header whose first byte is in A.
    fn by_version(&mut self) {
        self.set(SHIFT_RIGHT, 4);
        self.jump_if(4, Label::V4);
        self.jump_if(6, Label::V6);
        self.jump(Label::Nothing);
    }

    fn skip_labels(&mut self) {
        let bottom = self.step();
        self.set(LDX_MEMORY, NETWORK);
        for _ in 0..LABELS_MAX {
            self.set(LD_B_X, 2);
            self.set(STORE, ONE);
            self.advance(4);
            self.set(LD_MEMORY, ONE);
            self.instructions.push(Instruction { code: IF_SET, jump_true: 0, jump_false: 1, constant: 1 });
            self.jump(bottom);
        }
        self.jump(Label::Nothing);
        self.at(bottom);
        self.set(LD_B_X, 0);
        self.by_version();
    }

    fn step(&mut self) -> Label {
        self.steps += 1;
        Label::Step(self.steps)
    }

    /// With the distances of all jumps.
    fn finish(self) -> Vec<Instruction> {
        let Self { mut instructions, labels, jumps, steps: _ } = self;
        for (from, to) in jumps {
            let target = labels.iter().find(|(label, _)| *label == to).map(|(_, at)| *at);
            let distance =
                target.and_then(|at| at.checked_sub(from + 1)).and_then(|far| u32::try_from(far).ok());
            debug_assert!(distance.is_some(), "every label is set, behind the jumps that lead there: {to:?}");
            if let Some(jump) = instructions.get_mut(from) {
                jump.constant = distance.unwrap_or_default();
            }
        }
        instructions
    }
}

#[cfg(test)]
mod tests;
