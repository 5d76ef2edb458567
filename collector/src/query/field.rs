//! What can be asked about: the fields of each kind of thing, their names, and where they are in the store.

use crate::incident::{IncidentCategory, IncidentState};

/// What a query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// Incidents; the table is `i`.
    Incidents,
    /// Findings; `f`.
    Findings,
    /// Endpoint alerts; `a`.
    Alerts,
    /// Flow summaries; `w`.
    Flows,
}

/// One thing that can be asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// As it is written.
    pub name: &'static str,
    /// As it may be written too, in Japanese or in the words of other tools.
    pub aliases: &'static [&'static str],
    /// What its values are.
    pub kind: Kind,
    /// Its column.
    pub(super) column: &'static str,
}

impl Field {
    /// The columns that hold [`super::address_key`]s of it; any of them may be the one. Empty if it is no address.
    pub(super) const fn keys(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Address { keys } => keys,
            Kind::Text | Kind::Word(_) | Kind::Number | Kind::Severity | Kind::Time | Kind::Protocol => &[],
        }
    }
}

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text, in any case of letters, with wildcards.
    Text,
    /// One of these words.
    Word(Words),
    /// A whole number, with `k`, `M`, `Ki`, …
    Number,
    /// 0 to 4, or a name of it.
    Severity,
    /// A time.
    Time,
    /// An address, a prefix or a range.
    Address {
        /// The columns with [`super::address_key`] of it: of either end, if it is not said of which.
        keys: &'static [&'static str],
    },
    /// `tcp`, `udp`, `icmp`, or a number.
    Protocol,
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    column: &'static str,
) -> Field {
    Field { name, aliases, kind, column }
}

const fn address(
    name: &'static str,
    aliases: &'static [&'static str],
    keys: &'static [&'static str],
    column: &'static str,
) -> Field {
    Field { name, aliases, kind: Kind::Address { keys }, column }
}

/// A closed set of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Of [`IncidentState`].
    States,
    /// Of [`IncidentCategory`].
    Categories,
    /// Where the evidence comes from.
    Modes,
}

impl Words {
    /// Every one.
    pub fn all(self) -> Vec<&'static str> {
        match self {
            Self::States => IncidentState::ALL.iter().map(|one| one.as_str()).collect(),
            Self::Categories => IncidentCategory::ALL.iter().map(|one| one.as_str()).collect(),
            Self::Modes => vec!["live", "replay"],
        }
    }
}

const INCIDENTS: &[Field] = &[
    field("id", &["番号"], Kind::Text, "i.id"),
    field("category", &["種別", "分類"], Kind::Word(Words::Categories), "i.category"),
    field("severity", &["重大度", "レベル", "level"], Kind::Severity, "i.severity"),
    field("state", &["状態", "status"], Kind::Word(Words::States), "i.state"),
    field("body", &["団体"], Kind::Text, "i.body"),
    field("subject", &["対象", "host"], Kind::Text, "i.subject"),
    field("parent", &["親"], Kind::Text, "i.parent"),
    field("opened", &["検知時刻", "time"], Kind::Time, "i.opened_at"),
    field("updated", &["更新時刻"], Kind::Time, "i.updated_at"),
    field("evidence", &["証拠時刻"], Kind::Time, "i.last_evidence"),
    field("findings", &["検知数"], Kind::Number, "i.findings"),
    field("mode", &[], Kind::Word(Words::Modes), "i.mode"),
];

/// Other names of an address at either end.
const EITHER_END: &[&str] = &["アドレス", "ip", "host"];

