//! Policies as they are kept: every one that was set, the bundles of those that hold.

use std::collections::BTreeSet;

use crate::store::db::{self, Conn, Row};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_wire::envelope::VerifyingKey;
use sekimori_wire::id::{AgentId, BodyCode, Digest};
use sekimori_wire::policy::{IntelBundle, Rules};
use sekimori_wire::time::Timestamp;
use serde_json::{Value, json};

use super::{Store, StoreError, query};
use crate::clock::{from_stored, stored};
use crate::fleet::policy::Scope;
use crate::fleet::policy::file::{PolicyFile, PolicyFileError, reread};

/// The newest policy of each scope. SQLite takes the other columns from the row of the maximum.
const NEWEST: &str = "SELECT version, scope, at, text, intel_json FROM policies p
    WHERE version = (SELECT max(version) FROM policies q WHERE q.scope = p.scope)";

/// The newest policy of one scope.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its number.
    pub version: u64,
    /// For whom.
    pub scope: Scope,
    /// When it was set.
    pub at: Timestamp,
    /// The file; none if it was withdrawn.
    pub text: Option<String>,
    /// Its bundles.
    pub intel: Vec<IntelBundle>,
}

impl Kept {
    /// What it says; none if it was withdrawn.
    pub fn rules(&self) -> Option<Result<Rules, PolicyFileError>> {
        self.text.as_ref().map(|text| reread(text, self.intel.clone()))
    }
}

impl Store {
    /// Keeps a policy, the newest of its scope from now on. Its version.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_policy(&self, file: &PolicyFile, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin_changing().await?;
        for (digest, bytes) in &file.bundles {
            db::query("INSERT INTO policy_intel (digest, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(digest.to_string())
                .bind(bytes)
                .execute(&mut *tx)
                .await
                .map_err(query("keep a bundle"))?;
        }
        let version = add(&mut tx, file.scope, Some(&file.text), &intel_json(&file.rules.intel), now).await?;
        tx.commit().await?;
        Ok(version)
    }

    /// Ends the policy of a scope; `None` if none holds. Its number as a change.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn withdraw_policy(&self, scope: Scope, now: Timestamp) -> Result<Option<u64>, StoreError> {
        let mut tx = self.begin_changing().await?;
        let text: Option<Option<String>> =
            db::query_scalar("SELECT text FROM policies WHERE scope = $1 ORDER BY version DESC LIMIT 1")
                .bind(scope.to_string())
                .fetch_optional(&mut *tx)
                .await
                .map_err(query("read a policy"))?;
        if text.flatten().is_none() {
            return Ok(None);
        }
        let version = add(&mut tx, scope, None, &json!([]), now).await?;
        tx.commit().await?;
        Ok(Some(version))
    }

    /// The newest policy of every scope, the farthest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn policies(&self) -> Result<Vec<Kept>, StoreError> {
        let rows = db::query(NEWEST).fetch_all(self.reader()).await.map_err(query("read the policies"))?;
        sorted(&rows)
    }

    /// What is kept for one agent of a body, the farthest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn policies_of(&self, agent: AgentId, body: BodyCode) -> Result<Vec<Kept>, StoreError> {
        let rows = db::query(db::AssertSqlSafe(format!("{NEWEST} AND scope IN ($1, $2, $3)")))
            .bind(Scope::All.to_string())
            .bind(Scope::Body(body).to_string())
            .bind(Scope::Agent(agent).to_string())
            .fetch_all(self.reader())
            .await
            .map_err(query("read the policies"))?;
        sorted(&rows)
    }

    /// The version of the policy that holds for an agent; 0 if nothing was ever decided for it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn policy_version(&self, agent: &str) -> Result<u64, StoreError> {
        let version: i64 = db::query_scalar(
            "SELECT coalesce(max(version), 0) FROM policies WHERE scope IN
                ('all', 'agent:' || $1, (SELECT 'body:' || body FROM agents WHERE id = $1))",
        )
        .bind(agent)
        .fetch_one(self.reader())
        .await
        .map_err(query("read the version of a policy"))?;
        Ok(u64::try_from(version).unwrap_or_default())
    }

    /// The newest change of any policy; 0 if there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn newest_policy(&self) -> Result<u64, StoreError> {
        let version: i64 = db::query_scalar("SELECT coalesce(max(version), 0) FROM policies")
            .fetch_one(self.reader())
            .await
            .map_err(query("read the newest policy"))?;
        Ok(u64::try_from(version).unwrap_or_default())
    }

    /// The bytes of a bundle.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn policy_intel(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        db::query_scalar("SELECT bytes FROM policy_intel WHERE digest = $1")
            .bind(digest.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(query("read a bundle"))
    }
}

