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

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the requirements as it stands there; `.` is left open.
    const TABLE: [(Segment, &str); 8] = [
        (Segment::MyNumber, "A S4 D4 D4 D4 D4 S3"),
        (Segment::Lgwan, "D4 A S3 D3 S3 D3 S2"),
        (Segment::Internet, "D4 S3 A A A D2 D2"),
        (Segment::Dmz, "D4 D3 D2 A A S2 D2"),
        (Segment::SecCloud, "D4 D3 S2 A A A S2"),
        (Segment::Wan, "D4 D4 D3 A A . D4"),
        (Segment::Mgmt, "S3 S2 S2 S2 S2 S2 A"),
        (Segment::Unknown, "D4 D3 D1 D1 D1 D1 D2"),
    ];
    const COLUMNS: [Segment; 7] = [
        Segment::MyNumber,
        Segment::Lgwan,
        Segment::Internet,
        Segment::Dmz,
        Segment::SecCloud,
        Segment::Wan,
        Segment::Mgmt,
    ];

    fn word(cell: Cell) -> String {
        match cell {
            Cell::Free => "A".to_owned(),
            Cell::Specified(level) => format!("S{}", level.level()),
            Cell::Forbidden(level) => format!("D{}", level.level()),
        }
    }

    /// What a model changes, of the requirements.
    fn delta(model: Model, from: Segment, to: Segment) -> Option<&'static str> {
        match (model, from, to) {
            (Model::AlphaPrime, Segment::Lgwan, Segment::Wan) => Some("S3"),
            (
                Model::Beta | Model::BetaPrime,
                Segment::Internet | Segment::Lgwan,
                Segment::Lgwan | Segment::Internet,
            ) if from != to => Some("S3"),
            _ => None,
        }
    }

    #[test]
    fn every_cell_of_every_model_is_the_required_one() {
        for model in [Model::Alpha, Model::AlphaPrime, Model::Beta, Model::BetaPrime] {
            for (from, row) in TABLE {
                assert_eq!(row.split(' ').count(), COLUMNS.len());
                for (to, expected) in COLUMNS.into_iter().zip(row.split(' ')) {
                    let expected = delta(model, from, to).unwrap_or(expected);
                    let said = word(cell(model, from, to));
                    assert!(expected == "." || said == expected, "{model:?} {from:?} to {to:?}: {said}");
                }
            }
        }
    }

    #[test]
    fn the_row_of_my_number_never_changes() {
        for to in COLUMNS {
            let alpha = cell(Model::Alpha, Segment::MyNumber, to);
            for model in [Model::AlphaPrime, Model::Beta, Model::BetaPrime] {
                assert_eq!(cell(model, Segment::MyNumber, to), alpha);
            }
        }
    }

    /// Education networks are not in the requirements: they may go out, and nobody of the three layers into them.
    #[test]
    fn education_is_apart_from_the_three_layers() {
        for layer in [Segment::MyNumber, Segment::Lgwan, Segment::Internet] {
            assert!(matches!(cell(Model::Alpha, layer, Segment::Edu), Cell::Forbidden(_)));
            assert!(matches!(cell(Model::Alpha, Segment::Edu, layer), Cell::Forbidden(_)));
        }
        assert_eq!(cell(Model::Alpha, Segment::Edu, Segment::Wan), Cell::Free);
    }
}
