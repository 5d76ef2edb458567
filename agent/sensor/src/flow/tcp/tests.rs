//! Segments as a script; states and histories as Zeek writes them.

use proptest::prelude::*;

use super::*;

/// Two ends that count their bytes.
struct Talk {
    tcp: Tcp,
    history: History,
    next: [u32; 2],
    meanings: Vec<Meaning>,
}

impl Talk {
    /// `S>` is a segment of the originator, `<SA` one of the responder. Letters: S, A, F, R, D (ten bytes of payload), W (no
    /// window); `+n` moves the sequence number n further, `-n` back; `L` loses the segment on its way to us.
    fn run(segments: &str) -> Self {
        let mut talk = Self {
            tcp: Tcp::default(),
            history: History::default(),
            next: [1_000, u32::MAX - 12],
            meanings: Vec::new(),
        };
        segments.split_whitespace().for_each(|text| talk.segment(text));
        talk
    }

    fn segment(&mut self, text: &str) {
        let side = if text.starts_with('<') { Side::Responder } else { Side::Originator };
        let text = text.trim_matches(['<', '>']);
        let (letters, jump) = match (text.split_once('+'), text.split_once('-')) {
            (Some((letters, n)), _) => (letters, n.parse::<i32>().unwrap()),
            (_, Some((letters, n))) => (letters, -n.parse::<i32>().unwrap()),
            (None, None) => (text, 0),
        };
        let next = *side.of(&self.next);
        let mut segment = Segment {
            flags: Flags(0),
            sequence: next.wrapping_add_signed(jump),
            acknowledgment: *side.other().of(&self.next),
            window: 1_000,
            payload_bytes: 0,
            whole: true,
        };
        let mut lost = false;
        for letter in letters.chars() {
            match letter {
                'S' => segment.flags.0 |= Flags::SYN.0,
                'A' => segment.flags.0 |= Flags::ACK.0,
                'F' => segment.flags.0 |= Flags::FIN.0,
                'R' => segment.flags.0 |= Flags::RST.0,
                'D' => segment.payload_bytes = 10,
                'W' => segment.window = 0,
                'L' => lost = true,
                other => panic!("{other}"),
            }
        }
        if jump == 0 {
            *side.of_mut(&mut self.next) = next.wrapping_add(segment.length());
        }
        if !lost {
            self.meanings.push(take(&mut self.tcp, side, &segment, &mut self.history).0);
        }
    }

    fn state(&self) -> &'static str {
        self.tcp.conn_state(&self.history).as_str()
    }
}

/// Takes a segment; its meaning, and whether that was predicted: then nothing is otherwise than without prediction.
fn take(tcp: &mut Tcp, side: Side, segment: &Segment, history: &mut History) -> (Meaning, bool) {
    let mut predicting = tcp.clone();
    let (before, told) = (tcp.clone(), *history);
    let predicted = predicting.predicted(side, segment);
    let meaning = tcp.on_segment(side, segment, history);
    match predicted {
        Some(same) => assert_eq!((same, &predicting, told), (meaning, &*tcp, *history), "{segment:?}"),
        None => assert_eq!(predicting, before, "{segment:?}"),
    }
    (meaning, predicted.is_some())
}

#[test]
fn what_nearly_always_comes_is_predicted() {
    let mut talk = Talk::run("S> <SA A> DA> <DA A> <A");
    for (side, payload_bytes, sent) in [
        (Side::Originator, 500, [500, 0]),
        (Side::Responder, 0, [500, 0]),
        (Side::Responder, 1_400, [500, 1_400]),
        (Side::Originator, 0, [500, 1_400]),
    ] {
        let end = |side: Side| side.of(&talk.next).wrapping_add(*side.of::<u32>(&sent));
        let segment = Segment {
            flags: Flags::ACK,
            sequence: end(side).wrapping_sub(payload_bytes),
            acknowledgment: end(side.other()),
            window: 1,
            payload_bytes,
            whole: true,
        };
        assert!(take(&mut talk.tcp, side, &segment, &mut talk.history).1, "{segment:?}");
    }
}

