//! The table of who may do what, as a person reads it, against the one in the code.

use super::*;

/// The domain's table as a person reads it: ● may, ○ may propose, – no; `2` ● up to L2, `d` ● up to 30 days, `u` ○
/// upwards only, `4` ● at L4. Columns as in the document.
const TABLE: &str = "
    open                      ● ● ● ● ● ● ● ●
    acknowledge               ● ● ● ● ● – ● –
    triage                    ○ ● ● ● ○ – ● –
    level                     – ○ ● ● ○ ○ ● u
    start                     – ● ● ● ● – – –
    investigate               – – ● ● ● – – –
    notify                    – – ● ● ● – – –
    obligation_file           ○ – ○ ○ ● – ○ –
    obligation_not_applicable ○ – ○ ○ ○ ● ○ –
    publication_approve       – – – ○ ○ ● – –
    recover                   – – ● ● ● – – –
    finish                    – – ○ ○ ● ● – –
    close                     – – ○ ● ○ ● – –
    reopen                    – – ○ ● ○ ● ● –
    false_positive            ○ 2 2 ● ○ – ● –
    evidence_capture          – ○ ○ ● ○ ● – –
    activate_control          ○ ○ ○ ● ○ ● ● 4
    suppress                  – ○ d ● ○ – – –
    share                     – – ○ ● ○ ● ○ –
    observe                   ○ ● ● ● ○ – ● ●
    recur                     ● ● ● ● ● – ● ●
    regroup                   ○ ● ● ● ○ – ● –
    back                      – – ● ● ● – – –
    unmask                    – ○ ○ ○ ● ● – –
    work                      ● ● ● ● ● ● ● –
    waive                     – ○ ● ● ○ – – –
    record                    – ● ● ● ● ● ● –
";

const COLUMNS: [Part; 8] = [
    Part::Person(Role::Reception),
    Part::Person(Role::Monitor),
    Part::Person(Role::TechSupport),
    Part::Person(Role::Control),
    Part::Person(Role::BodyOfficer),
    Part::Person(Role::BodyCiso),
    Part::Person(Role::PrefCsirt),
    Part::System,
];

fn expected(cell: &str, at_hand: AtHand) -> Grant {
    let severity = at_hand.severity.level();
    match cell {
        "●" => Grant::May,
        "○" => Grant::Propose,
        "–" => Grant::No,
        "2" if severity <= 2 => Grant::May,
        "2" => Grant::Propose,
        "d" if at_hand.days == Some(30) => Grant::May,
        "d" => Grant::Propose,
        "u" if at_hand.level > Some(at_hand.severity) => Grant::Propose,
        "u" => Grant::No,
        "4" if severity == 4 => Grant::May,
        "4" => Grant::No,
        other => panic!("{other}"),
    }
}

#[test]
fn the_whole_matrix_is_that_of_the_domain() {
    let mut rows = 0;
    for line in TABLE.lines().filter(|line| !line.trim().is_empty()) {
        let mut cells = line.split_whitespace();
        let permission = Permission::from_name(cells.next().unwrap()).unwrap();
        let cells: Vec<&str> = cells.collect();
        assert_eq!(cells.len(), COLUMNS.len(), "{permission}");
        rows += 1;
        for (part, cell) in COLUMNS.iter().zip(cells) {
            for level in 0..=4 {
                for asked in [None, Some(0), Some(2), Some(4)] {
                    for days in [None, Some(30), Some(31)] {
                        let at_hand = AtHand {
                            severity: Severity::new(level).unwrap(),
                            level: asked.and_then(Severity::new),
                            days,
                        };
                        let found = grant(*part, permission, at_hand);
                        assert_eq!(found, expected(cell, at_hand), "{permission} {part} {at_hand:?}");
                    }
                }
            }
        }
    }
    assert_eq!(rows, Permission::ALL.len());
    assert_eq!(MATRIX.len(), Permission::ALL.len());
}

#[test]
fn auditors_and_administrators_do_nothing() {
    let at_hand = AtHand { severity: Severity::LOW, level: Some(Severity::HIGH), days: Some(1) };
    for role in [Role::Auditor, Role::Admin] {
        for permission in Permission::ALL {
            assert_eq!(grant(Part::Person(role), *permission, at_hand), Grant::No, "{role} {permission}");
        }
    }
}

#[test]
fn some_things_nobody_does_alone() {
    for level in 0..=4 {
        let severity = Severity::new(level).unwrap();
        for permission in Permission::ALL {
            let wanted = match permission.as_str() {
                "unmask" => Signatures::Two,
                "false_positive" if level >= 3 => Signatures::Two,
                "share" => Signatures::ControlAndCiso,
                _ => Signatures::One,
            };
            assert_eq!(signatures(*permission, severity), wanted, "{permission} L{level}");
        }
    }
}

#[test]
fn what_can_be_proposed_can_be_approved_by_somebody() {
    let at_hand = AtHand { severity: Severity::CRITICAL, level: Some(Severity::CRITICAL), days: Some(365) };
    for permission in Permission::ALL {
        assert!(
            COLUMNS.iter().any(|part| grant(*part, *permission, at_hand) == Grant::May),
            "{permission}: nobody could approve"
        );
    }
}
