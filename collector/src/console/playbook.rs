//! 初動対応手順: what to do first, by category. Shown beside the incident; nothing here is executed.

use crate::incident::IncidentCategory;

/// One thing to do.
#[derive(Debug)]
pub(super) struct Step {
    /// Must be done, or waived with a reason.
    pub(super) mandatory: bool,
    pub(super) ja: &'static str,
    pub(super) en: &'static str,
}

/// Mandatory.
const fn must(ja: &'static str, en: &'static str) -> Step {
    Step { mandatory: true, ja, en }
}

/// As needed.
const fn may(ja: &'static str, en: &'static str) -> Step {
    Step { mandatory: false, ja, en }
}

/// The first response to a category.
pub(super) const fn playbook(category: IncidentCategory) -> &'static [Step] {
    match category {
        IncidentCategory::Scan => SCAN,
        IncidentCategory::BruteForce => BRUTE_FORCE,
        IncidentCategory::ExploitAttempt => EXPLOIT_ATTEMPT,
        IncidentCategory::Dos => DOS,
        IncidentCategory::MalwareInfection => MALWARE_INFECTION,
        IncidentCategory::C2Beacon => C2_BEACON,
        IncidentCategory::Ransomware => RANSOMWARE,
        IncidentCategory::DnsTunnel => DNS_TUNNEL,
        IncidentCategory::DataExfil => DATA_EXFIL,
        IncidentCategory::PhishingMail => PHISHING_MAIL,
        IncidentCategory::NetworkSpoofing => NETWORK_SPOOFING,
        IncidentCategory::PolicyViolation => POLICY_VIOLATION,
        IncidentCategory::SegmentViolation => SEGMENT_VIOLATION,
        IncidentCategory::ServiceOutage => SERVICE_OUTAGE,
        IncidentCategory::SensorSilent => SENSOR_SILENT,
    }
}

