//! What products' own words mean: tables, first match wins, the worst first.

use core::net::IpAddr;

use sekimori_wire::alert::AlertClass;
use sekimori_wire::finding::Severity;

/// Words that decide the class, lower case.
const CLASSES: [(AlertClass, &[&str]); 9] = [
    (AlertClass::Ransomware, &["ransom", "file encrypt", "files encrypted", "ランサム", "暗号化挙動"]),
    (
        AlertClass::CommandAndControl,
        &[
            "command and control",
            "command-and-control",
            "c2 ",
            "c&c",
            "beacon",
            "callback",
            "botnet",
            "c2通信",
            "不正な外部通信",
        ],
    ),
    (
        AlertClass::BruteForce,
        &[
            "brute force",
            "brute-force",
            "bruteforce",
            "password guess",
            "password spray",
            "multiple failed log",
            "総当たり",
            "ログイン失敗が多発",
        ],
    ),
    (
        AlertClass::Exploit,
        &[
            "exploit",
            "intrusion",
            "vulnerability attack",
            "buffer overflow",
            "shellcode",
            "code injection",
            "脆弱性",
            "不正侵入",
        ],
    ),
    (
        AlertClass::Scan,
        &["port scan", "portscan", "host sweep", "network scan", "reconnaissance", "ポートスキャン", "偵察"],
    ),
    (
        AlertClass::DataLoss,
        &["data loss", "dlp", "exfiltrat", "data leak", "情報漏えい", "情報漏洩", "持ち出し"],
    ),
    (
        AlertClass::Phishing,
        &["phish", "spam", "suspicious mail", "suspicious email", "フィッシング", "不審メール"],
    ),
    (
        AlertClass::Malware,
        &[
            "malware",
            "virus",
            "trojan",
            "worm",
            "spyware",
            "rootkit",
            "backdoor",
            "infected",
            "infection",
            "threat detected",
            "threat found",
            "eicar",
            "malicious",
            "quarantin",
            "ウイルス",
            "ウィルス",
            "マルウェア",
            "トロイ",
            "感染",
            "隔離",
            "脅威を検出",
        ],
    ),
    (
        AlertClass::Policy,
        &[
            "policy",
            "denied",
            "blocked",
            "unauthorized",
            "unauthorised",
            "forbidden application",
            "device control",
            "ポリシー",
            "遮断",
            "ブロック",
            "禁止",
        ],
    ),
];

/// Whole phrases that make a plain line an alert, with the severity they speak of. A lone word is not enough: daemons log
/// "blocked" and "policy" all day.
const PHRASES: [(&str, Severity); 30] = [
    ("ransomware", Severity::CRITICAL),
    ("ランサムウェア", Severity::CRITICAL),
    ("command and control", Severity::HIGH),
    ("c2 communication", Severity::HIGH),
    ("c2通信", Severity::HIGH),
    ("exploit attempt", Severity::HIGH),
    ("exploit detected", Severity::HIGH),
    ("exploit blocked", Severity::HIGH),
    ("brute force", Severity::MEDIUM),
    ("総当たり", Severity::MEDIUM),
    ("malware", Severity::HIGH),
    ("マルウェア", Severity::HIGH),
    ("virus found", Severity::HIGH),
    ("virus detected", Severity::HIGH),
    ("virus was detected", Severity::HIGH),
    ("ウイルス検出", Severity::HIGH),
    ("ウイルスを検出", Severity::HIGH),
    ("ウイルスが検出", Severity::HIGH),
    ("ウィルス検出", Severity::HIGH),
    ("ウィルスを検出", Severity::HIGH),
    ("ウイルス感染", Severity::HIGH),
    ("trojan", Severity::HIGH),
    ("threat detected", Severity::HIGH),
    ("脅威を検出", Severity::HIGH),
    ("infected file", Severity::HIGH),
    ("has been quarantined", Severity::MEDIUM),
    ("隔離しました", Severity::MEDIUM),
    ("phishing", Severity::MEDIUM),
    ("不審メール", Severity::MEDIUM),
    ("port scan detected", Severity::LOW),
];

/// What makes a plain line no alert although it holds a phrase: a scan that found nothing, an update of signatures.
const NOTHING: [&str; 10] = [
    "no malware",
    "no virus",
    "0 infected",
    "0 threat",
    "definition update",
    "definitions update",
    "signature update",
    "検出されませんでした",
    "ありませんでした",
    "定義ファイルを更新",
];

/// What a product did, lower case and as it is told; undone before done, or "not blocked" would read as blocked.
const ACTIONS: [(&[&str], &str); 5] = [
    (&["not blocked", "not quarantined", "not cleaned", "failed to", "失敗", "できません"], "failed"),
    (&["quarantin", "隔離"], "quarantined"),
    (&["blocked", "denied", "prevented", "ブロック", "遮断"], "blocked"),
    (&["cleaned", "deleted", "removed", "駆除", "削除"], "cleaned"),
    (&["allowed", "detected only", "許可"], "allowed"),
];