const FINDINGS: &[Field] = &[
    field("id", &["番号"], Kind::Text, "f.id"),
    field("category", &["種別", "分類"], Kind::Text, "f.category"),
    field("severity", &["重大度", "レベル", "level"], Kind::Severity, "f.severity"),
    field("body", &["団体"], Kind::Text, "f.body"),
    address("originator", &["送信元", "src"], &["f.originator_key"], "f.originator"),
    address("responder", &["宛先", "dst"], &["f.responder_key"], "f.responder"),
    address("address", EITHER_END, &["f.originator_key", "f.responder_key"], "f.originator"),
    field("time", &["時刻", "start"], Kind::Time, "f.time"),
    field("end", &["終了"], Kind::Time, "f.\"end\""),
    field("incident", &["インシデント"], Kind::Text, "f.incident"),
    field("agent", &["センサ"], Kind::Text, "f.agent"),
    field("mode", &[], Kind::Word(Words::Modes), "f.mode"),
];

const ALERTS: &[Field] = &[
    field("id", &["番号"], Kind::Text, "a.id"),
    field("class", &["種別", "category"], Kind::Text, "a.class"),
    field("severity", &["重大度", "レベル", "level"], Kind::Severity, "a.severity"),
    field("body", &["団体"], Kind::Text, "a.body"),
    address("host", &["端末", "アドレス", "ip", "address"], &["a.host_key"], "a.host"),
    field("time", &["時刻"], Kind::Time, "a.time"),
    field("agent", &["センサ"], Kind::Text, "a.agent"),
];

const FLOWS: &[Field] = &[
    field("body", &["団体"], Kind::Text, "w.body"),
    address("originator", &["送信元", "src"], &["w.originator_key"], "w.originator"),
    address("responder", &["宛先", "dst"], &["w.responder_key"], "w.responder"),
    address("address", EITHER_END, &["w.originator_key", "w.responder_key"], "w.originator"),
    field("originator_port", &["src_port"], Kind::Number, "w.originator_port"),
    field("port", &["ポート", "responder_port", "dst_port"], Kind::Number, "w.responder_port"),
    field("protocol", &["プロトコル", "proto"], Kind::Protocol, "w.protocol"),
    field("application", &["アプリ", "app"], Kind::Text, "w.application"),
    field("server", &["サーバ名", "sni"], Kind::Text, "w.server_name"),
    field("ja4", &[], Kind::Text, "w.ja4"),
    field("state", &["状態"], Kind::Text, "w.state"),
    field("time", &["時刻", "start"], Kind::Time, "w.start"),
    field("end", &["終了"], Kind::Time, "w.\"end\""),
    field("bytes", &["バイト"], Kind::Number, "(w.originator_bytes + w.responder_bytes)"),
    field("bytes_out", &["送信バイト"], Kind::Number, "w.originator_bytes"),
    field("bytes_in", &["受信バイト"], Kind::Number, "w.responder_bytes"),
    field("packets", &["パケット"], Kind::Number, "(w.originator_packets + w.responder_packets)"),
    field("segment", &["セグメント"], Kind::Text, "w.segment"),
    field("community_id", &[], Kind::Text, "w.community_id"),
    field("agent", &["センサ"], Kind::Text, "w.agent"),
];

impl Entity {
    /// Everything that can be asked about.
    pub const ALL: &'static [Self] = &[Self::Incidents, Self::Findings, Self::Alerts, Self::Flows];

    /// Its fields.
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Incidents => INCIDENTS,
            Self::Findings => FINDINGS,
            Self::Alerts => ALERTS,
            Self::Flows => FLOWS,
        }
    }

    /// A field by any of its names.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        let is_it = |field: &&Field| {
            field.name.eq_ignore_ascii_case(name)
                || field.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
        };
        self.fields().iter().find(is_it)
    }

    /// Columns that words without a field are looked for in.
    pub(super) const fn texts(self) -> &'static [&'static str] {
        match self {
            Self::Incidents => &["i.id", "i.subject", "i.title_ja", "i.title_en", "i.category"],
            Self::Findings => &["f.category", "f.originator", "f.responder", "f.json"],
            Self::Alerts => &["a.host", "a.class", "a.json"],
            Self::Flows => &["w.originator", "w.responder", "w.server_name", "w.application", "w.ja4"],
        }
    }
}
