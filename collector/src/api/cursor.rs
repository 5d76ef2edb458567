//! Where a list goes on. Opaque to callers: it names the last row they have, and the question that it answers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_wire::id::Digest;

use super::problem::ApiError;

/// Longest cursor, in characters.
const CURSOR_MAX: usize = 512;

/// Names the row with this key as the last one that was given for `question`.
pub(super) fn write(question: &str, key: &[String]) -> String {
    let named = (tag(question), key);
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&named).unwrap_or_default())
}

/// The key of the row that `cursor` names, of `N` parts.
pub(super) fn read<const N: usize>(question: &str, cursor: &str) -> Result<[String; N], ApiError> {
    let named: Option<(String, Vec<String>)> = Some(cursor)
        .filter(|cursor| cursor.len() <= CURSOR_MAX)
        .and_then(|cursor| URL_SAFE_NO_PAD.decode(cursor).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let refused = |why: &str| ApiError::BadRequest(format!("cursor: {why}"));
    let (asked, key) = named.ok_or_else(|| refused("none of ours"))?;
    if asked != tag(question) {
        return Err(refused("it belongs to another question: keep everything but `limit` as it was"));
    }
    key.try_into().map_err(|_other| refused("none of ours"))
}

/// A part that is a number.
pub(super) fn number(part: &str) -> Result<i64, ApiError> {
    part.parse().map_err(|_cause| ApiError::BadRequest("cursor: none of ours".to_owned()))
}

fn tag(question: &str) -> String {
    Digest::of(question.as_bytes()).to_string().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_go_back_to_their_own_question_only() {
        let cursor = write("incidents newest", &["1".to_owned(), "INC-1".to_owned()]);
        assert_eq!(read::<2>("incidents newest", &cursor).unwrap(), ["1", "INC-1"]);
        assert!(read::<2>("incidents worst", &cursor).is_err());
        assert!(read::<3>("incidents newest", &cursor).is_err());
        for bad in ["", "x", "%%%", "eyJhIjoxfQ", &"A".repeat(CURSOR_MAX + 1)] {
            assert!(read::<2>("incidents newest", bad).is_err(), "{bad}");
        }
        assert!(number("7").is_ok() && number("x").is_err() && number("99999999999999999999").is_err());
    }
}
