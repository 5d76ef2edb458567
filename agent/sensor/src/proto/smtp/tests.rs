//! SMTP in hand-checked and hostile bytes.

use super::*;
use crate::event::Transaction;
use crate::proto::bench::{Bench, C, S, play};

fn mails(played: &Bench) -> Vec<&SmtpMail> {
    played.all(|one| if let Transaction::Smtp(mail) = one { Some(&**mail) } else { None })
}

const GREETING: (Side, &[u8]) = (S, b"220 mx.example.jp ESMTP ready\r\n");
const HELLO: [(Side, &[u8]); 3] = [
    GREETING,
    (C, b"EHLO pc.example.jp\r\n"),
    (S, b"250-mx.example.jp\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 STARTTLS\r\n"),
];
const ENVELOPE: [(Side, &[u8]); 6] = [
    (C, b"MAIL FROM:<a@example.jp> SIZE=100\r\n"),
    (S, b"250 2.1.0 Ok\r\n"),
    (C, b"RCPT TO:<b@example.com>\r\n"),
    (S, b"250 2.1.5 Ok\r\n"),
    (C, b"rcpt to: <c@example.com> NOTIFY=NEVER\r\n"),
    (S, b"250 2.1.5 Ok\r\n"),
];
const DATA: [(Side, &[u8]); 4] = [
    (C, b"DATA\r\n"),
    (S, b"354 go on\r\n"),
    (
        C,
        b"From: A <a@example.jp>\r\nTo: \"B, b\" <b@example.com>,\r\n\tc@example.com\r\nSubject: A long\r\n line\r\n\
        Message-ID: <1@example.jp>\r\n\r\nsecret body\r\n..\r\n.hidden dot\r\n.\r\n",
    ),
    (S, b"250 2.0.0 Ok: queued as 1\r\n"),
];
const QUIT: [(Side, &[u8]); 2] = [(C, b"QUIT\r\n"), (S, b"221 Bye\r\n")];

fn whole() -> Vec<(Side, &'static [u8])> {
    [&HELLO[..], &ENVELOPE, &DATA, &QUIT].concat()
}

#[test]
fn reads_a_mail_in_pieces_of_any_size() {
    for piece in [1, 2, 3, 7, 64, 4096] {
        let played = play(25, &whole(), piece);
        let [mail] = mails(&played)[..] else { panic!("{piece}: {:?}", mails(&played)) };
        assert_eq!(mail.helo.as_deref(), Some("pc.example.jp"));
        assert_eq!(mail.mail_from.as_deref(), Some("<a@example.jp>"));
        assert_eq!(mail.rcpt_to, [Box::from("<b@example.com>"), "<c@example.com>".into()]);
        assert_eq!(mail.last_reply, Some((250, "2.0.0 Ok: queued as 1".into())));
        assert_eq!((mail.depth, mail.transaction), (1, 0));
        let message = mail.message.as_ref().unwrap();
        assert_eq!(message.progress, MailProgress::Done);
        assert_eq!(message.from.as_deref(), Some("A <a@example.jp>"));
        assert_eq!(message.to, [Box::from("\"B, b\" <b@example.com>"), "c@example.com".into()]);
        assert_eq!(message.subject.as_deref(), Some("A long line"));
        assert_eq!(message.message_id.as_deref(), Some("<1@example.jp>"));
        assert!(!played.text().contains("secret body"), "the body is never kept");
        assert_eq!(played.applications(), [Application::Smtp]);
        assert_eq!(played.anomalies(), [""; 0]);
    }
}

#[test]
fn tells_smtp_by_the_greeting_or_by_the_first_command() {
    for (greeting, first, expected) in [
        (&b"220 mx ESMTP\r\n"[..], &b"QUIT\r\n"[..], true),
        (b"220 hello\r\n", b"EHLO pc\r\n", true),
        (b"220 hello\r\n", b"helo pc\r\n", true),
        (b"220 hello\r\n", b"QUIT\r\n", true),
        (b"220 (vsFTPd 3)\r\n", b"QUIT\r\n", false),
        (b"220 hello\r\n", b"USER joe\r\n", false),
        (b"+OK hello\r\n", b"QUIT\r\n", false),
    ] {
        let played = play(25, &[(S, greeting), (C, first)], 4096);
        assert_eq!(played.applications() == [Application::Smtp], expected, "{greeting:?} {first:?}");
    }
}

#[test]
fn a_greeting_that_came_before_the_recognition_is_read() {
    let played = play(2000, &[(S, b"220 hello\r\n"), (C, b"EHLO pc\r\n")], 4096);
    assert_eq!(mails(&played)[0].last_reply, Some((220, "hello".into())));
    assert_eq!(mails(&played)[0].helo.as_deref(), Some("pc"));
}

