//! The token that says who somebody is: checked by the provider's keys before anything of it is believed.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::settings::Settings;

/// Longest token.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Clocks differ.
const LEEWAY_SECONDS: u64 = 60;
/// `OpenID` Connect Core, 2.
const SUBJECT_BYTES_MAX: usize = 255;

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    nonce: String,
    aud: Value,
    azp: Option<String>,
    #[serde(default)]
    amr: Value,
    #[serde(default)]
    acr: Value,
}

/// Who somebody is at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Never given to somebody else by the same issuer.
    pub subject: String,
    /// The provider asked for a second factor of those that count.
    pub has_second_factor: bool,
}

/// Why a token is not believed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not one, or of an algorithm that nobody knows (`none` among them).
    #[error("the token is not one: {cause}")]
    Form {
        /// Why.
        cause: jsonwebtoken::errors::Error,
    },
    /// Longer than any.
    #[error("the token is too long")]
    TooLong,
    /// Signed in a way that is not allowed.
    #[error("the token is signed by {0:?}: allowed are RS256, ES256 and EdDSA")]
    Algorithm(Algorithm),
    /// By nobody we know: the keys may have changed.
    #[error("the token is signed by a key that the provider does not publish")]
    UnknownKey,
    /// Signature, issuer, audience or time.
    #[error("the token does not hold: {cause}")]
    Check {
        /// Why.
        cause: jsonwebtoken::errors::Error,
    },
    /// Made for another, of several.
    #[error("the token was made for another client")]
    Party,
    /// The answer to another question.
    #[error("the token belongs to another sign-in")]
    Nonce,
    /// Nobody.
    #[error("the token names nobody")]
    Subject,
}

/// Checks a token: signature, issuer, audience, times, nonce, subject.
///
/// # Errors
/// Says what does not hold.
pub fn verify(token: &str, keys: &JwkSet, settings: &Settings, nonce: &str) -> Result<Identity, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong);
    }
    let header = decode_header(token).map_err(|cause| TokenError::Form { cause })?;
    if ![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].contains(&header.alg) {
        return Err(TokenError::Algorithm(header.alg));
    }
    let mut fitting = keys.keys.iter().filter(|key| fits(key, header.alg));
    let key = match &header.kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_ref() == Some(kid)),
        // Without a name there must be no choice.
        None => fitting.next().filter(|_| fitting.next().is_none()),
    };
    let key = DecodingKey::from_jwk(key.ok_or(TokenError::UnknownKey)?)
        .map_err(|cause| TokenError::Check { cause })?;
    let mut checks = Validation::new(header.alg);
    checks.leeway = LEEWAY_SECONDS;
    checks.validate_nbf = true;
    checks.set_issuer(&[&settings.issuer]);
    checks.set_audience(&[&settings.client_id]);
    checks.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims: Claims = decode(token, &key, &checks).map_err(|cause| TokenError::Check { cause })?.claims;
    let several = claims.aud.as_array().is_some_and(|all| all.len() > 1);
    let party = claims.azp.as_ref().map(|azp| *azp == settings.client_id);
    if party == Some(false) || (several && party.is_none()) {
        return Err(TokenError::Party);
    }
    if claims.nonce != nonce {
        return Err(TokenError::Nonce);
    }
    if claims.sub.is_empty()
        || claims.sub.len() > SUBJECT_BYTES_MAX
        || claims.sub.chars().any(char::is_control)
    {
        return Err(TokenError::Subject);
    }
    let has = |value: &Value, known: &std::collections::BTreeSet<String>| match value {
        Value::String(one) => known.contains(one),
        Value::Array(all) => all.iter().filter_map(Value::as_str).any(|one| known.contains(one)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    Ok(Identity {
        has_second_factor: has(&claims.amr, &settings.amr) || has(&claims.acr, &settings.acr),
        subject: claims.sub,
    })
}

/// Whether a key is of the kind that this algorithm needs, and for signatures. A shared secret never is: a public key that
/// somebody takes for one signs nothing.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let signs = key.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let said = key.common.key_algorithm.is_none_or(|it| {
        matches!(
            (it, algorithm),
            (KeyAlgorithm::RS256, Algorithm::RS256)
                | (KeyAlgorithm::ES256, Algorithm::ES256)
                | (KeyAlgorithm::EdDSA, Algorithm::EdDSA)
        )
    });
    let rsa = matches!(&key.algorithm, AlgorithmParameters::RSA(_));
    let p256 =
        matches!(&key.algorithm, AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256);
    let ed =
        matches!(&key.algorithm, AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519);
    let kind = (rsa && algorithm == Algorithm::RS256)
        || (p256 && algorithm == Algorithm::ES256)
        || (ed && algorithm == Algorithm::EdDSA);
    signs && said && kind
}
