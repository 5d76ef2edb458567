//! The table of incidents on a terminal, Japanese and English, aligned although Japanese letters are two columns wide.

use serde_json::Value;

/// Incident categories in Japanese and English.
const CATEGORIES: [(&str, &str, &str); 9] = [
    ("scan", "スキャン", "scan"),
    ("brute_force", "総当たり", "brute force"),
    ("dos", "サービス妨害", "denial of service"),
    ("dns_tunnel", "DNSトンネル", "DNS tunnel"),
    ("segment_violation", "三層分離違反", "segment violation"),
    ("malware_infection", "マルウェア感染", "malware infection"),
    ("ransomware", "ランサムウェア", "ransomware"),
    ("c2_beacon", "C2通信", "C2 beacon"),
    ("policy_violation", "ポリシー違反", "policy violation"),
];
const SEVERITIES: [(&str, &str); 5] =
    [("情報", "info"), ("低", "low"), ("中", "medium"), ("高", "high"), ("重大", "critical")];

/// The incidents of `status --json`, parents first, then the worst first.
pub(crate) fn incidents(status: &Value, bodies: &[(&str, &str)]) -> String {
    let mut all: Vec<&Value> =
        status["incidents"].as_array().map(|all| all.iter().collect()).unwrap_or_default();
    let count = |one: &Value, key: &str| one[key].as_u64().unwrap_or_default();
    all.sort_by_key(|one| std::cmp::Reverse((count(one, "children"), count(one, "severity"))));
    let head =
        ["分類", "category", "深刻度", "severity", "団体", "subject", "findings", "source", "署名 signature"];
    let mut rows = vec![head.map(ToOwned::to_owned).to_vec()];
    for one in all {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        let known = CATEGORIES.iter().find(|(id, _ja, _en)| *id == text("category"));
        let (_id, ja, en) = known.copied().unwrap_or_else(|| ("", "", text("category")));
        let severity = usize::try_from(count(one, "severity")).unwrap_or_default();
        let (severity_ja, severity_en) = SEVERITIES.get(severity).copied().unwrap_or_default();
        let body = bodies
            .iter()
            .find(|(code, _name)| *code == text("body"))
            .map_or_else(|| text("body"), |(_code, name)| name);
        let children = count(one, "children");
        let body = if children > 0 { format!("広域({children}団体)") } else { body.to_owned() };
        let sources: Vec<&str> = one["sources"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let verified = if one["verified"] == Value::Bool(true) {
            "検証済 verified"
        } else {
            "未検証 NOT VERIFIED"
        };
        rows.push(vec![
            ja.to_owned(),
            en.to_owned(),
            severity_ja.to_owned(),
            severity_en.to_owned(),
            body,
            text("subject").to_owned(),
            count(one, "findings").to_string(),
            sources.join("+"),
            verified.to_owned(),
        ]);
    }
    aligned(&rows)
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or_default()
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, column) in row.iter().zip(&widths) {
            line += "  ";
            line += cell;
            line += &" ".repeat(column - width(cell));
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// Columns on a terminal: two for the wide letters of UAX #11, one for the others.
fn width(text: &str) -> usize {
    let is_wide = |one: char| {
        matches!(u32::from(one), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1_f300..=0x1_faff | 0x2_0000..=0x3_fffd)
    };
    text.chars().map(|one| if is_wide(one) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_take_two_columns() {
        for (text, expect) in
            [("scan", 4), ("スキャン", 8), ("DNSトンネル", 11), ("広域(3団体)", 11), ("", 0)]
        {
            assert_eq!(width(text), expect, "{text}");
        }
    }

    #[test]
    fn columns_begin_at_the_same_place() {
        let status = serde_json::json!({"incidents": [
            {"category": "scan", "severity": 1, "body": "422011", "subject": "203.0.113.66", "findings": 1, "verified": true, "children": 0},
            {"category": "scan", "severity": 2, "body": null, "subject": "203.0.113.66", "findings": 3, "verified": true, "children": 3},
            {"category": "new_thing", "severity": 9, "body": "000000", "subject": "x", "findings": 1, "verified": false, "children": 0},
        ]});
        let text = incidents(&status, &[("422011", "長崎市")]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("広域(3団体)"), "parents first: {text}");
        assert!(lines[3].contains("new_thing") || lines[2].contains("new_thing"), "{text}");
        assert!(text.contains("長崎市") && text.contains("NOT VERIFIED"));
        let subjects: Vec<usize> = [lines[0], lines[1], lines[2]]
            .iter()
            .map(|line| {
                width(
                    line.split_at(
                        line.find("subject")
                            .or_else(|| line.find("203."))
                            .or_else(|| line.find(" x ").map(|at| at + 1))
                            .unwrap(),
                    )
                    .0,
                )
            })
            .collect();
        assert!(subjects.windows(2).all(|pair| pair[0] == pair[1]), "{subjects:?}\n{text}");
    }
}
