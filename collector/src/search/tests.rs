//! What can be asked, and how answers look on a terminal.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn asked(change: impl FnOnce(&mut Asked)) -> Asked {
    let mut asked = Asked::default();
    change(&mut asked);
    asked
}

#[test]
fn what_is_empty_asks_for_everything() {
    let search = Asked::default().search(Kind::Flows, NOW).unwrap();
    assert!(search.asked.is_empty());
    assert_eq!((search.between, search.after, search.limit), ((None, None), None, ROWS));
}

#[test]
fn times_are_those_of_the_language_with_their_ends() {
    let search = asked(|asked| {
        asked.from = "2026-11-22".to_owned();
        asked.to = "2026-11-22".to_owned();
    })
    .search(Kind::Findings, NOW)
    .unwrap();
    let (from, to) = (search.between.0.unwrap(), search.between.1.unwrap());
    assert_eq!(to - from, 86_400_000_000_000 - 1);
}

#[test]
fn what_is_wrong_is_named() {
    for (asked, said) in [
        (asked(|asked| asked.q = "port:http".to_owned()), "q: at character 6: port is a whole number"),
        (asked(|asked| asked.from = "soon".to_owned()), "from: a time such as"),
        (asked(|asked| asked.to = "2026-13-01".to_owned()), "to: a time such as"),
        (asked(|asked| asked.limit = "0".to_owned()), "limit: a number from 1 to 1000"),
        (asked(|asked| asked.limit = "1001".to_owned()), "limit: "),
        (asked(|asked| asked.cursor = "?".to_owned()), "cursor: not one"),
    ] {
        let error = asked.search(Kind::Flows, NOW).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn columns_stand_under_each_other() {
    let rows = vec![vec!["a".to_owned(); 7], vec!["longer than its head".to_owned(); 7]];
    let table = Table::of(Kind::Alerts, &rows);
    let lines = [table.line(Kind::Alerts.columns()), table.line(&rows[0]), table.line(&rows[1])];
    let at: Vec<usize> = lines.iter().map(|line| line.find("  ").unwrap()).collect();
    assert_eq!(at, [10, 1, 20]);
    assert_eq!(lines[0].find("body"), lines[1].find(" a").map(|at| at + 1));
}

#[test]
fn every_kind_has_as_many_names_as_columns() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_name(kind.as_str()), Some(kind));
    }
    assert_eq!(Kind::from_name("incidents"), None);
}
