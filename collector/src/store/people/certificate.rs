//! Certificates that people sign in with.

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::log::By;
use crate::audit::Entry;
use crate::auth::User;
use crate::auth::certificate::Issued;
use crate::clock::{from_stored, stored};
use crate::store::account::user;
use crate::store::audit::append;
use crate::store::db;
use crate::store::{Store, StoreError, query};

/// Fingerprint, account, serial, and when it was issued, expires and was revoked.
type CertificateRow = (Vec<u8>, String, String, i64, i64, Option<i64>);

/// A certificate as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonCertificate {
    /// SHA-256 of it.
    pub fingerprint: Digest,
    /// Whose.
    pub account: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Since when.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl PersonCertificate {
    /// Whether it is good.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What a certificate that is shown is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Whose it is.
    Good(User),
    /// It is (or was) this account's, which may not come in with it: revoked, ended, or disabled.
    Bad(String),
    /// We did not issue it.
    Unknown,
}

impl Store {
    /// Keeps a certificate of an account. `false`: there is no such account.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_person_certificate(
        &self,
        by: &By<'_>,
        name: &str,
        issued: &Issued,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = db::query(
            "INSERT INTO person_certificates (fingerprint, account, serial, issued_at, expires_at)
             SELECT $1, name, $3, $4, $5 FROM users WHERE name = $2",
        )
        .bind(issued.fingerprint.as_bytes().as_slice())
        .bind(name)
        .bind(issued.serial.as_str())
        .bind(stored(by.at))
        .bind(stored(issued.expires_at))
        .execute(&mut *tx)
        .await
        .map_err(query("keep a certificate"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let to = format!("{} until {}", issued.serial, issued.expires_at);
        append(&mut tx, Entry { to, ..by.entry(name, "certificate.issue") }).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends a certificate at once, and the sessions that began with it. `false`: there is none of this number that is not
    /// revoked.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revoke_person_certificate(
        &self,
        by: &By<'_>,
        name: &str,
        serial: &str,
    ) -> Result<bool, StoreError> {
        let failed = "revoke a certificate";
        let mut tx = self.begin().await?;
        let done = db::query(
            "UPDATE person_certificates SET revoked_at = $3
             WHERE account = $1 AND serial = $2 AND revoked_at IS NULL",
        )
        .bind(name)
        .bind(serial)
        .bind(stored(by.at))
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        db::query(
            "DELETE FROM sessions WHERE certificate IN
             (SELECT fingerprint FROM person_certificates WHERE account = $1 AND serial = $2)",
        )
        .bind(name)
        .bind(serial)
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        append(&mut tx, Entry { from: serial.to_owned(), ..by.entry(name, "certificate.revoke") }).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whose certificate this is.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn shown_certificate(&self, fingerprint: Digest, now: Timestamp) -> Result<Shown, StoreError> {
        let row: Option<(String, String, String, i64, Option<i64>, i64)> = db::query_as(
            "SELECT u.name, u.role, u.bodies, c.expires_at, c.revoked_at, u.disabled
             FROM person_certificates c JOIN users u ON u.name = c.account WHERE c.fingerprint = $1",
        )
        .bind(fingerprint.as_bytes().as_slice())
        .fetch_optional(self.reader())
        .await
        .map_err(query("read a certificate"))?;
        let Some((name, role, bodies, expires_at, revoked_at, disabled)) = row else {
            return Ok(Shown::Unknown);
        };
        let good = revoked_at.is_none() && from_stored(expires_at) > now && disabled == 0;
        let user = user(&name, &role, &bodies).filter(|_| good);
        Ok(user.map_or(Shown::Bad(name), Shown::Good))
    }

    /// Certificates of one account, or of all, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn person_certificates(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<PersonCertificate>, StoreError> {
        let rows: Vec<CertificateRow> = db::query_as(
            "SELECT fingerprint, account, serial, issued_at, expires_at, revoked_at FROM person_certificates
             WHERE CAST($1 AS TEXT) IS NULL OR account = $1 ORDER BY issued_at DESC, serial",
        )
        .bind(name)
        .fetch_all(self.reader())
        .await
        .map_err(query("list certificates"))?;
        let one = |(fingerprint, account, serial, issued_at, expires_at, revoked_at): CertificateRow| {
            PersonCertificate {
                fingerprint: Digest::from_bytes(&fingerprint).unwrap_or(Digest::ZERO),
                account,
                serial,
                issued_at: from_stored(issued_at),
                expires_at: from_stored(expires_at),
                revoked_at: revoked_at.map(from_stored),
            }
        };
        Ok(rows.into_iter().map(one).collect())
    }
}
