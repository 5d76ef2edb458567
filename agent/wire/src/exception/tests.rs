//! What an exception covers, what it must not, and which are refused.

use super::*;

fn file(change: impl FnOnce(&mut ExceptionFile)) -> ExceptionFile {
    let mut file = ExceptionFile {
        id: "EX-1".into(),
        reason: "vulnerability assessment".into(),
        owner: "情報政策課".into(),
        created: "2026-04-01".into(),
        expires: "2027-03-31".into(),
        ..ExceptionFile::default()
    };
    change(&mut file);
    file
}

fn facts<'a>(targets: &[&'a str], ports: &'a [u16]) -> Facts<'a> {
    Facts {
        category: Category::ScanPort,
        originator: "192.168.10.9".parse().ok(),
        responder: "192.168.20.7".parse().ok(),
        targets: targets.to_vec(),
        ports,
        body: "422011".parse().ok(),
        segment: Some("lgwan"),
    }
}

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

fn covers(change: impl FnOnce(&mut ExceptionFile), facts: &Facts<'_>) -> bool {
    let exceptions = Exceptions::from_files(vec![file(change)]).unwrap();
    exceptions.judge(facts, NOW).is_some()
}

fn refused(change: impl FnOnce(&mut ExceptionFile)) -> String {
    Exceptions::from_files(vec![file(change)]).unwrap_err().to_string()
}

fn set(value: &str) -> Option<String> {
    value.parse().ok()
}

#[test]
fn every_part_of_the_scope_must_fit() {
    let finding = facts(&[], &[22, 22]);
    for (category, expect) in
        [("scan.port", true), ("scan.*", true), ("scan.host", false), ("flood.*", false)]
    {
        assert_eq!(covers(|file| file.category = set(category), &finding), expect, "{category}");
    }
    for (originator, expect) in [
        ("192.168.10.9", true),
        ("192.168.0.0/16", true),
        ("192.168.11.0/24", false),
        ("::/0", false),
        ("0.0.0.0/0", true),
    ] {
        assert_eq!(covers(|file| file.originator = set(originator), &finding), expect, "{originator}");
    }
    assert!(covers(|file| file.port = Some(22), &finding));
    assert!(covers(|file| file.body = set("422011"), &finding));
    assert!(covers(|file| file.segment = set("lgwan"), &finding));
    let narrow = |file: &mut ExceptionFile| {
        (file.originator, file.responder) = (set("192.168.10.9"), set("192.168.99.0/24"));
    };
    assert!(!covers(narrow, &finding), "the responder lies elsewhere");
}

#[test]
fn one_thing_outside_the_scope_and_the_finding_stands() {
    assert!(!covers(|file| file.port = Some(22), &facts(&[], &[22, 3_389])));
    assert!(!covers(|file| file.port = Some(22), &facts(&[], &[])));
    assert!(!covers(|file| file.port = Some(22), &facts(&[], &[22; PORTS_MAX])), "some were left out");
    let example = |file: &mut ExceptionFile| file.target = set("Example.COM.");
    assert!(covers(example, &facts(&["a.example.com", "example.com."], &[])));
    for others in [&["a.example.com", "example.net"][..], &["badexample.com"], &[]] {
        assert!(!covers(example, &facts(others, &[])), "{others:?}");
    }
    let mut many = facts(&["192.0.2.1", "192.0.2.2"], &[]);
    many.responder = None;
    assert!(covers(|file| file.responder = set("192.0.2.0/24"), &many));
    assert!(!covers(|file| file.responder = set("192.0.2.1"), &many));
}

#[test]
fn it_ends_with_its_last_day_in_japan() {
    let exceptions = Exceptions::from_files(vec![file(|file| file.category = set("scan.port"))]).unwrap();
    let judged = |at: &str| exceptions.judge(&facts(&[], &[]), at.parse().unwrap()).is_some();
    assert!(judged("2027-03-31T23:59:59+09:00"));
    assert!(!judged("2027-04-01T00:00:00+09:00"));
}

#[test]
fn the_first_that_covers_is_named() {
    let wide = file(|file| file.category = set("scan.*"));
    let other = ExceptionFile { id: "EX-2".into(), ..wide.clone() };
    let exceptions = Exceptions::from_files(vec![wide.clone(), other]).unwrap();
    let (place, found) = exceptions.judge(&facts(&[], &[]), NOW).unwrap();
    assert_eq!((place, found.id.as_str()), (0, "EX-1"));
    let twice = Exceptions::from_files(vec![wide.clone(), wide]).unwrap_err();
    assert_eq!(twice.to_string(), "exception \"EX-1\" is given twice");
}

