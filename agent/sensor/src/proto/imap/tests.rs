//! IMAP in hand-checked and hostile bytes.

use super::*;
use crate::event::Transaction;
use crate::proto::bench::{Bench, C, S, play};

fn texts(played: &Bench) -> Vec<String> {
    let all = played.all(|one| if let Transaction::Imap(one) = one { Some(&**one) } else { None });
    let text = |one: &&ImapCommand| {
        let argument = one.argument.as_deref().unwrap_or("-");
        format!(
            "{} {} {argument} {} {}",
            one.tag,
            one.command,
            one.status.as_deref().unwrap_or("-"),
            one.text
        )
    };
    all.iter().map(text).collect()
}

#[test]
fn reads_commands_with_responses_in_pieces_of_any_size() {
    let turns: [(Side, &[u8]); 11] = [
        (S, b"* OK IMAP4rev2 ready\r\n"),
        (C, b"a1 login joe s3cret\r\n"),
        (S, b"* CAPABILITY IMAP4rev2\r\na1 OK logged in\r\n"),
        (C, b"a2 SELECT \"My box\"\r\n"),
        (S, b"* 1 EXISTS\r\na2 OK [READ-WRITE] done\r\n"),
        (C, b"a3 FETCH 1 BODY[]\r\n"),
        (S, b"* 1 FETCH (BODY[] {20}\r\na3 OK not the end!\r\n FLAGS (x))\r\na3 OK fetched\r\n"),
        (C, b"a4 AUTHENTICATE PLAIN\r\n"),
        (S, b"+ \r\n"),
        (C, b"c2VjcmV0\r\n"),
        (S, b"a4 NO refused\r\n"),
    ];
    for piece in [7, 64, 4096] {
        let played = play(143, &turns, piece);
        assert_eq!(
            texts(&played),
            [
                "a1 LOGIN joe OK logged in",
                "a2 SELECT My box OK [READ-WRITE] done",
                "a3 FETCH - OK fetched",
                "a4 AUTHENTICATE PLAIN NO refused",
            ]
        );
        assert!(!played.text().contains("s3cret") && !played.text().contains("c2Vj"));
    }
}

#[test]
fn goes_on_in_tls() {
    let turns = [
        (S, &b"* OK\r\n"[..]),
        (C, b"a STARTTLS\r\n"),
        (S, b"a OK begin\r\n"),
        (C, b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"),
    ];
    assert_eq!(play(143, &turns, 4096).applications(), [Application::Imap, Application::Tls]);
}

#[test]
fn hostile_input_costs_no_more_than_its_length() {
    let (endless, many) = (vec![b'A'; 300_000], b"a NOOP\r\n".repeat(30_000));
    let answers = b"z OK\r\n".repeat(30_000);
    for (side, hostile) in [(C, &endless), (S, &endless), (C, &many), (S, &answers)] {
        let played = play(143, &[(S, b"* OK\r\n"), (side, hostile)], 1460);
        assert!(texts(&played).len() <= PENDING_MAX);
    }
}
