//! Kinds of sessions, and what is said of each.

/// What a host does to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Lists shares, sessions or accounts.
    Listing,
    /// Uses a drive's or Windows' own share.
    AdminShare,
    /// Opens a remote desktop.
    Desktop,
    /// Saves parts of the registry, which hold passwords.
    Hives,
}

impl Kind {
    /// What a call is for (opnums: MS-SRVS 3.1.4, MS-WKST 3.2.4, MS-SAMR 3.1.5, MS-RRP 3.1.5). Looking up a single name or
    /// reading one's own groups is part of every log-on and not meant.
    pub(super) fn of_call(interface: &str, operation: u16) -> Option<Self> {
        Some(match (interface, operation) {
            // NetrSessionEnum, NetrShareEnum, NetrShareEnumSticky; NetrWkstaUserEnum; SamrEnumerateGroupsInDomain,
            // SamrEnumerateUsersInDomain, SamrEnumerateAliasesInDomain, SamrQueryDisplayInformation and its later forms.
            ("srvsvc", 12 | 15 | 36) | ("wkssvc", 2) | ("samr", 11 | 13 | 15 | 40 | 48 | 51) => Self::Listing,
            // BaseRegSaveKey, BaseRegSaveKeyEx.
            ("winreg", 20 | 31) => Self::Hives,
            _ => return None,
        })
    }

    /// Tells findings apart.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::AdminShare => "admin-share",
            Self::Desktop => "desktop",
            Self::Hives => "hives",
        }
    }

    /// ATT&CK.
    pub(super) const fn technique(self) -> &'static str {
        match self {
            Self::Listing => "T1135",
            Self::AdminShare => "T1021.002",
            Self::Desktop => "T1021.001",
            Self::Hives => "T1003.002",
        }
    }

    /// In thousandths: how sure it is that this was done, not that it is bad.
    pub(super) const fn confidence(self) -> u16 {
        match self {
            Self::Listing | Self::Desktop => 600,
            Self::AdminShare => 700,
            Self::Hives => 850,
        }
    }

    pub(super) const fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Listing => ("共有・利用者の一覧取得", "Shares or accounts listed"),
            Self::AdminShare => ("管理共有への接続", "Administrative share used"),
            Self::Desktop => ("庁内でのリモートデスクトップ", "Remote desktop between inside hosts"),
            Self::Hives => ("遠隔からのレジストリ保存", "Registry saved from afar"),
        }
    }

    /// Japanese; English before and after the hosts.
    pub(super) const fn sentence(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Listing => (
                "から共有フォルダーや利用者の一覧を取得しました。通常の操作でも起こりますが、多くの端末に続けて行うのは侵入者の下調べの特徴です。",
                "read lists of shares, sessions or accounts from",
                "Ordinary programs do this too; from many hosts in a row it is how an intruder looks around.",
            ),
            Self::AdminShare => (
                "の管理用共有(C$、ADMIN$)を使いました。管理作業でなければ、侵入者が他の端末へ移ろうとしている可能性があります。",
                "used administrators' shares (C$, ADMIN$) of",
                "Unless this is administration, an intruder may be moving to other hosts.",
            ),
            Self::Desktop => (
                "にリモートデスクトップで接続しました。許可された管理作業かどうかを確認してください。",
                "opened remote desktops on",
                "Check whether this is permitted administration.",
            ),
            Self::Hives => (
                "のレジストリを離れた場所から保存しました。保存されたデータからパスワードを取り出す攻撃によく使われます。",
                "saved parts of the registry of",
                "Attackers do this to take passwords out of them.",
            ),
        }
    }

    pub(super) const fn formula(self) -> &'static str {
        match self {
            Self::Listing => {
                "calls that list shares, sessions or accounts; medium from the sixth host within an hour"
            }
            Self::AdminShare => {
                "connections to a drive's share or ADMIN$; medium where a program is copied, from the sixth host or the \
                 third that refuses within an hour; high with both"
            }
            Self::Desktop => {
                "connections that a remote desktop accepted; medium from the sixth host within an hour"
            }
            Self::Hives => "calls that save a key of the registry to a file",
        }
    }
}
