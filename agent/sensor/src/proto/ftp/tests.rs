//! FTP in hand-checked and hostile bytes.

use super::*;
use crate::event::Transaction;
use crate::proto::bench::{Bench, C, S, play};

fn commands(played: &Bench) -> Vec<&FtpCommand> {
    played.all(|one| if let Transaction::Ftp(one) = one { Some(&**one) } else { None })
}

fn find<'a>(played: &'a Bench, name: &str) -> &'a FtpCommand {
    commands(played).into_iter().find(|one| one.command.as_deref() == Some(name)).expect("the command")
}

const LOGIN: [(Side, &[u8]); 5] = [
    (S, b"220 (vsFTPd 3.0.3)\r\n"),
    (C, b"USER anonymous\r\n"),
    (S, b"331 Please specify the password.\r\n"),
    (C, b"PASS me@example.jp\r\n"),
    (S, b"230-Welcome\r\n 230 is not the end\r\n230 Login successful.\r\n"),
];

#[test]
fn reads_commands_with_replies_in_pieces_of_any_size() {
    for piece in [1, 2, 11, 4096] {
        let played = play(21, &[&LOGIN[..], &[(C, b"QUIT\r\n"), (S, b"221 Bye\r\n")]].concat(), piece);
        let names: Vec<_> = commands(&played).iter().map(|one| one.command.as_deref()).collect();
        assert_eq!(names, [None, Some("USER"), Some("PASS"), Some("QUIT")], "{piece}");
        assert_eq!(commands(&played)[0].replies, [(Some(220), "(vsFTPd 3.0.3)".into())]);
        let pass = find(&played, "PASS");
        assert_eq!(
            pass.replies.iter().map(|(code, _)| *code).collect::<Vec<_>>(),
            [Some(230), None, Some(230)]
        );
        assert_eq!(pass.last_reply, Some((230, "Login successful.".into())));
        assert_eq!(played.applications(), [Application::Ftp]);
    }
}

#[test]
fn keeps_only_a_guests_password() {
    let played = play(21, &LOGIN, 4096);
    assert_eq!(find(&played, "PASS").guest_password.as_deref(), Some("me@example.jp"));
    for user in [&b"USER joe\r\n"[..], b"USER \r\n", b"user Joe Doe\r\n"] {
        let turns = [
            (S, &b"220 ftp\r\n"[..]),
            (C, user),
            (S, b"331 pw\r\n"),
            (C, b"PASS s3cret\r\n"),
            (S, b"230 ok\r\n"),
            (C, b"ACCT s3cret\r\n"),
        ];
        let played = play(21, &turns, 4096);
        assert!(find(&played, "PASS").password_given);
        assert!(!played.text().contains("s3cret"), "{user:?}");
    }
}

#[test]
fn tells_ftp_by_the_greeting_or_by_the_first_command() {
    for (greeting, first, expected) in [
        (&b"220 FTP server\r\n"[..], &b"QUIT\r\n"[..], true),
        (b"220 hello\r\n", b"USER joe\r\n", true),
        (b"220-hello\r\n220 x\r\n", b"AUTH TLS\r\n", true),
        (b"220 hello\r\n", b"EHLO pc\r\n", false),
        (b"220 mx ESMTP\r\n", b"QUIT\r\n", false),
        (b"+OK hello\r\n", b"USER joe\r\n", false),
    ] {
        let played = play(2000, &[(S, greeting), (C, first)], 4096);
        assert_eq!(played.applications() == [Application::Ftp], expected, "{greeting:?} {first:?}");
    }
    assert_eq!(play(21, &[(S, b"220 hello\r\n"), (C, b"QUIT\r\n")], 4096).applications(), [Application::Ftp]);
}

#[test]
fn a_greeting_that_came_before_the_recognition_is_read() {
    let played = play(2000, &[(S, b"220 hello\r\n"), (C, b"USER joe\r\n")], 4096);
    assert_eq!(commands(&played)[0].replies, [(Some(220), "hello".into())]);
}

#[test]
fn knows_where_the_data_goes() {
    let channel = |passive, from: &str, to: &str, port| {
        let to = crate::event::Endpoint { address: to.parse().unwrap(), port };
        Some(crate::event::FtpDataChannel { passive, from: from.parse().unwrap(), to })
    };
    let (client, server) = ("192.0.2.1", "192.0.2.2");
    for (command, reply, expected) in [
        (
            &b"PASV\r\n"[..],
            &b"227 Entering Passive Mode (192,0,2,2,185,13).\r\n"[..],
            channel(true, client, server, 47_373),
        ),
        (b"PASV\r\n", b"227 =192,0,2,3,0,21\r\n", channel(true, client, "192.0.2.3", 21)),
        (
            b"EPSV\r\n",
            b"229 Entering Extended Passive Mode (|||60931|)\r\n",
            channel(true, client, server, 60_931),
        ),
        (b"PORT 192,0,2,1,4,1\r\n", b"200 ok\r\n", channel(false, server, client, 1025)),
        (b"EPRT |2|2001:db8::1|49189|\r\n", b"200 ok\r\n", channel(false, server, "2001:db8::1", 49_189)),
        (b"PORT 114,115\r\n", b"200 ok\r\n", None),
        (b"PASV\r\n", b"227 nowhere\r\n", None),
        (b"PASV\r\n", b"530 not you (192,0,2,2,185,13)\r\n", None),
    ] {
        let played = play(21, &[&LOGIN[..], &[(C, command), (S, reply)]].concat(), 4096);
        assert_eq!(commands(&played).last().unwrap().data, expected, "{command:?} {reply:?}");
    }
}