#[test]
fn incomplete_ones_are_refused_by_name() {
    let category = |file: &mut ExceptionFile| file.category = set("scan.port");
    for (message, expect) in [
        (refused(|_| ()), "has no scope"),
        (refused(|file| file.target = set(" ")), "has no scope"),
        (refused(|file| file.id = String::new()), "exception[0].id"),
        (
            refused(|file| {
                category(file);
                file.reason = " ".into();
            }),
            "reason is missing",
        ),
        (
            refused(|file| {
                category(file);
                file.owner = String::new();
            }),
            "owner is missing",
        ),
        (
            refused(|file| {
                category(file);
                file.expires = String::new();
            }),
            "expires is missing",
        ),
        (
            refused(|file| {
                category(file);
                file.created = "soon".into();
            }),
            "created = \"soon\" cannot be read",
        ),
        (
            refused(|file| {
                category(file);
                file.expires = "2027-05-08".into();
            }),
            "at most 400 days",
        ),
        (
            refused(|file| {
                category(file);
                file.expires = "2026-03-31".into();
            }),
            "must lie after created",
        ),
        (
            refused(|file| file.category = set("scan")),
            "category = \"scan\" cannot be read: a category such as",
        ),
        (refused(|file| file.category = set("sc*")), "category = \"sc*\""),
        (refused(|file| file.originator = set("10.0.0.0/33")), "originator = \"10.0.0.0/33\""),
        (refused(|file| file.body = set("422012")), "body = \"422012\""),
    ] {
        assert!(message.contains(expect), "{message} / {expect}");
    }
    Exceptions::from_files(vec![file(|file| {
        category(file);
        file.expires = "2027-05-06".into();
    })])
    .unwrap();
}

#[test]
fn the_verdict_says_what_lies_outside() {
    let one = |change: &dyn Fn(&mut ExceptionFile)| Exceptions::checked(vec![file(change)]).unwrap();
    let verdict = |exceptions: &Exceptions, facts: &Facts<'static>, at| {
        exceptions.iter().next().unwrap().verdict(facts, at)
    };
    let port = one(&|file| file.port = Some(443));
    let cases: [(&[u16], Verdict<'_>); 4] = [
        (&[443], Verdict::Covers),
        (&[443, 22], Verdict::Exceeds { key: "port", outside: Outside::Port(22) }),
        (&[22], Verdict::Other),
        (&[], Verdict::Other),
    ];
    for (ports, expected) in cases {
        assert_eq!(verdict(&port, &facts(&[], ports), NOW), expected, "{ports:?}");
    }
    let full: &'static [u16] = vec![443; PORTS_MAX].leak();
    let left_out = Verdict::Exceeds { key: "port", outside: Outside::LeftOut };
    assert_eq!(verdict(&port, &facts(&[], full), NOW), left_out);
    let target = one(&|file| file.target = set("example.org"));
    let names = facts(&["a.example.org", "example.net"], &[]);
    let outside = Outside::Target("example.net");
    assert_eq!(verdict(&target, &names, NOW), Verdict::Exceeds { key: "target", outside });
    let victims = Facts { responder: None, ..facts(&["10.3.0.1", "10.4.0.1"], &[]) };
    let responder = one(&|file| file.responder = set("10.3.0.0/16"));
    let outside = Outside::Target("10.4.0.1");
    assert_eq!(verdict(&responder, &victims, NOW), Verdict::Exceeds { key: "responder", outside });
    let ended = "2027-03-31T15:00:00Z".parse().unwrap();
    assert_eq!(verdict(&port, &facts(&[], &[443]), ended), Verdict::Ended);
}

#[test]
fn a_refusal_names_the_place() {
    let second = file(|file| {
        file.port = Some(1);
        file.reason = "x".repeat(1_025);
    });
    let files = vec![file(|file| file.port = Some(1)), second];
    let (place, cause) = Exceptions::checked(files).unwrap_err();
    assert_eq!(
        (place, cause.to_string().as_str()),
        (1, "exception \"EX-1\": reason is longer than 1024 bytes")
    );
    let twice = vec![file(|file| file.port = Some(1)), file(|file| file.port = Some(2))];
    assert_eq!(Exceptions::checked(twice).unwrap_err().0, 1);
    let known = Exceptions::checked(vec![file(|file| file.port = Some(443))]).unwrap();
    assert_eq!(known.by_id("EX-1").unwrap().written, [("port", "443".to_owned())]);
    assert!(known.by_id("EX-2").is_none());
}