#[test]
fn states_and_histories_are_zeeks() {
    let check = |segments: &str, state: &str, history: &str| {
        let talk = Talk::run(segments);
        assert_eq!((talk.state(), talk.history.as_str()), (state, history), "{segments}");
    };
    check("S>", "S0", "S");
    check("S> S-1>", "S0", "S");
    check("S> <SA", "S1", "Sh");
    check("S> <SA A>", "S1", "ShA");
    check("S> <SA A> DA> <DA", "S1", "ShADd");
    check("S> <SA A> DA> <A <DA A>", "S1", "ShADad");
    check("S> <SA A> FA> <A <FA A>", "SF", "ShAFaf");
    check("S> <SA A> <FA FA> <A", "SF", "ShAfFa");
    check("S> <SA A> FA> <A", "S2", "ShAFa");
    check("S> <SA A> <FA A>", "S3", "ShAf");
    check("S> <RA", "REJ", "Sr");
    check("S> <SA A> RA>", "RSTO", "ShAR");
    check("S> <SA R>", "RSTO", "ShR");
    check("S> <SA A> DA> <RA", "RSTR", "ShADr");
    check("S> R>", "RSTOS0", "SR");
    check("S> A> R>", "OTH", "SAR");
    check("<SA <R", "RSTRH", "hr");
    check("S> FA>", "SH", "SF");
    check("<SA <FA", "SHR", "hf");
    check("DA> <DA", "OTH", "Dd");
    check("<A", "OTH", "a");
    check("A>", "OTH", "A");
    check("S> <A <SA A>", "S1", "SahA");
    check("S> <SA A> FA> <FA A> <R", "SF", "ShAFfr");
    check("S> <SA A> FA> R>", "RSTO", "ShAFR");
    check("<SA A> DA> <DA FA> <FA", "SF", "hADdFf");
    check("SA> <S A>", "S1", "Hs^A");
    check("SF>", "SH", "Q");
    check("RF>", "OTH", "I");
    check("S> <SA A> AW> <AW AW>", "S1", "ShAWaw");
}

#[test]
fn what_repeats_is_told_by_powers_of_ten() {
    let again = |times: usize| format!("S> <SA A> DA> {}", "DA-10> ".repeat(times));
    let history = |times| Talk::run(&again(times)).history.as_str().to_owned();
    assert_eq!(history(1), "ShADT");
    assert_eq!(history(9), "ShADT");
    assert_eq!(history(10), "ShADTT");
    assert_eq!(history(99), "ShADTT");
    assert_eq!(history(100), "ShADTTT");
    assert_eq!(Talk::run(&again(100)).tcp.way(Side::Originator).retransmissions, 100);
}

#[test]
fn bytes_are_counted_by_sequence_numbers() {
    let check = |segments: &str, sizes: (u64, u64), missed: (u64, u64)| {
        let talk = Talk::run(segments);
        let [originator, responder] = [Side::Originator, Side::Responder].map(|side| talk.tcp.way(side));
        assert_eq!((originator.stream_bytes, responder.stream_bytes), sizes, "{segments}");
        assert_eq!((originator.missed_bytes, responder.missed_bytes), missed, "{segments}");
    };
    check("S> <SA A> DA> <A <DA <DA A> FA> <FA A>", (10, 20), (0, 0));
    check("S> <SA A> DAL> <A DA> <A", (20, 0), (10, 0));
    check("S> <SA A> DAL> DA> <A", (20, 0), (10, 0));
    check("S> <SA A> DAL> DA>", (20, 0), (0, 0));
    check("S> <SA A> <DAL <DA <DAL A>", (0, 30), (0, 20));
    check("S> <SA A> DAL> <A DA-10>", (10, 0), (10, 0));
    check("DA> <A DA> <DA", (20, 10), (0, 0));
    check("S> <RA", (0, 0), (0, 0));
    check("S> <SA A> DAL> DAL> FA> <FA A>", (20, 0), (20, 0));
}

