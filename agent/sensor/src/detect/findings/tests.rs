//! Which exception a revision carries when it leaves.

use sekimori_wire::exception::ExceptionFile;

use super::*;

fn exceptions(port: u16) -> Exceptions {
    let file = ExceptionFile {
        id: "EX-1".into(),
        category: Some("scan.*".into()),
        port: Some(port),
        reason: "assessment".into(),
        owner: "owner".into(),
        created: "2023-01-01".into(),
        expires: "2023-11-20".into(),
        ..ExceptionFile::default()
    };
    Exceptions::from_files(vec![file]).unwrap()
}

fn finding(at: Timestamp) -> Finding {
    let (from, to): (IpAddr, IpAddr) = ([192, 168, 1, 9].into(), [192, 168, 1, 5].into());
    let who = Who {
        originator: Some(from.into()),
        responder: Some(to.into()),
        places: (from, to),
        vlan: None,
        what: "",
    };
    let mut finding = draft(Category::ScanPort, "scan.port/1", &Policy::default_private(), who, (at, at));
    port(&mut finding, 22);
    finding
}

fn marks(findings: &mut Findings) -> Vec<Option<String>> {
    findings.take_ready().into_iter().map(|one| one.excepted_by.map(|id| id.to_string())).collect()
}

#[test]
fn every_revision_is_judged_anew() {
    let at: Timestamp = "2023-11-14T00:00:00Z".parse().unwrap();
    let mut findings = Findings::new(&Limits::gateway(), 0);
    findings.set_exceptions(exceptions(22));
    let id = findings.open(finding(at));
    findings.grow(id, at, |finding| finding.count = 10);
    // One more port, and it is more than the exception was given for.
    findings.grow(id, at, |finding| {
        finding.count = 100;
        port(finding, 3_389);
    });
    let mark = Some("EX-1".to_owned());
    assert_eq!(marks(&mut findings), [mark.clone(), mark, None]);
    assert_eq!(findings.iter_excepted().collect::<Vec<_>>(), [("EX-1", 1)]);
}

#[test]
fn an_exception_ends_by_event_time_even_within_a_finding() {
    let at: Timestamp = "2023-11-20T14:00:00Z".parse().unwrap();
    let mut findings = Findings::new(&Limits::gateway(), 0);
    findings.set_exceptions(exceptions(22));
    let id = findings.open(finding(at));
    // 15:00 UTC is midnight in Japan.
    findings.grow(id, at.plus(Duration::from_secs(3_600)), |finding| finding.count = 2);
    findings.finish();
    assert_eq!(marks(&mut findings), [Some("EX-1".to_owned()), None]);
    findings.set_exceptions(exceptions(23));
    findings.open(finding(at));
    assert_eq!(marks(&mut findings), [None]);
    assert_eq!(
        findings.iter_excepted().collect::<Vec<_>>(),
        [("EX-1", 1)],
        "what it covered before is not forgotten"
    );
}