/// Labels before a user name, a host, the other end and a file's SHA-256 in plain lines.
pub(super) const USER_LABELS: &[&str] =
    &["user", "username", "user name", "account", "ユーザー名", "ユーザー", "ユーザ名", "ユーザ"];
/// Labels before the endpoint.
pub(super) const HOST_LABELS: &[&str] =
    &["host", "hostname", "computer", "endpoint", "client", "端末名", "端末", "ホスト名", "ホスト"];
/// Labels before the other end.
pub(super) const REMOTE_LABELS: &[&str] =
    &["remote", "attacker", "source", "src", "destination", "dst", "接続先", "送信元", "通信先"];
/// Labels before a SHA-256.
pub(super) const HASH_LABELS: &[&str] = &["sha256", "sha-256", "hash", "ハッシュ"];

/// The class that words speak of.
pub(super) fn class_of(words: &str) -> Option<AlertClass> {
    let words = words.to_lowercase();
    let speaks = |marks: &&[&str]| marks.iter().any(|mark| words.contains(mark));
    CLASSES.iter().find(|(_, marks)| speaks(marks)).map(|(class, _)| *class)
}

/// Class and severity of a plain line, if it is an alert.
pub(super) fn phrase_in(line: &str) -> Option<(AlertClass, Severity)> {
    let lower = line.to_lowercase();
    if NOTHING.iter().any(|mark| lower.contains(mark)) {
        return None;
    }
    let (_, severity) = PHRASES.iter().find(|(phrase, _)| lower.contains(phrase))?;
    Some((class_of(line).unwrap_or(AlertClass::Other), *severity))
}

/// What the product did, or empty.
pub(super) fn action_in(line: &str) -> &'static str {
    let lower = line.to_lowercase();
    let told = |marks: &&[&str]| marks.iter().any(|mark| lower.contains(mark));
    ACTIONS.iter().find(|(marks, _)| told(marks)).map_or("", |(_, action)| action)
}

/// The word after a label and `=` or `:`.
pub(super) fn labelled<'a>(line: &'a str, labels: &[&str]) -> Option<&'a str> {
    labels.iter().find_map(|label| {
        line.match_indices(['=', ':', ':']).find_map(|(at, mark)| {
            let before = line.get(..at)?.trim_end();
            let tail = before.get(before.len().checked_sub(label.len())?..)?;
            let head = before.get(..before.len() - label.len())?;
            let is_word =
                head.chars().next_back().is_none_or(|ch| !ch.is_alphanumeric() || !label.is_ascii());
            if !tail.eq_ignore_ascii_case(label) || !is_word {
                return None;
            }
            let value = line.get(at + mark.len()..)?.trim_start();
            let quoted = value.strip_prefix('"').and_then(|inner| inner.split('"').next());
            let word = quoted.or_else(|| value.split([' ', ',', ';', '、', '。', ')', ' ']).next());
            word.filter(|word| !word.is_empty())
        })
    })
}

/// Every IP address that stands by itself in a line.
pub(super) fn addresses(line: &str) -> impl Iterator<Item = IpAddr> {
    let is_part = |ch: char| ch.is_ascii_hexdigit() || matches!(ch, '.' | ':');
    line.split(move |ch| !is_part(ch)).filter_map(|word| word.trim_end_matches(['.', ':']).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_whole_words() {
        for (line, expect) in [
            ("user=taro did", Some("taro")),
            ("superuser=taro", None),
            ("User: \"Yamada Taro\" did", Some("Yamada Taro")),
            ("端末A ユーザー名:山田、感染", Some("山田")),
            ("user=", None),
            ("user", None),
        ] {
            assert_eq!(labelled(line, USER_LABELS), expect, "{line}");
        }
    }

    #[test]
    fn plain_words_need_a_phrase() {
        let check = |line: &str| phrase_in(line).map(|(class, severity)| (class.as_str(), severity.level()));
        assert_eq!(check("Malware detected and quarantined: EICAR"), Some(("malware", 3)));
        assert_eq!(check("ウイルスを検出しました。隔離しました。"), Some(("malware", 3)));
        assert_eq!(check("Ransomware behaviour: many files encrypted"), Some(("ransomware", 4)));
        assert_eq!(check("malware scan completed: 0 infected files"), None);
        assert_eq!(check("マルウェアは検出されませんでした"), None);
        assert_eq!(check("Virus detected: X (definition 12.3)"), Some(("malware", 3)));
        assert_eq!(check("ufw: blocked by policy"), None);
        assert_eq!(check("Accepted publickey for root"), None);
        assert_eq!(action_in("could not be: not blocked"), "failed");
    }
}
