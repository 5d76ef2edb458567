//! An extract of an incident for others: what they can look for and learn from, marked with TLP 2.0.
//!
//! Of bodies that are not the recipient it holds no name, code or inner address, and no name of an incident of theirs. What
//! somebody wrote freely comes without names of bodies, and leaves the recipient's hands only with a mark that allows it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekimori_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::clock::from_stored;
use crate::export::is_public;
use crate::incident::facts::IncidentFacts;
use crate::incident::taxonomy::elsewhere;
use crate::store::db::{self, Conn};
use crate::store::{StoreError, query};

/// Indicators in one extract.
const INDICATORS_MAX: i64 = 2000;
/// Bodies that may be named in what somebody wrote.
const BODIES_MAX: i64 = 4000;

/// What an extract is for.
pub(super) struct Wanted<'a> {
    /// To whom.
    pub(super) recipient: &'a str,
    /// The body that it is for, if it is one.
    pub(super) to_body: Option<&'a str>,
    /// Its mark.
    pub(super) tlp: &'a str,
    /// When it is made.
    pub(super) at: Timestamp,
}

/// Other bodies by another name: the same within one extract.
#[derive(Default)]
struct Aliases(BTreeMap<String, String>);

impl Aliases {
    fn of(&mut self, code: &str) -> String {
        let next = self.0.len() + 1;
        self.0.entry(code.to_owned()).or_insert_with(|| format!("団体{next}")).clone()
    }
}

/// The document, as JSON.
pub(super) async fn document(
    tx: &mut Conn,
    facts: &IncidentFacts,
    wanted: &Wanted<'_>,
) -> Result<String, StoreError> {
    let mut aliases = Aliases::default();
    let own = facts.body.as_ref().is_some_and(|body| Some(body.as_str()) == wanted.to_body);
    let (subject, opened, first, last): (String, i64, i64, i64) =
        db::query_as("SELECT subject, opened_at, first_evidence, last_evidence FROM incidents WHERE id = $1")
            .bind(&facts.id)
            .fetch_one(&mut *tx)
            .await
            .map_err(query("read an incident"))?;
    let words = elsewhere(facts.category);
    let body = match &facts.body {
        Some(body) if own => json!(body.as_str()),
        Some(body) => json!(aliases.of(body.as_str())),
        None => Value::Null,
    };
    let members = members(tx, &facts.id, wanted.to_body, &mut aliases).await?;
    let indicators = indicators(tx, &facts.id, wanted.to_body).await?;
    let lesson = match &facts.work.review {
        Some(review) => {
            let [cause, lesson] =
                nameless(tx, [&review.root_cause, &review.lesson], wanted.to_body, &mut aliases).await?;
            json!({ "root_cause": cause, "lesson": lesson })
        }
        None => Value::Null,
    };
    let document = json!({
        "format": "sekimori.extract/1",
        "tlp": format!("TLP:{}", wanted.tlp),
        "recipient": wanted.recipient,
        "made_at": wanted.at,
        "drill": facts.drill,
        "category": facts.category,
        "jpcert": words.jpcert,
        "rsit": words.rsit,
        "severity": facts.severity,
        "state": facts.state,
        "body": body,
        "bodies": facts.bodies,
        "incident": own.then_some(&facts.id),
        "subject": own.then_some(subject),
        "opened_at": from_stored(opened),
        "first_evidence": from_stored(first),
        "last_evidence": from_stored(last),
        "findings": kinds(tx, &facts.id).await?,
        "members": members,
        "indicators": indicators,
        "lesson": lesson,
    });
    Ok(document.to_string())
}

/// What kinds of findings, and how many of each, of it and of those under it.
async fn kinds(tx: &mut Conn, id: &str) -> Result<Vec<Value>, StoreError> {
    let rows: Vec<(String, i64)> = db::query_as(
        "SELECT category, count(*) FROM findings WHERE incident = $1
            OR incident IN (SELECT id FROM incidents WHERE parent = $1)
         GROUP BY category ORDER BY category",
    )
    .bind(id)
    .fetch_all(tx)
    .await
    .map_err(query("count findings"))?;
    Ok(rows.into_iter().map(|(category, count)| json!({ "category": category, "count": count })).collect())
}

/// The incidents of a wide-area one.
async fn members(
    tx: &mut Conn,
    id: &str,
    to_body: Option<&str>,
    aliases: &mut Aliases,
) -> Result<Vec<Value>, StoreError> {
    let rows: Vec<(String, Option<String>, i64, i64)> = db::query_as(
        "SELECT id, body, severity, opened_at FROM incidents WHERE parent = $1 ORDER BY opened_at, id LIMIT 1000",
    )
    .bind(id)
    .fetch_all(tx)
    .await
    .map_err(query("read the children of an incident"))?;
    let member = |(id, body, severity, opened): (String, Option<String>, i64, i64)| {
        let code = body.unwrap_or_default();
        let own = Some(code.as_str()) == to_body;
        json!({
            "body": if own { code } else { aliases.of(&code) },
            "incident": own.then_some(id),
            "severity": severity,
            "opened_at": from_stored(opened),
        })
    };
    Ok(rows.into_iter().map(member).collect())
}

/// What others can look for. Inner addresses are told to whose they are, and to nobody else.
async fn indicators(tx: &mut Conn, id: &str, to_body: Option<&str>) -> Result<Vec<Value>, StoreError> {
    let rows: Vec<(String, String, String, i64, i64)> = db::query_as(
        "SELECT kind, value, body, first_seen, last_seen FROM indicators WHERE incident = $1
            OR incident IN (SELECT id FROM incidents WHERE parent = $1) ORDER BY kind, value, body LIMIT $2",
    )
    .bind(id)
    .bind(INDICATORS_MAX)
    .fetch_all(tx)
    .await
    .map_err(query("read indicators"))?;
    let mut out: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    for (kind, value, body, first, last) in rows {
        let inner = value.parse::<IpAddr>().is_ok_and(|address| !is_public(address));
        if inner && Some(body.as_str()) != to_body {
            continue;
        }
        let times = out.entry((kind, value)).or_insert((first, last));
        *times = (times.0.min(first), times.1.max(last));
    }
    let one = |((kind, value), (first, last)): ((String, String), (i64, i64))| json!({ "kind": kind, "value": value, "first_seen": from_stored(first), "last_seen": from_stored(last) });
    Ok(out.into_iter().map(one).collect())
}

/// Texts without names and codes of bodies other than the recipient, and without names of incidents.
async fn nameless(
    tx: &mut Conn,
    texts: [&String; 2],
    to_body: Option<&str>,
    aliases: &mut Aliases,
) -> Result<[String; 2], StoreError> {
    let mut bodies: Vec<(String, String)> = db::query_as("SELECT code, name FROM bodies LIMIT $1")
        .bind(BODIES_MAX)
        .fetch_all(tx)
        .await
        .map_err(query("read the bodies"))?;
    bodies.retain(|(code, _)| Some(code.as_str()) != to_body);
    // The longest first: 甲市 is part of 甲市水道企業団.
    bodies.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    Ok(texts.map(|text| {
        let mut text = text.clone();
        for (code, name) in &bodies {
            for word in [name, code].into_iter().filter(|word| !word.is_empty()) {
                if text.contains(word.as_str()) {
                    text = text.replace(word.as_str(), &aliases.of(code));
                }
            }
        }
        text
    }))
}