#[test]
fn follows_directories_and_sizes() {
    let turns = [
        &LOGIN[..],
        &[
            (C, b"RETR a.txt\r\n"),
            (S, b"150 Opening BINARY mode data connection for a.txt (77 bytes).\r\n226 Transfer complete.\r\n"),
            (C, b"PWD\r\n"),
            (S, b"257 \"/home/joe\" is the current directory\r\n"),
            (C, b"CWD ../pub\r\n"),
            (S, b"250 ok\r\n"),
            (C, b"CWD secret\r\n"),
            (S, b"550 no\r\n"),
            (C, b"STOR b.txt\r\n"),
            (S, b"150 go\r\n"),
        ],
    ]
    .concat();
    let played = play(21, &turns, 7);
    let got = find(&played, "RETR");
    assert_eq!((&*got.path, got.file_bytes), ("./a.txt", Some(77)));
    assert_eq!(got.last_reply, Some((226, "Transfer complete.".into())));
    let put = find(&played, "STOR");
    assert_eq!((&*put.path, &*put.argument), ("/home/pub/b.txt", "b.txt"));
}

#[test]
fn commands_without_waiting_find_their_replies() {
    let turns = [
        &LOGIN[..],
        &[
            (C, b"SYST\r\nTYPE I\r\nSIZE a\r\n"),
            (S, b"215 UNIX\r\n200 Type set to I\r\n213 42\r\n"),
            (C, b"NOOP\r\n"),
            (S, b"200 ok\r\n"),
        ],
    ]
    .concat();
    let played = play(21, &turns, 4096);
    let codes: Vec<_> = commands(&played)
        .iter()
        .map(|one| (one.command.as_deref(), one.replies.last().and_then(|(code, _)| *code)))
        .collect();
    let expected = [
        (Some("SYST"), Some(215)),
        (Some("TYPE"), Some(200)),
        (Some("SIZE"), Some(213)),
        (Some("NOOP"), Some(200)),
    ];
    assert_eq!(codes[3..], expected);
    assert_eq!(find(&played, "SIZE").file_bytes, Some(42));
}

#[test]
fn goes_on_in_tls() {
    let turns = [
        (S, &b"220 ftp\r\n"[..]),
        (C, b"AUTH TLS\r\n"),
        (S, b"234 Proceed\r\n"),
        (C, b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"),
    ];
    let played = play(21, &turns, 4096);
    assert_eq!(played.applications(), [Application::Ftp, Application::Tls]);
    assert_eq!(&*find(&played, "AUTH").argument, "TLS");
}

#[test]
fn lines_that_are_too_long_are_cut() {
    let long = [b"RETR ".as_slice(), &[b'A'; 5000], b"\r\n"].concat();
    let reply = [b"550 ".as_slice(), &[b'B'; 5000], b"\r\n"].concat();
    let turns =
        [&LOGIN[..], &[(C, &long), (S, b"550 no\r\n"), (C, b"RETR index.html\r\n"), (S, &reply)]].concat();
    for piece in [1, 1024, 8192] {
        let played = play(21, &turns, piece);
        let got: Vec<_> =
            commands(&played).into_iter().filter(|one| one.command.as_deref() == Some("RETR")).collect();
        assert_eq!(
            (got[0].command_cut, got[0].reply_cut, got[0].argument.len()),
            (true, false, LINE_MAX - 5)
        );
        assert_eq!((got[1].command_cut, got[1].reply_cut, &*got[1].argument), (false, true, "index.html"));
    }
}

#[test]
fn what_is_no_reply_ends_the_reading() {
    for reply in [&b"99 invalid\r\n"[..], b"230_no_space\r\n", b"hello\r\n"] {
        let played = play(
            21,
            &[&LOGIN[..], &[(C, b"PASV\r\n"), (S, reply), (C, b"QUIT\r\n"), (S, b"221 Bye\r\n")]].concat(),
            4096,
        );
        let last = commands(&played).last().copied().unwrap();
        assert_eq!(last.command.as_deref(), Some("PASV"), "{reply:?}");
        assert_eq!(last.last_reply, Some((230, "Login successful.".into())));
        assert_eq!(played.counters.value(Counter::ProtoMalformed), 1);
    }
}

#[test]
fn hostile_input_costs_no_more_than_its_length() {
    let endless = vec![b'A'; 300_000];
    let commands_many = b"NOOP\r\n".repeat(30_000);
    let replies = b"230-x\r\n".repeat(30_000);
    let directories = b"CWD aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(5_000);
    for (side, hostile) in
        [(C, &endless), (S, &endless), (C, &commands_many), (S, &replies), (C, &directories)]
    {
        for piece in [1, 1460] {
            let played = play(21, &[&LOGIN[..], &[(C, b"LIST\r\n"), (side, hostile)]].concat(), piece);
            assert!(commands(&played).len() <= 30, "what waits is bounded");
            assert!(commands(&played).iter().all(|one| one.replies.len() <= 64));
        }
    }
    // Each answered: the directory stays bounded too.
    let both: Vec<(Side, &[u8])> = (0..2_000)
        .flat_map(|_| [(C, &b"CWD aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"[..]), (S, b"250 ok\r\n")])
        .collect();
    let played = play(21, &[&LOGIN[..], &both].concat(), 1460);
    assert!(commands(&played).iter().all(|one| one.path.len() <= 1024 + 32));
}