#[test]
fn gaps_are_told_only_where_the_handshake_was_seen() {
    assert_eq!(Talk::run("S> <SA A> DAL> <A").history.as_str(), "ShAaG");
    let talk = Talk::run("DA> <A DAL> <A");
    assert_eq!((talk.history.as_str(), talk.tcp.way(Side::Originator).missed_bytes), ("Da", 0));
}

#[test]
fn a_late_segment_is_not_a_retransmission_only() {
    let talk = Talk::run("S> <SA A> DAL> DA> DA-20>");
    let way = talk.tcp.way(Side::Originator);
    assert_eq!((way.retransmissions, way.out_of_order, way.missed_bytes), (1, 1, 0));
    let talk = Talk::run("S> <SA A> DA> DA-10>");
    let way = talk.tcp.way(Side::Originator);
    assert_eq!((way.retransmissions, way.out_of_order), (1, 0));
}

#[test]
fn acknowledged_and_unseen_is_the_loss_of_the_capture() {
    let count = |segments: &str| {
        let talk = Talk::run(segments);
        let of = |what: fn(&Meaning) -> bool| talk.meanings.iter().filter(|meaning| what(meaning)).count();
        (of(|meaning| meaning.acknowledged), of(|meaning| meaning.unseen))
    };
    assert_eq!(count("S> <SA A> DA> <A DA> <A"), (2, 0));
    assert_eq!(count("S> <SA A> DAL> <A DA> <A"), (2, 1));
    assert_eq!(count("A> <A DA> <A"), (0, 0), "midstream says nothing");
}

#[test]
fn after_both_ends_closed_nothing_is_productive() {
    let productive =
        |segments: &str| Talk::run(segments).meanings.iter().filter(|one| one.productive).count();
    assert_eq!(productive("S> <SA A> FA> <FA A> <A"), 5);
    assert_eq!(productive("S> <SA A> R> <A A>"), 6, "one end only");
    assert_eq!(
        productive("S> <SA A> DAL> FA> <FA A>"),
        5,
        "a FIN that leaves a hole before it is not the end, its ACK is"
    );
}

#[test]
fn states_of_both_ends_at_once() {
    let check = |segments: &str, handshake, state: &str| {
        assert_eq!(Talk::run(segments).tcp.state(handshake).as_str(), state, "{segments}");
    };
    check("S>", false, "syn_sent");
    check("S> <SA", false, "syn_recv");
    check("S> <SA A>", true, "established");
    check("DA> <DA", false, "established");
    check("S> <SA A> FA>", true, "close_wait");
    check("S> <SA A> <FA", true, "fin_wait1");
    check("S> <SA A> <FA A>", true, "fin_wait2");
    check("S> <SA A> FA> <FA", true, "last_ack");
    check("S> <SA A> FA> <FA A>", true, "closed");
    check("S> <SA A> <FA A> FA>", true, "time_wait");
    check("S> <SA A> <FA A> FA> <A", true, "closed");
    check("S> <RA", false, "closed");
}

#[test]
fn a_reset_far_from_its_senders_bytes_is_not_believed() {
    assert_eq!(Talk::run("S> <SA A> R+100000000> A>").state(), "S1");
    assert_eq!(Talk::run("S> <SA A> R+70000> A>").state(), "RSTO");
}

#[test]
fn only_a_new_syn_reopens_a_connection_that_is_over_or_was_never_answered() {
    let check = |segments: &str, sequence, expected| {
        let syn = Segment {
            flags: Flags::SYN,
            sequence,
            acknowledgment: 0,
            window: 1,
            payload_bytes: 0,
            whole: true,
        };
        assert_eq!(
            Talk::run(segments).tcp.is_reopened_by(Side::Originator, &syn),
            expected,
            "{segments} {sequence}"
        );
    };
    check("S> <SA A> FA> <FA A>", 99, true);
    check("S> <RA", 99, true);
    check("S> <RA", 1_000, false);
    check("S>", 99, true);
    check("S>", 1_000, false);
    check("S> <SA A>", 99, false);
    check("SA>", 99, false);
}

#[test]
fn distances_wrap() {
    assert_eq!(distance(u32::MAX, 1), 2);
    assert_eq!(distance(1, u32::MAX), -2);
}

