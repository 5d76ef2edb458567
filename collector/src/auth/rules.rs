//! What the configuration decides of accounts.

use std::collections::BTreeSet;

use super::oidc::settings::Settings;
use super::role::Role;
use super::session::{SessionRules, Stage};

/// Rules of sign-ins and sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRules {
    /// Roles that need an authenticator beside the password.
    pub second_factor: BTreeSet<Role>,
    /// How long sessions last.
    pub session: SessionRules,
    /// What authenticators call this collector.
    pub host: String,
    /// Who else vouches for people; `None`: nobody.
    pub oidc: Option<Settings>,
}

impl Default for AccountRules {
    fn default() -> Self {
        let works = Role::ALL.iter().copied().filter(|role| role.works_incidents());
        Self {
            second_factor: works.collect(),
            session: SessionRules::default(),
            host: String::new(),
            oidc: None,
        }
    }
}

impl AccountRules {
    /// How far a right password brings somebody.
    pub fn after_password(&self, role: Role, has_totp: bool) -> Stage {
        if has_totp {
            Stage::Code
        } else if self.second_factor.contains(&role) {
            Stage::Enrol
        } else {
            Stage::Full
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_works_on_incidents_needs_an_authenticator() {
        let rules = AccountRules::default();
        for role in Role::ALL {
            let needs = !matches!(role, Role::Auditor | Role::Admin);
            let expected = if needs { Stage::Enrol } else { Stage::Full };
            assert_eq!(rules.after_password(*role, false), expected, "{role}");
            assert_eq!(rules.after_password(*role, true), Stage::Code, "{role}: who has one is asked for it");
        }
    }
}
