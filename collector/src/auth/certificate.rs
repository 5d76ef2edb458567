//! Certificates that people sign in with, from a CA of their own: what an agent shows is worth nothing at the console, and
//! what a person shows is worth nothing at ingest.
//!
//! `ca/people.pem`, `ca/people.key.pem`, both 0600, made with the first certificate. The key of a person's certificate is made
//! here, written into one file with it, and kept nowhere.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rcgen::{DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType, SerialNumber};
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use crate::fleet::authority::{self, Authority, AuthorityError, Paths};
use crate::fleet::swap::{self, SwapError};

/// Start of the URI that names a person in a certificate; the digest of the account's name follows.
pub const PERSON_URN: &str = "urn:sekimori:person:";

/// A certificate for a person.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// Certificate and key, PEM.
    pub pem: String,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl core::fmt::Debug for Issued {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// Issues a certificate for an account, by the CA for people, which is made if there is none yet.
///
/// # Errors
/// Names the file that cannot be used.
pub fn issue(paths: &Paths, name: &str, (now, life): (Timestamp, Duration)) -> Result<Issued, SwapError> {
    let _lock = swap::lock(paths)?;
    if !paths.people_ca().exists() {
        let (ca, key) = authority::make_ca_named(&format!("Sekimori people CA {}", now.secs()), now)?;
        swap::replace(&paths.people_ca_key(), key.as_bytes())?;
        swap::replace(&paths.people_ca(), ca.pem().as_bytes())?;
    }
    let ca = Authority::load_from(&paths.people_ca(), &paths.people_ca_key())?;
    Ok(sign(&ca, name, (now, life))?)
}

fn sign(ca: &Authority, name: &str, (now, life): (Timestamp, Duration)) -> Result<Issued, AuthorityError> {
    let failed = |cause| AuthorityError::Issue { cause };
    let key = authority::key_pair()?;
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_cause| AuthorityError::Random)?;
    serial[0] &= 0x7f; // RFC 5280, 4.1.2.2: positive.
    let mut params = authority::lifetime(now, life);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name.push(DnType::CommonName, name);
    let urn = format!("{PERSON_URN}{}", Digest::of(name.as_bytes()));
    params.subject_alt_names = vec![SanType::URI(urn.as_str().try_into().map_err(failed)?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, ca.issuer()).map_err(failed)?;
    Ok(Issued {
        pem: format!("{}{}", certificate.pem(), key.serialize_pem()),
        fingerprint: Digest::of(certificate.der()),
        serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
        expires_at: now.plus(life),
    })
}

/// Writes a certificate with its key into a new file that only we can read.
///
/// # Errors
/// If there is such a file, or it cannot be written.
pub fn write(path: &Path, issued: &Issued) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(issued.pem.as_bytes()).and_then(|()| file.sync_all())
}