fn segments() -> impl Strategy<Value = Vec<(bool, Segment)>> {
    let one = (any::<bool>(), 0_u8..64, 0_u32..80, 0_u32..80, 0_u16..2, 0_u32..30).prop_map(
        |(from_responder, flags, sequence, acknowledgment, window, payload_bytes)| {
            let whole = window == 0 || payload_bytes % 3 != 0;
            let (sequence, acknowledgment) = (sequence.wrapping_sub(40), acknowledgment.wrapping_sub(40));
            (
                from_responder,
                Segment { flags: Flags(flags), sequence, acknowledgment, window, payload_bytes, whole },
            )
        },
    );
    proptest::collection::vec(one, 0..60)
}

proptest! {
    /// Any segments: nothing panics, and what is said agrees with itself.
    #[test]
    fn whatever_comes_the_numbers_agree(segments in segments()) {
        let (mut tcp, mut history) = (Tcp::default(), History::default());
        for (from_responder, segment) in &segments {
            let side = if *from_responder { Side::Responder } else { Side::Originator };
            let (meaning, _) = take(&mut tcp, side, segment, &mut history);
            prop_assert!(meaning.acknowledged || !meaning.unseen);
        }
        for side in [Side::Originator, Side::Responder] {
            let way = tcp.way(side);
            prop_assert!(way.out_of_order <= way.retransmissions);
            // In either case: the ends may have been exchanged since.
            let heard = |letter: u8| history.as_str().bytes().any(|one| one.eq_ignore_ascii_case(&letter));
            prop_assert!(way.retransmissions == 0 || heard(b't') || history.as_str().len() == 31);
            prop_assert!(way.zero_windows == 0 || heard(b'w') || history.as_str().len() == 31);
        }
    }

    /// A connection that mostly goes on as it should, but not always: prediction changes nothing.
    #[test]
    fn what_is_predicted_is_what_comes_out(
        steps in proptest::collection::vec((any::<bool>(), 0_u32..40, 0_u32..40, 0_u32..30, 0_u8..40), 0..60),
    ) {
        let mut talk = Talk::run("S> <SA A>");
        for (from_responder, jump, behind, payload_bytes, odd) in steps {
            let side = if from_responder { Side::Responder } else { Side::Originator };
            // One in four is early, late, or acknowledges something else.
            let off = |by: u32| if by < 30 { 0 } else { by.wrapping_sub(35) };
            let next = *side.of(&talk.next);
            let segment = Segment {
                flags: match odd {
                    0 => Flags(Flags::FIN.0 | Flags::ACK.0),
                    1 => Flags::RST,
                    2 => Flags::SYN,
                    3 => Flags(0),
                    _ => Flags(Flags::ACK.0 | odd & 0x28),
                },
                sequence: next.wrapping_add(off(jump)),
                acknowledgment: side.other().of(&talk.next).wrapping_add(off(behind)),
                window: u16::from(odd != 4),
                payload_bytes,
                whole: odd != 5,
            };
            take(&mut talk.tcp, side, &segment, &mut talk.history);
            *side.of_mut(&mut talk.next) = next.wrapping_add(segment.length());
        }
    }

    /// A connection whose segments have another order on their way to us, but no ACK before what it acknowledges: the
    /// same bytes, and none missing.
    #[test]
    fn order_changes_no_numbers(keys: [u8; 12]) {
        let mut order: Vec<u32> = (0..12).collect();
        order.sort_by_key(|at| keys[usize::try_from(*at).unwrap()]);
        let mut talk = Talk::run("S> <SA A>");
        let base = talk.next[0];
        for at in order {
            let segment = Segment {
                flags: Flags::ACK,
                sequence: base.wrapping_add(at * 10),
                acknowledgment: talk.next[1],
                window: 1,
                payload_bytes: 10,
                whole: true,
            };
            talk.tcp.on_segment(Side::Originator, &segment, &mut talk.history);
        }
        talk.next[0] = base.wrapping_add(120);
        talk.segment("<A");
        let way = talk.tcp.way(Side::Originator);
        prop_assert_eq!((way.stream_bytes, way.missed_bytes), (120, 0));
    }
}
