//! Tells a body that an extract was made for it: once for each extract, and nothing of what is in it, since mail is read by others.

use std::time::Duration;

use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

use super::Clocks;
use super::case::Case;
use super::outbox::{Draft, insert};
use crate::auth::role::Role;
use crate::clock::{from_stored, stored};
use crate::i18n::Lang;
use crate::incident::grant::COMMUNITY;
use crate::notify::template::{Field, NoticeKind, Values};
use crate::store::db::{self, Conn};
use crate::store::{StoreError, query};
use crate::timing::local;

/// Extracts that are older are told no more: a collector that was down for days does not begin with old news.
const NEWS: Duration = Duration::from_secs(3 * 86_400);

/// An extract: digest, the body that it is for (none: all), mark, when it was made.
type Row = (String, Option<String>, String, i64);

impl Clocks {
    /// Writes the notices of the incident's extracts that are not written yet.
    pub(super) async fn shared(&self, tx: &mut Conn, case: &Case, now: Timestamp) -> Result<(), StoreError> {
        let rows: Vec<Row> = db::query_as(
            "SELECT g.digest, g.to_body, g.tlp, g.at FROM grants g
             WHERE g.incident = $1 AND g.kind = 'share' AND g.at >= $2 AND g.digest IS NOT NULL
                AND (g.to_body IS NOT NULL OR g.what = $3)
             ORDER BY g.n",
        )
        .bind(&case.id)
        .bind(stored(now.minus(NEWS)))
        .bind(COMMUNITY)
        .fetch_all(&mut *tx)
        .await
        .map_err(query("look for extracts"))?;
        for (digest, to, tlp, at) in &rows {
            let extract = (digest.as_str(), tlp.as_str(), from_stored(*at));
            match to.as_ref().map(|code| code.parse::<BodyCode>()) {
                Some(Ok(body)) => self.tell_body(tx, case, extract, (body, true), now).await?,
                Some(Err(_)) => tracing::error!(digest, "an extract is for a body whose code cannot be read"),
                None => {
                    for body in others(tx, case).await? {
                        self.tell_body(tx, case, extract, (body, false), now).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// To the first contact of the body. Where it names none, an extract for it alone is a dead letter, so that somebody
    /// sees that nobody was told.
    async fn tell_body(
        &self,
        tx: &mut Conn,
        case: &Case,
        (digest, tlp, made): (&str, &str, Timestamp),
        (body, alone): (BodyCode, bool),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Where nobody is named for anything, the start said so.
        if self.settings.contacts.is_empty() {
            return Ok(());
        }
        let role = Role::BodyOfficer;
        let contacts = self.settings.ladder(role, Some(&body), case.drill);
        // Whoever is named for all bodies would be told of every one.
        let own = contacts.iter().find(|contact| !contact.bodies.is_empty());
        let contact = own.or_else(|| contacts.first().filter(|_| alone)).copied();
        if contact.is_none() && !alone {
            return Ok(());
        }
        let lang = contact.map_or(Lang::Ja, |contact| contact.lang);
        let values = Values::default()
            .with(Field::Body, &body.to_string())
            .with(Field::Tlp, &format!("TLP:{tlp}"))
            .with(Field::Since, &local(made).strftime("%Y-%m-%d %H:%M JST").to_string())
            .with(Field::Digest, digest.get(..12).unwrap_or(digest))
            .with(Field::Link, &format!("{}/shared", self.url));
        let message = self.templates.fill(NoticeKind::Shared, lang, &values, case.drill);
        let draft = Draft {
            // Neither key nor text names the incident: its name names the body that it comes from.
            key: format!("shared/{digest}/{body}/{role}/0"),
            incident: None,
            kind: NoticeKind::Shared,
            level: i64::from(case.watch.level.level()),
            drill: case.drill,
            body: Some(&body),
            role: role.as_str(),
            place: 0,
            contact,
            message: &message,
            now,
            pass_at: None,
        };
        insert(tx, &draft).await
    }
}

/// Every body but the incident's own.
async fn others(tx: &mut Conn, case: &Case) -> Result<Vec<BodyCode>, StoreError> {
    let codes: Vec<String> = db::query_scalar("SELECT code FROM bodies WHERE code <> $1 ORDER BY code")
        .bind(case.body().map_or("", BodyCode::as_str))
        .fetch_all(tx)
        .await
        .map_err(query("read bodies"))?;
    Ok(codes.iter().filter_map(|code| code.parse().ok()).collect())
}
