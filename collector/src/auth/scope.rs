//! Which bodies an account sees: every query that shows something of a body goes by this.

use std::collections::BTreeSet;

use sekimori_wire::id::{BodyCode, NotABodyCode};
use serde_json::Value;

use super::role::Role;

/// The word for every body.
const ALL: &str = "all";
/// Bodies that one account may name.
const BODIES_MAX: usize = 256;

/// What of the bodies somebody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every body, and what belongs to none.
    All,
    /// Exactly these. Empty: nothing at all.
    Bodies(BTreeSet<BodyCode>),
}

impl Scope {
    /// Nothing.
    pub const NOTHING: Self = Self::Bodies(BTreeSet::new());

    /// `all`, or codes with commas between them.
    ///
    /// # Errors
    /// Names the code that is none.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text == ALL {
            return Ok(Self::All);
        }
        let codes = text.split(',').map(str::trim).filter(|code| !code.is_empty());
        let bodies: BTreeSet<BodyCode> = codes
            .map(|code| code.parse().map_err(|cause| ScopeError::Code { code: code.to_owned(), cause }))
            .collect::<Result<_, _>>()?;
        if bodies.is_empty() {
            return Err(ScopeError::Empty);
        }
        if bodies.len() > BODIES_MAX {
            return Err(ScopeError::TooMany);
        }
        Ok(Self::Bodies(bodies))
    }

    /// Checks what an account is given: somebody who works for a body sees bodies by name.
    ///
    /// # Errors
    /// If the role may not see everything.
    pub fn for_role(self, role: Role) -> Result<Self, ScopeError> {
        if role.is_of_body() && self == Self::All { Err(ScopeError::BodyRole { role }) } else { Ok(self) }
    }

    /// What is stored for an account. What cannot be read, or is too much for the role, shows nothing.
    pub fn stored(role: Role, text: &str) -> Self {
        Self::parse(text).and_then(|scope| scope.for_role(role)).unwrap_or(Self::NOTHING)
    }

    /// As text, for [`Scope::parse`]; nothing is the empty text.
    pub fn to_text(&self) -> String {
        match self {
            Self::All => ALL.to_owned(),
            Self::Bodies(bodies) => bodies.iter().map(BodyCode::as_str).collect::<Vec<_>>().join(","),
        }
    }

    /// Whether everything is seen.
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether something of this body may be seen.
    pub fn covers(&self, body: &str) -> bool {
        match self {
            Self::All => true,
            Self::Bodies(bodies) => body.parse().is_ok_and(|body: BodyCode| bodies.contains(&body)),
        }
    }

    /// Whether something may be changed that belongs to this body, or (`None`) to several.
    pub fn covers_whole(&self, body: Option<&str>) -> bool {
        body.map_or_else(|| self.is_all(), |body| self.covers(body))
    }

    /// What both see.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, narrower) | (narrower, Self::All) => narrower.clone(),
            (Self::Bodies(one), Self::Bodies(other)) => Self::Bodies(one & other),
        }
    }

    /// For SQL: `NULL` for all, else the codes between commas, for `$n LIKE '%,' || body || ',%'`.
    pub fn sql(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Bodies(_) => Some(format!(",{},", self.to_text())),
        }
    }

    /// The bodies by name; `None` for all.
    pub fn bodies(&self) -> Option<impl Iterator<Item = &str>> {
        match self {
            Self::All => None,
            Self::Bodies(bodies) => Some(bodies.iter().map(BodyCode::as_str)),
        }
    }

    /// Takes out of a stored detail what names a body that is not seen, or an incident of one: correlation writes down
    /// in which bodies it saw the same.
    #[must_use]
    pub fn redact(&self, value: &Value) -> Value {
        if self.is_all() {
            return value.clone();
        }
        match value {
            Value::Array(items) => {
                items.iter().filter(|item| !self.hides(item)).map(|item| self.redact(item)).collect()
            }
            Value::Object(fields) => fields
                .iter()
                .filter(|(_, value)| !self.hides(value))
                .map(|(key, value)| (key.clone(), self.redact(value)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn hides(&self, value: &Value) -> bool {
        let Some(text) = value.as_str() else { return false };
        let code = text.strip_prefix("INC-").and_then(|id| id.split('-').next()).unwrap_or(text);
        code.parse::<BodyCode>().is_ok() && !self.covers(code)
    }
}

impl core::fmt::Display for Scope {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bodies(bodies) if bodies.is_empty() => f.write_str("nothing"),
            Self::All | Self::Bodies(_) => f.write_str(&self.to_text()),
        }
    }
}

/// Why a scope is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not a 団体コード.
    #[error("{code:?} is no 団体コード: {cause}")]
    Code {
        /// As written.
        code: String,
        /// Why.
        #[source]
        cause: NotABodyCode,
    },
    /// No body at all.
    #[error("the scope is \"all\", or codes of bodies with commas between them")]
    Empty,
    /// More than a person can be responsible for.
    #[error("a scope names at most {BODIES_MAX} bodies; more is \"all\"")]
    TooMany,
    /// Somebody of a body sees that body.
    #[error("{role} works for a body: name the bodies")]
    BodyRole {
        /// Which.
        role: Role,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    #[test]
    fn scopes_read_back_and_say_what_is_wrong() {
        assert_eq!(scope("all"), Scope::All);
        assert_eq!(scope(" 422029, 422011,422011").to_text(), "422011,422029");
        assert_eq!(scope(&scope("422029,422011").to_text()), scope("422011,422029"));
        assert_eq!(Scope::parse(""), Err(ScopeError::Empty));
        assert!(Scope::parse("422012").unwrap_err().to_string().starts_with("\"422012\" is no 団体コード"));
        Scope::parse("422011;422029").unwrap_err();
        assert_eq!(Scope::NOTHING.to_string(), "nothing");
    }

    #[test]
    fn a_body_role_never_sees_everything() {
        for role in [Role::BodyOfficer, Role::BodyCiso] {
            assert_eq!(scope("all").for_role(role), Err(ScopeError::BodyRole { role }));
            assert_eq!(Scope::stored(role, "all"), Scope::NOTHING);
            assert_eq!(Scope::stored(role, "422011"), scope("422011"));
        }
        assert_eq!(Scope::stored(Role::Monitor, "all"), Scope::All);
        assert_eq!(Scope::stored(Role::Monitor, "damaged"), Scope::NOTHING);
    }

    #[test]
    fn it_covers_what_it_names() {
        let two = scope("422011,422029");
        assert!(two.covers("422011") && !two.covers("422037") && !two.covers("") && !two.covers("42201"));
        assert!(Scope::All.covers("422037") && !Scope::NOTHING.covers("422011"));
        assert!(two.covers_whole(Some("422011")) && !two.covers_whole(None) && Scope::All.covers_whole(None));
        assert_eq!(two.and(&Scope::All), two);
        assert_eq!(Scope::All.and(&two), two);
        assert_eq!(two.and(&scope("422029,422037")), scope("422029"));
        assert_eq!(two.and(&scope("422037")), Scope::NOTHING);
        assert_eq!(Scope::All.sql(), None);
        assert_eq!(two.sql().unwrap(), ",422011,422029,");
        assert_eq!(Scope::NOTHING.sql().unwrap(), ",,");
    }

    #[test]
    fn details_lose_the_names_of_others() {
        let detail = json!({
            "inputs": { "bodies": ["422011", "422029", "422037"], "value": "203.0.113.9" },
            "siblings": ["INC-422011-20260401-1", "INC-422029-20260401-2"],
            "child": "INC-422029-20260401-2", "parent": "INC-WIDE-20260401-1", "port": 422_029,
        });
        assert_eq!(
            scope("422011").redact(&detail),
            json!({
                "inputs": { "bodies": ["422011"], "value": "203.0.113.9" },
                "siblings": ["INC-422011-20260401-1"],
                "parent": "INC-WIDE-20260401-1", "port": 422_029,
            })
        );
        assert_eq!(Scope::All.redact(&detail), detail);
    }
}
