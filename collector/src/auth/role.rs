//! Who does what: the roles of the prefecture's SOC and of its bodies.

macro_rules! roles {
    ($($(#[$doc:meta])* $variant:ident $text:literal,)*) => {
        /// The part that a person plays. An auditor only reads; an administrator runs the system and decides nothing
        /// about incidents (separation of duties).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Role { $($(#[$doc])* $variant,)* }

        impl Role {
            /// Every role.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable identifier.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// From the stable identifier.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|role| role.as_str() == name)
            }
        }

        impl utoipa::PartialSchema for Role {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::api::words_schema("The part that a person plays.", Self::ALL.iter().map(|one| one.as_str()))
            }
        }

        impl utoipa::ToSchema for Role {}
    };
}
roles! {
    /// 受付窓口担当.
    Reception "reception",
    /// 監視担当.
    Monitor "monitor",
    /// テクニカルサポート担当.
    TechSupport "tech_support",
    /// 統制担当.
    Control "control",
    /// 構成団体担当者.
    BodyOfficer "body_officer",
    /// 最高情報セキュリティ責任者.
    BodyCiso "body_ciso",
    /// 都道府県CSIRT.
    PrefCsirt "pref_csirt",
    /// 監査者.
    Auditor "auditor",
    /// システム管理者.
    Admin "admin",
}

impl Role {
    /// The role of the account that `init` makes: accounts are made on the command line, so the first person at the
    /// console is one who works incidents, and everybody else's role follows from there.
    pub const FIRST: Self = Self::Control;

    /// Works for a body: sees exactly the bodies that the account names.
    pub const fn is_of_body(self) -> bool {
        match self {
            Self::BodyOfficer | Self::BodyCiso => true,
            Self::Reception
            | Self::Monitor
            | Self::TechSupport
            | Self::Control
            | Self::PrefCsirt
            | Self::Auditor
            | Self::Admin => false,
        }
    }

    /// Only reads: whatever a form or a program asks for, nothing but its own account changes.
    pub const fn only_reads(self) -> bool {
        matches!(self, Self::Auditor)
    }

    /// Works on incidents; such accounts need a second factor unless the configuration says otherwise.
    pub const fn works_incidents(self) -> bool {
        !matches!(self, Self::Auditor | Self::Admin)
    }
}

impl Role {
    /// May see and change everybody's account, if everybody's bodies are theirs to see.
    pub const fn manages_accounts(self) -> bool {
        matches!(self, Self::Admin)
    }

    /// May begin and end drills, and sees what is expected of the players: who answers for the work of the SOC.
    pub const fn may_run_drills(self) -> bool {
        matches!(self, Self::Control | Self::PrefCsirt)
    }

    /// May let in an agent whose enrolment is held: who answers for the system, or for the work of the SOC.
    pub const fn may_confirm_agents(self) -> bool {
        match self {
            Self::Control | Self::PrefCsirt | Self::Admin => true,
            Self::Reception
            | Self::Monitor
            | Self::TechSupport
            | Self::BodyOfficer
            | Self::BodyCiso
            | Self::Auditor => false,
        }
    }
}

impl core::fmt::Display for Role {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Role {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Role {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_name(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a role")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.as_str()), Some(*role));
        }
        assert_eq!(Role::from_name("root"), None);
    }
}
