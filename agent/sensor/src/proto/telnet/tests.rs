//! Telnet in hand-checked and hostile bytes.

use super::*;
use crate::event::Transaction;
use crate::proto::bench::{C, S, play};

const OPTIONS: (Side, &[u8]) = (S, b"\xff\xfd\x18\xff\xfd\x20\xff\xfa\x18\x01\xff\xf0");

fn session(turns: &[(Side, &[u8])]) -> TelnetSession {
    let mut sessions = Vec::new();
    for piece in [1, 4096] {
        let played = play(23, turns, piece);
        assert!(!played.text().contains("s3cret"), "passwords are not kept");
        sessions = played
            .all(|one| if let Transaction::Telnet(one) = one { Some(&**one) } else { None })
            .into_iter()
            .cloned()
            .collect();
    }
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

#[test]
fn reads_a_login() {
    for (end, succeeded) in [
        (&b"\r\nLast login: Mon\r\njoe@host:~$ "[..], Some(true)),
        (b"\r\nLogin incorrect\r\nhost login: ", Some(false)),
        (b"\r\n", None),
    ] {
        let turns = [
            OPTIONS,
            (C, b"\xff\xfb\x18\xff\xfc\x20"),
            (S, b"Welcome\r\nhost login: "),
            (C, b"jox\x7fe\r\0"),
            (S, b"joe\r\nPassword: "),
            (C, b"s3cret\r\0"),
            (S, end),
        ];
        let session = session(&turns);
        assert_eq!(session.user.as_deref(), Some("joe"));
        assert_eq!((session.password_given, session.succeeded), (true, succeeded), "{end:?}");
        assert_eq!(session.options, [0x18, 0x20]);
    }
}

#[test]
fn is_known_by_its_negotiation() {
    for (bytes, expected) in [
        (&b"\xff\xfd\x18"[..], Guess::Yes),
        (b"\xff\xfb\x01\xff\xfb\x03", Guess::Yes),
        (b"\xff", Guess::More),
        (b"\xff\xfd", Guess::More),
        (b"\xff\xd8\xff\xe0", Guess::No),
        (b"login: ", Guess::No),
        (b"\xff\xfd\xee", Guess::No),
    ] {
        assert_eq!(probe(&Hint::of_port(23), bytes), expected, "{bytes:?}");
    }
}

#[test]
fn hostile_input_costs_no_more_than_its_length() {
    for hostile in [b"login:".repeat(20_000), b"\xff\xfa".repeat(60_000), vec![b'a'; 200_000]] {
        let session = session(&[OPTIONS, (S, b"login:"), (C, &hostile), (S, &hostile)]);
        assert!(session.user.is_none_or(|user| user.len() <= USER_MAX));
    }
}