#[test]
fn goes_on_in_tls() {
    let turns = [
        &HELLO[..],
        &[
            (C, b"STARTTLS\r\n"),
            (S, b"220 2.0.0 Ready\r\n"),
            (C, b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"),
        ],
    ]
    .concat();
    let played = play(25, &turns, 4096);
    assert!(mails(&played)[0].tls);
    assert_eq!(mails(&played)[0].last_reply, Some((220, "2.0.0 Ready".into())));
    assert_eq!(played.applications(), [Application::Smtp, Application::Tls]);
    let refused =
        play(25, &[&HELLO[..], &[(C, b"STARTTLS\r\n"), (S, b"454 no\r\n")], &ENVELOPE, &DATA].concat(), 4096);
    assert_eq!(refused.anomalies(), ["TLS_REJECTED"]);
    assert_eq!(mails(&refused).len(), 1);
}

#[test]
fn keeps_no_password() {
    for turns in [
        &[
            (C, &b"AUTH LOGIN\r\n"[..]),
            (S, b"334 VXNlcm5hbWU6\r\n"),
            (C, b"c2VjcmV0\r\n"),
            (S, b"334 UGFzc3dvcmQ6\r\n"),
            (C, b"c2VjcmV0\r\n"),
            (S, b"235 ok\r\n"),
        ][..],
        &[
            (C, b"AUTH LOGIN c2VjcmV0\r\n"),
            (S, b"334 UGFzc3dvcmQ6\r\n"),
            (C, b"c2VjcmV0\r\n"),
            (S, b"235 ok\r\n"),
        ],
    ] {
        let played = play(25, &[&HELLO[..], turns, &ENVELOPE, &DATA].concat(), 5);
        let expected = SmtpLogin { mechanism: "LOGIN".into(), succeeded: Some(true) };
        assert_eq!(mails(&played)[0].login, Some(expected));
        assert_eq!(mails(&played)[0].rcpt_to.len(), 2, "commands are read again");
        assert!(!played.text().contains("c2Vjc"));
    }
    let refused =
        play(25, &[&HELLO[..], &[(C, b"AUTH PLAIN AGEAYg==\r\n"), (S, b"535 no\r\n")]].concat(), 4096);
    assert_eq!(mails(&refused)[0].login.as_ref().unwrap().succeeded, Some(false));
    assert!(!refused.text().contains("AGEAYg"));
}

#[test]
fn reads_chunks() {
    let chunk = |text: &str, last: &str| format!("BDAT {}{last}\r\n{text}", text.len()).into_bytes();
    let (first, second) =
        (chunk("From: a@example.jp\r\nSubject: in tw", ""), chunk("o chunks\r\n\r\nsecret body", " LAST"));
    let turns: Vec<(Side, &[u8])> = [
        &HELLO[..],
        &ENVELOPE,
        &[(C, &first), (S, b"250 ok\r\n"), (C, &second), (S, b"250 queued\r\n")],
        &ENVELOPE,
        &DATA,
    ]
    .concat();
    for piece in [1, 3, 4096] {
        let played = play(25, &turns, piece);
        let mails = mails(&played);
        assert_eq!(mails.len(), 2, "{piece}: {mails:?}");
        assert_eq!(mails[0].message.as_ref().unwrap().subject.as_deref(), Some("in two chunks"));
        assert_eq!(mails[0].last_reply, Some((250, "queued".into())));
        assert_eq!((mails[1].depth, mails[1].transaction), (2, 1));
        assert!(!played.text().contains("secret"));
    }
    for bad in [&b"BDAT 5 X\r\n"[..], b"BDAT -1 LAST\r\n", b"BDAT 99999999999 LAST\r\n", b"BDAT\r\n"] {
        let played =
            play(25, &[&HELLO[..], &[(C, bad), (S, b"521 no\r\n")], &ENVELOPE, &DATA].concat(), 4096);
        assert_eq!(played.anomalies(), ["INVALID_BDAT"], "{bad:?}");
        assert_eq!(mails(&played)[0].message.as_ref().unwrap().progress, MailProgress::Done);
    }
}

#[test]
fn a_refused_message_is_not_one() {
    let turns = [&HELLO[..], &[(C, b"DATA\r\n"), (S, b"503 no\r\n")], &ENVELOPE, &DATA].concat();
    let played = play(25, &turns, 4096);
    assert_eq!(played.anomalies(), ["DATA_COMMAND_REJECTED"]);
    assert_eq!(mails(&played).len(), 1);
    assert_eq!(mails(&played)[0].rcpt_to.len(), 2);
}

#[test]
fn commands_without_waiting_find_their_replies() {
    let turns = [
        &HELLO[..],
        &[
            (C, b"MAIL FROM:<a@x.jp>\r\nRCPT TO:<b@x.jp>\r\nDATA\r\n"),
            (S, b"250 1\r\n250 2\r\n354 go\r\n"),
            (C, b"Subject: one\r\n\r\n.\r\nRSET\r\nMAIL FROM:<c@x.jp>\r\nRCPT TO:<d@x.jp>\r\nDATA\r\n"),
            (S, b"250 queued\r\n250 reset\r\n250 3\r\n250 4\r\n354 go\r\n"),
            (C, b"Subject: two\r\n\r\n.\r\n"),
            (S, b"250 queued too\r\n"),
        ],
    ]
    .concat();
    let played = play(25, &turns, 4096);
    let subjects: Vec<_> =
        mails(&played).iter().map(|mail| mail.message.as_ref().unwrap().subject.clone().unwrap()).collect();
    assert_eq!(subjects, [Box::from("one"), "two".into()]);
    assert_eq!(mails(&played)[1].last_reply, Some((250, "queued too".into())));
    assert_eq!(mails(&played)[1].depth, 2);
}

#[test]
fn names_attachments_and_the_path() {
    let turns = [
        &HELLO[..],
        &ENVELOPE,
        &[
            (C, b"DATA\r\n"),
            (S, b"354\r\n"),
            (
                C,
                b"Received: from a (a [198.51.100.7]) by b\r\nReceived: from x [10.1.2.3] (helo y) by [IPv6:2001:db8::1]\r\n\
                Received: by z\r\nX-Originating-IP: [203.0.113.9]\r\nX-Mailer: Mail 1\r\n\
                Content-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n--=_x\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
                --=_x\r\nContent-Type: application/pdf;\r\n name=\"a;b.pdf\"\r\nContent-Disposition: attachment; filename=\"a;b.pdf\"\r\n\
                \r\nAAAA\r\n--=_x--\r\n.\r\n",
            ),
            (S, b"250 ok\r\n"),
        ],
    ]
    .concat();
    let played = play(25, &turns, 9);
    let message = mails(&played)[0].message.clone().unwrap();
    assert_eq!(message.attachments, [Box::from("a;b.pdf")]);
    assert_eq!(
        message.received,
        [Box::from("from x [10.1.2.3] (helo y) by [IPv6:2001:db8::1]"), "by z".into()]
    );
    let path: Vec<String> = message.path.iter().map(ToString::to_string).collect();
    assert_eq!(path, ["198.51.100.7", "2001:db8::1"], "of two addresses the second is where it was");
    assert_eq!(message.originating_ip, Some("203.0.113.9".parse().unwrap()));
    assert_eq!(message.user_agent.as_deref(), Some("Mail 1"));
}

#[test]
fn says_what_breaks_the_rules_once() {
    let played =
        play(25, &[&HELLO[..], &[(C, b"EHLO pc\r\n"), (S, b"402 what\r\nnonsense\r\n")]].concat(), 4096);
    assert_eq!(played.anomalies(), ["DUPLICATE_FIELDS", "INVALID_REPLY"]);
    let turns =
        [&HELLO[..], &[(C, b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSubject: now\r\n\r\n.\r\n")]]
            .concat();
    assert_eq!(play(25, &turns, 4096).anomalies(), ["INVALID_PIPELINED_SEQUENCE"]);
}

/// Nothing grows without bound, and no byte is looked at again and again.
#[test]
fn hostile_input_costs_no_more_than_its_length() {
    let endless = [b"EHLO ".as_slice(), &[b'a'; 300_000]].concat();
    let commands = b"RCPT TO:<b@example.com>\r\n".repeat(20_000);
    let folded = [b"DATA\r\nSubject: x\r\n".as_slice(), &b" folded\r\n".repeat(50_000)].concat();
    let boundaries = [
        b"DATA\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".as_slice(),
        &b"--b\r\nContent-Type: a; name=n\r\n\r\n".repeat(10_000),
    ]
    .concat();
    let quotes = [b"DATA\r\nTo: ".as_slice(), &b"\",".repeat(2_000), b"\r\n"].concat();
    for hostile in [&endless, &commands, &folded, &boundaries, &quotes] {
        for piece in [1, 1460] {
            let played = play(25, &[GREETING, (C, b"HELO pc\r\n"), (S, b"250 ok\r\n"), (C, hostile)], piece);
            assert!((1..=2).contains(&mails(&played).len()));
            for mail in mails(&played) {
                assert!(mail.rcpt_to.len() <= RECIPIENTS_MAX);
                assert!(format!("{mail:?}").len() < 64 * 1024);
            }
        }
    }
    let replies = b"250 ok\r\n".repeat(50_000);
    assert_eq!(mails(&play(25, &[GREETING, (S, &replies)], 1460)).len(), 1);
}

#[test]
fn a_gap_in_the_body_does_not_end_the_mail() {
    let mut content = Content::default();
    let mut message = crate::event::MailMessage::default();
    content.line(b"Subject: x", &mut message);
    content.lose();
    content.line(b"To: b", &mut message);
    content.finish(&mut message);
    assert_eq!(message.subject, None, "the header may have gone on");
    assert_eq!(message.to.len(), 1);
}
