//! The frame of a signed bundle of threat intelligence: lines of text, and a last line with an Ed25519 signature over every
//! byte before it. What the lines say is the agent's matter; who signed them is also the collector's, which hands bundles on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::envelope::{SigningKey, VerifyingKey};

/// The first line.
pub const MAGIC: &str = "SEKIMORI-INTEL 1\n";
/// Separates these signatures from all others of the same key.
const LABEL: &str = "sekimori/intel-bundle/1";

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    key: String,
    signature: String,
}

/// A bundle taken apart; nothing in it is verified yet.
#[derive(Debug)]
pub struct Sealed<'t> {
    signed: &'t str,
    key: String,
    signature: Vec<u8>,
}

/// Why the frame of a bundle is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Its form.
    #[error("not a bundle of this version, or cut short")]
    Form,
    /// Its signature.
    #[error("the signature does not fit the bytes: somebody changed them")]
    Signature,
}

impl<'t> Sealed<'t> {
    /// Takes a bundle apart.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(text: &'t str) -> Result<Self, FrameError> {
        let whole = text.strip_suffix('\n').ok_or(FrameError::Form)?;
        let end = whole.rfind('\n').ok_or(FrameError::Form)? + 1;
        let (signed, last) = whole.split_at_checked(end).ok_or(FrameError::Form)?;
        if !signed.starts_with(MAGIC) {
            return Err(FrameError::Form);
        }
        let seal: Seal = serde_json::from_str(last).map_err(|_cause| FrameError::Form)?;
        let signature = URL_SAFE_NO_PAD.decode(&seal.signature).map_err(|_cause| FrameError::Form)?;
        Ok(Self { signed, key: seal.key, signature })
    }

    /// The key that it says signed it, as configurations write keys.
    pub fn claimed_key(&self) -> &str {
        &self.key
    }

    /// The lines after the first, if this key signed them.
    ///
    /// # Errors
    /// If it did not.
    pub fn verified(&self, key: &VerifyingKey) -> Result<&'t str, FrameError> {
        if shown(key) == self.key && key.verifies_labelled(LABEL, self.signed.as_bytes(), &self.signature) {
            Ok(self.signed.strip_prefix(MAGIC).unwrap_or_default())
        } else {
            Err(FrameError::Signature)
        }
    }

    /// The key that signed it, whoever holds that.
    ///
    /// # Errors
    /// If the signature is not of the key that it names.
    pub fn signer(&self) -> Result<VerifyingKey, FrameError> {
        let key = URL_SAFE_NO_PAD.decode(&self.key).ok();
        let key = key.and_then(|key| VerifyingKey::from_bytes(&key)).ok_or(FrameError::Form)?;
        self.verified(&key).map(|_lines| key)
    }
}

/// Signs `lines`, which begin with [`MAGIC`] and end with a line break.
///
/// # Errors
/// Never in practice: two texts serialise.
pub fn seal(mut lines: String, key: &SigningKey) -> Result<String, serde_json::Error> {
    let seal = Seal {
        key: shown(key.verifying_key()),
        signature: URL_SAFE_NO_PAD.encode(key.sign_labelled(LABEL, lines.as_bytes())),
    };
    lines.push_str(&serde_json::to_string(&seal)?);
    lines.push('\n');
    Ok(lines)
}

/// A public key as configurations write it.
pub fn shown(key: &VerifyingKey) -> String {
    URL_SAFE_NO_PAD.encode(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_is_whoever_signed_these_bytes() {
        let (key, _) = SigningKey::generate().unwrap();
        let (other, _) = SigningKey::generate().unwrap();
        let sealed = seal(format!("{MAGIC}{{}}\n"), &key).unwrap();
        let read = Sealed::read(&sealed).unwrap();
        assert_eq!(
            (read.signer(), read.verified(key.verifying_key())),
            (Ok(*key.verifying_key()), Ok("{}\n"))
        );
        assert_eq!(read.verified(other.verifying_key()), Err(FrameError::Signature));
        let changed = sealed.replace("{}", "[]");
        assert_eq!(Sealed::read(&changed).unwrap().signer(), Err(FrameError::Signature));
        for broken in ["", "x\n", MAGIC, "SEKIMORI-INTEL 1\n{}\n{}\n", sealed.trim_end()] {
            assert_eq!(Sealed::read(broken).map(|_| ()), Err(FrameError::Form), "{broken:?}");
        }
    }
}
