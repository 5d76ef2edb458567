//! The two-person rule: what one person proposes counts when another, who may, approves it.

use std::time::Duration;

use sekimori_wire::time::Timestamp;

use super::{User, UserName};

/// How long a proposal waits for its second person.
pub const WAITS: Duration = Duration::from_secs(7 * 86_400);

/// A proposal that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who proposed it.
    pub proposer: UserName,
    /// When.
    pub at: Timestamp,
}

impl Approval {
    /// Whether this second person makes it count now. `may`: their role allows the approval.
    ///
    /// # Errors
    /// Says why not.
    pub fn by(&self, second: &User, may: bool, now: Timestamp) -> Result<(), ApprovalError> {
        if now.since(self.at) >= WAITS {
            return Err(ApprovalError::TooLate);
        }
        // Names are compared as the store compares them: exactly. Two accounts of one person are a matter of whoever
        // gives out accounts.
        if second.name == self.proposer {
            return Err(ApprovalError::SamePerson);
        }
        if may { Ok(()) } else { Err(ApprovalError::MayNot) }
    }
}

/// Why an approval does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// One person is not two.
    #[error("whoever proposed it cannot approve it")]
    SamePerson,
    /// Their role does not allow it.
    #[error("this role may not approve it")]
    MayNot,
    /// It must be proposed again.
    #[error("the proposal is older than {} days: propose it again", WAITS.as_secs() / 86_400)]
    TooLate,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::role::Role;
    use crate::auth::scope::Scope;

    #[test]
    fn it_takes_two_in_time() {
        let at = Timestamp::from_secs(1_800_000_000);
        let user = |name: &str| User { name: name.into(), role: Role::Control, scope: Scope::All };
        let proposal = Approval { proposer: "a".into(), at };
        assert_eq!(proposal.by(&user("b"), true, at), Ok(()));
        assert_eq!(proposal.by(&user("a"), true, at), Err(ApprovalError::SamePerson));
        assert_eq!(proposal.by(&user("b"), false, at), Err(ApprovalError::MayNot));
        assert_eq!(proposal.by(&user("b"), true, at.plus(WAITS)), Err(ApprovalError::TooLate));
        // A clock that went back does not open it.
        assert_eq!(proposal.by(&user("a"), true, at.minus(WAITS)), Err(ApprovalError::SamePerson));
    }
}
