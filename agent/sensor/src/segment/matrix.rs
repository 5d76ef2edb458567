//! Which segment may open a connection to which: one table, and what the network models change in it.

use sekimori_wire::finding::Severity;
use serde::Deserialize;

/// Where the tables come from. Their text is to be checked against the guideline's current edition before it is claimed.
pub const SOURCE: &str = "総務省「地方公共団体における情報セキュリティポリシーに関するガイドライン」三層の対策; \
    rows and columns edu and unknown are ours";

/// A network segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// マイナンバー利用事務系.
    MyNumber,
    /// LGWAN接続系.
    Lgwan,
    /// インターネット接続系.
    Internet,
    /// 公開系.
    Dmz,
    /// セキュリティクラウド.
    SecCloud,
    /// インターネット(外部).
    Wan,
    /// 管理系.
    Mgmt,
    /// 教育系.
    Edu,
    /// 未分類.
    Unknown,
}

impl Segment {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MyNumber => "my_number",
            Self::Lgwan => "lgwan",
            Self::Internet => "internet",
            Self::Dmz => "dmz",
            Self::SecCloud => "sec_cloud",
            Self::Wan => "wan",
            Self::Mgmt => "mgmt",
            Self::Edu => "edu",
            Self::Unknown => "unknown",
        }
    }

    /// In Japanese.
    pub const fn ja(self) -> &'static str {
        match self {
            Self::MyNumber => "マイナンバー利用事務系",
            Self::Lgwan => "LGWAN接続系",
            Self::Internet => "インターネット接続系",
            Self::Dmz => "公開系",
            Self::SecCloud => "セキュリティクラウド",
            Self::Wan => "インターネット(外部)",
            Self::Mgmt => "管理系",
            Self::Edu => "教育系",
            Self::Unknown => "未分類",
        }
    }
}

/// How a body's networks are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// α: business terminals in the LGWAN segment.
    #[default]
    Alpha,
    /// α′: α with local breakout from the LGWAN segment to listed cloud services.
    AlphaPrime,
    /// β: business terminals in the internet segment.
    Beta,
    /// β′: business terminals and systems in the internet segment.
    BetaPrime,
}

/// What the matrix says of one direction between two segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Allowed.
    Free,
    /// Only as an approved specified communication (特定通信); the severity without one.
    Specified(Severity),
    /// Forbidden; the severity of doing it all the same.
    Forbidden(Severity),
}

const A: Cell = Cell::Free;
const S2: Cell = Cell::Specified(Severity::MEDIUM);
const S3: Cell = Cell::Specified(Severity::HIGH);
const S4: Cell = Cell::Specified(Severity::CRITICAL);
const D1: Cell = Cell::Forbidden(Severity::LOW);
const D2: Cell = Cell::Forbidden(Severity::MEDIUM);
const D3: Cell = Cell::Forbidden(Severity::HIGH);
const D4: Cell = Cell::Forbidden(Severity::CRITICAL);

/// The α model: row = who initiates, column = with whom, both in the order of [`Segment`].
#[rustfmt::skip]
const ALPHA: [[Cell; 9]; 9] = [
    //               my_number lgwan internet dmz sec_cloud wan mgmt edu unknown
    /* my_number */ [A,        S4,   D4,      D4, D4,       D4, S3,  D4, D3],
    /* lgwan     */ [D4,       A,    S3,      D3, S3,       D3, S2,  D3, D2],
    /* internet  */ [D4,       S3,   A,       A,  A,        D2, D2,  D2, D1],
    /* dmz       */ [D4,       D3,   D2,      A,  A,        S2, D2,  D2, D1],
    /* sec_cloud */ [D4,       D3,   S2,      A,  A,        A,  S2,  S2, D1],
    /* wan       */ [D4,       D4,   D3,      A,  A,        A,  D4,  D3, A],
    /* mgmt      */ [S3,       S2,   S2,      S2, S2,       S2, A,   S2, D1],
    /* edu       */ [D4,       D3,   D2,      A,  A,        A,  D2,  A,  D1],
    /* unknown   */ [D4,       D3,   D1,      D1, D1,       D1, D2,  D1, A],
];

/// What the other models change. The row of `my_number` never changes.
const DELTAS: [(Model, Segment, Segment, Cell); 5] = [
    (Model::AlphaPrime, Segment::Lgwan, Segment::Wan, S3),
    (Model::Beta, Segment::Internet, Segment::Lgwan, S3),
    (Model::Beta, Segment::Lgwan, Segment::Internet, S3),
    (Model::BetaPrime, Segment::Internet, Segment::Lgwan, S3),
    (Model::BetaPrime, Segment::Lgwan, Segment::Internet, S3),
];

/// What `model` says of `from` opening a connection to `to`.
pub(super) fn cell(model: Model, from: Segment, to: Segment) -> Cell {
    let changed = DELTAS.iter().find(|(of, row, column, _)| (*of, *row, *column) == (model, from, to));
    match changed {
        Some((_, _, _, cell)) => *cell,
        None => ALPHA.get(from as usize).and_then(|row| row.get(to as usize)).copied().unwrap_or(D4),
    }
}
