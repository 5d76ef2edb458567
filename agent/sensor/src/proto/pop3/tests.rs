//! POP3 in hand-checked and hostile bytes.

use super::*;
use crate::event::Transaction;
use crate::proto::bench::{Bench, C, S, play};

fn commands(played: &Bench) -> Vec<&Pop3Command> {
    played.all(|one| if let Transaction::Pop3(one) = one { Some(&**one) } else { None })
}

/// `COMMAND argument: OK header [data]` of each.
fn texts(played: &Bench) -> Vec<String> {
    let text = |one: &&Pop3Command| {
        let request = one.request.as_ref().map(|one| format!("{} {}", one.command, one.arguments.join(" ")));
        let response =
            one.response.as_ref().map(|one| format!("{} {} {:?}", one.success, one.header, one.data));
        format!("{}: {}", request.unwrap_or_default().trim(), response.unwrap_or_default())
    };
    commands(played).iter().map(text).collect()
}

const LOGIN: [(Side, &[u8]); 5] = [
    (S, b"+OK ready\r\n"),
    (C, b"USER joe\r\n"),
    (S, b"+OK joe?\r\n"),
    (C, b"PASS s3cret word\r\n"),
    (S, b"+OK\r\n"),
];

#[test]
fn reads_commands_with_responses_in_pieces_of_any_size() {
    let turns = [
        &LOGIN[..],
        &[
            (C, b"STAT\r\nLIST\r\nLIST 1\r\n"),
            (S, b"+OK 2 300\r\n+OK 2 messages\r\n1 100\r\n2 200\r\n.\r\n+OK 1 100\r\n"),
            (C, b"RETR 1\r\n"),
            (S, b"+OK 100 octets\r\nSubject: s3cret\r\n\r\n..\r\n.\r\n"),
            (C, b"DELE 9\r\n"),
            (S, b"-ERR no such message\r\n"),
            (C, b"QUIT\r\n"),
        ],
    ]
    .concat();
    for piece in [1, 3, 4096] {
        let played = play(110, &turns, piece);
        assert_eq!(
            texts(&played),
            [
                ": true ready []",
                "USER joe: true joe? []",
                "PASS: true  []",
                "STAT: true 2 300 []",
                "LIST: true 2 messages [\"1 100\", \"2 200\"]",
                "LIST 1: true 1 100 []",
                "RETR 1: true 100 octets []",
                "DELE 9: false no such message []",
                "QUIT: ",
            ]
        );
        assert!(!played.text().contains("s3cret"), "neither passwords nor messages are kept");
    }
}

#[test]
fn challenges_are_answered_in_secret() {
    let turns = [
        (S, &b"+OK\r\n"[..]),
        (C, b"AUTH LOGIN\r\n"),
        (S, b"+ VXNlcg==\r\n"),
        (C, b"c2VjcmV0\r\n"),
        (S, b"+ UGFzcw==\r\n"),
        (C, b"c2VjcmV0\r\n"),
        (S, b"+OK in\r\n"),
        (C, b"NOOP\r\n"),
        (S, b"+OK\r\n"),
    ];
    let played = play(110, &turns, 4096);
    assert_eq!(
        texts(&played)[1..],
        ["AUTH LOGIN: true VXNlcg== []", ": true UGFzcw== []", ": true in []", "NOOP: true  []"]
    );
    assert!(!played.text().contains("c2Vj"));
}

#[test]
fn goes_on_in_tls() {
    let turns = [
        (S, &b"+OK\r\n"[..]),
        (C, b"STLS\r\n"),
        (S, b"+OK begin\r\n"),
        (C, b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"),
    ];
    assert_eq!(play(110, &turns, 4096).applications(), [Application::Pop3, Application::Tls]);
}

#[test]
fn hostile_input_costs_no_more_than_its_length() {
    let endless = vec![b'A'; 300_000];
    let many = b"NOOP\r\n".repeat(30_000);
    let list = [b"+OK\r\n".as_slice(), &b"1 1\r\n".repeat(30_000)].concat();
    for (side, hostile) in [(C, &endless), (S, &endless), (C, &many), (S, &list)] {
        for piece in [1, 1460] {
            let played = play(110, &[&LOGIN[..], &[(C, b"LIST\r\n"), (side, hostile)]].concat(), piece);
            assert!(commands(&played).len() < 80);
            assert!(
                commands(&played)
                    .iter()
                    .filter_map(|one| one.response.as_ref())
                    .all(|one| one.data.len() <= DATA_MAX)
            );
        }
    }
}