/// Numbers grow beyond all that agents report too: a collector that was set back must not give a number twice.
async fn add(
    tx: &mut Conn,
    scope: Scope,
    text: Option<&str>,
    intel: &Value,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let version: i64 = db::query_scalar(
        "INSERT INTO policies (version, scope, at, text, intel_json)
         SELECT 1 + max((SELECT coalesce(max(version), 0) FROM policies),
            (SELECT coalesce(max(CAST(json_extract(health_json, '$.policy_version') AS BIGINT)), 0) FROM agents)), $1, $2, $3, $4
         RETURNING version",
    )
    .bind(scope.to_string())
    .bind(stored(now))
    .bind(text)
    .bind(intel.to_string())
    .fetch_one(&mut *tx)
    .await
    .map_err(query("keep a policy"))?;
    drop_old_bundles(tx).await?;
    Ok(u64::try_from(version).unwrap_or_default())
}

async fn drop_old_bundles(tx: &mut Conn) -> Result<(), StoreError> {
    let failed = "drop old bundles";
    let rows = db::query(NEWEST).fetch_all(&mut *tx).await.map_err(query(failed))?;
    let named: BTreeSet<String> =
        sorted(&rows)?.iter().flat_map(|kept| &kept.intel).map(|bundle| bundle.digest.to_string()).collect();
    let held: Vec<String> = db::query_scalar("SELECT digest FROM policy_intel")
        .fetch_all(&mut *tx)
        .await
        .map_err(query(failed))?;
    for digest in held.iter().filter(|digest| !named.contains(*digest)) {
        db::query("DELETE FROM policy_intel WHERE digest = $1")
            .bind(digest)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
    }
    Ok(())
}

fn intel_json(intel: &[IntelBundle]) -> Value {
    let one = |one: &IntelBundle| {
        json!({
            "name": one.name,
            "digest": one.digest,
            "bytes": one.bytes,
            "key": URL_SAFE_NO_PAD.encode(one.key.as_bytes()),
        })
    };
    intel.iter().map(one).collect()
}

fn sorted(rows: &[Row]) -> Result<Vec<Kept>, StoreError> {
    let mut all: Vec<Kept> =
        rows.iter().map(kept).collect::<Result<_, _>>().map_err(query("read the policies"))?;
    all.sort_by_key(|one| one.scope);
    Ok(all)
}

fn kept(row: &Row) -> Result<Kept, db::Error> {
    let unreadable = |what: &'static str| db::Error::Decode(what.into());
    let scope: String = row.get("scope")?;
    let intel: Value = serde_json::from_str(&row.get::<String>("intel_json")?)
        .map_err(|cause| db::Error::Decode(Box::new(cause)))?;
    let bundles = intel.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(Kept {
        version: u64::try_from(row.get::<i64>("version")?).unwrap_or_default(),
        scope: scope.parse().map_err(unreadable)?,
        at: from_stored(row.get("at")?),
        text: row.get("text")?,
        intel: bundles.iter().map(bundle).collect::<Option<_>>().ok_or_else(|| unreadable("intel_json"))?,
    })
}

fn bundle(json: &Value) -> Option<IntelBundle> {
    let key = URL_SAFE_NO_PAD.decode(json.get("key")?.as_str()?).ok()?;
    Some(IntelBundle {
        name: json.get("name")?.as_str()?.to_owned(),
        digest: json.get("digest")?.as_str()?.parse().ok()?,
        bytes: json.get("bytes")?.as_u64()?,
        key: VerifyingKey::from_bytes(&key)?,
    })
}