const SCAN: &[Step] = &[
    must("送信元・対象・時間帯を確認", "Confirm source, targets and time window"),
    must(
        "内部発か外部発かを判定(内部発は感染疑い)",
        "Decide whether it comes from inside (then suspect an infection) or outside",
    ),
    may("公開ポートの応答有無を確認", "Check whether any open port answered"),
    may("必要に応じ遮断を依頼", "Request a block if needed"),
    may("継続時は経過観察へ", "Keep it under observation if it goes on"),
];
const BRUTE_FORCE: &[Step] = &[
    must("対象サービスと試行アカウントを特定", "Identify the service and the accounts tried"),
    must("成功ログインの有無を確認", "Check whether any login succeeded"),
    must(
        "成功時は当該アカウント停止・パスワード変更",
        "On success: disable the account and change its password",
    ),
    may("送信元遮断・公開要否見直し", "Block the source; reconsider whether the service must be exposed"),
    may("認証ログを保全", "Preserve the authentication log"),
];
const EXPLOIT_ATTEMPT: &[Step] = &[
    must("要求内容・応答コードを確認", "Check the request and the response code"),
    must(
        "成功兆候(応答サイズ・新規ファイル・外向き通信)を確認",
        "Look for signs of success: response size, new files, outbound traffic",
    ),
    may("WAF/IPS で遮断", "Block at the WAF or IPS"),
    must("対象の脆弱性・版を確認し適用計画", "Check the weakness and the version; plan the patch"),
    may("証跡保全", "Preserve the evidence"),
];
const DOS: &[Step] = &[
    must("攻撃種別・最大bps/pps・開始時刻を記録", "Record the type, peak bps/pps and start"),
    must("回線事業者・セキュリティクラウド・CDNへ連絡", "Call the ISP, the security cloud and the CDN"),
    may("レート制限・静的ページ切替", "Rate-limit; switch to a static page"),
    must("住民向け案内(代替手段)を広報と調整", "Agree on a notice to residents with PR"),
    may("別攻撃の陽動を確認", "Check whether it is a diversion"),
    may("終息後にDDoS共通様式を作成", "Draft the common DDoS form afterwards"),
];
const MALWARE_INFECTION: &[Step] = &[
    must("端末をネットワークから隔離(電源は切らない)", "Isolate the endpoint; do not power it off"),
    must("利用者・端末・検知名・ハッシュを記録", "Record user, endpoint, detection name and hash"),
    must("同一ハッシュ・通信先を全団体で検索", "Hunt for the same hash and destinations in all bodies"),
    must("メモリ・ログ保全", "Preserve memory and logs"),
    may("当該者の認証情報を変更", "Reset the person's credentials"),
    may("漏えいのおそれを判定", "Assess whether data may have leaked"),
];
const C2_BEACON: &[Step] = &[
    must(
        "内部端末を特定(NAT前アドレス, プロキシログ)",
        "Identify the inside host (address before NAT, proxy log)",
    ),
    must("通信先を遮断", "Block the destination"),
    must("端末隔離・EDR調査", "Isolate the host and examine it with EDR"),
    must("初回通信時刻と送信量を確認", "Find the first contact and the bytes sent"),
    may("同一通信先を全団体で検索", "Hunt for the same destination in all bodies"),
    may("JPCERT/CC・J-CRAT相談を判断", "Consider asking JPCERT/CC or J-CRAT"),
];
const RANSOMWARE: &[Step] = &[
    must("感染端末と共有を隔離・共有停止", "Isolate infected hosts; stop the shares"),
    must("バックアップを切り離し保護", "Disconnect and protect the backups"),
    must("脅迫文・拡張子・検体を保全", "Keep the note, the extension and a sample"),
    must("統制担当を起動、CISOへ第一報", "Activate incident control; first report to the CISO"),
    must(
        "警察・都道府県・総務省へ連絡、法定時計開始",
        "Tell police, prefecture and ministry; start the statutory clock",
    ),
    may("身代金要求へ単独で応答しない", "Do not answer the demand alone"),
];
const DNS_TUNNEL: &[Step] = &[
    must("問い合わせ元と親ドメインを特定", "Identify the client and the parent domain"),
    must("当該ドメインを名前解決で遮断", "Block the domain at the resolver"),
    may("問い合わせ量から送信量を推定", "Estimate the bytes sent from the queries"),
    must("端末隔離・調査", "Isolate and examine the host"),
    may("正規用途(CDN・アンチウイルス)を確認", "Rule out legitimate use (CDN, antivirus)"),
];
const DATA_EXFIL: &[Step] = &[
    must("送信元端末・宛先・量・時刻を確定", "Establish host, destination, amount and time"),
    must("継続中なら遮断", "Block it if it goes on"),
    must("業務送信か所管課へ確認", "Ask the owning section whether it was business"),
    must("対象データに個人情報を含むか判定", "Decide whether personal data is included"),
    may("証跡保全", "Preserve the evidence"),
    must("おそれあれば法定時計を開始", "If it may be: start the statutory clock"),
];
const PHISHING_MAIL: &[Step] = &[
    must(
        "件名・送信元・URL・添付を記録(開かない)",
        "Record subject, sender, URL and attachment; do not open",
    ),
    must("受信者と開封・入力の有無を確認", "Find the recipients, and who opened it or typed something in"),
    must("同種メールを全庁検索・削除", "Search for and delete similar mails everywhere"),
    may("入力者の認証変更", "Reset the credentials of those who typed them in"),
    may("URL・送信元を遮断し注意喚起", "Block URL and sender; warn everybody"),
];
const NETWORK_SPOOFING: &[Step] = &[
    must(
        "詐称された機器・アドレスと影響端末を特定",
        "Identify the forged device or address and the hosts affected",
    ),
    must("接続ポート・無線APを特定し切り離し", "Find the switch port or access point and disconnect it"),
    must("誤設定・機器交換の有無を確認", "Rule out a misconfiguration or a replaced device"),
    may("影響端末の認証情報を変更", "Reset credentials used on the hosts affected"),
    may("DHCPスヌーピング・DAI等の設定を確認", "Check DHCP snooping and ARP inspection"),
];
const POLICY_VIOLATION: &[Step] = &[
    must("端末・利用部署・通信内容を確認", "Identify the host, its section and the traffic"),
    must("承認済みの例外か照合", "Compare with the approved exceptions"),
    may("未承認なら是正を所管課へ依頼", "If not approved: ask the owning section to correct it"),
    may("必要に応じ例外申請(期限付き)を案内", "Point to the exception procedure (with an expiry)"),
    may("同種の違反を全団体で検索", "Look for the same in all bodies"),
];
const SEGMENT_VIOLATION: &[Step] = &[
    must("送信元・宛先・ポート・VLANを確定", "Establish source, destination, port and VLAN"),
    must("特定通信の申請一覧と照合", "Compare with the list of approved communication"),
    must("未承認なら経路を遮断(機器管理者へ依頼)", "If not approved: have the path cut"),
    must("誤配線・設定変更の履歴を確認", "Check for miswiring and recent changes"),
    must(
        "マイナンバー系なら統制・CISO・都道府県へ即報",
        "If it is the My Number segment: tell control, CISO and prefecture at once",
    ),
    may("流れたデータを確認し漏えい判定", "Check what passed; assess a leak"),
];
const SERVICE_OUTAGE: &[Step] = &[
    must("どの段階か切り分け(回線・DNS・プロキシ・サーバ)", "Isolate the stage: line, DNS, proxy, server"),
    must("影響業務・利用者を確認", "Find the services and users affected"),
    must("見積復旧時刻を受付窓口へ連絡", "Tell reception the estimated recovery time"),
    may("代替手段の案内", "Announce a workaround"),
    may("攻撃起因でないか確認", "Check whether it is an attack"),
    may("復旧後15分安定を確認", "See it stable for 15 minutes afterwards"),
];
const SENSOR_SILENT: &[Step] = &[
    must("回線・電源・サービス状態を確認", "Check line, power and service"),
    must("停止時間帯の通信を他ログで補完", "Fill the blind period from other logs"),
    may("設定改変・署名失敗の有無を確認", "Check for tampering and failed signatures"),
    may("再起動・再登録(証明書)", "Restart; enrol again (certificate)"),
    may("未監視時間を記録", "Record the blind period"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_says_what_must_be_done() {
        for category in IncidentCategory::ALL {
            let steps = playbook(*category);
            assert!(steps.first().is_some_and(|step| step.mandatory), "{category}");
            assert!(steps.iter().all(|step| !step.ja.is_empty() && !step.en.is_empty()), "{category}");
        }
    }
}
