//! Files that are refused, policies that are merged, and what is kept.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use crate::store::db;
use sekimori_wire::id::Digest;
use sekimori_wire::intel_bundle::{self, MAGIC};
use sekimori_wire::limits::POLICY_INTEL_BYTES_MAX;

use super::*;
use crate::store::Store;

fn exception(id: &str, reason: &str) -> String {
    format!(
        "[[exception]]\nid = \"{id}\"\ncategory = \"scan.*\"\nreason = \"{reason}\"\nowner = \"soc\"\n\
         created = \"2026-10-01\"\nexpires = \"2027-10-01\"\n"
    )
}

fn written(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("policy.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn an_error_names_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("broken.intel"), "x\n").unwrap();
    let large = std::fs::File::create(folder.join("large.intel")).unwrap();
    large.set_len(POLICY_INTEL_BYTES_MAX + 1).unwrap();
    let all = "for = \"all\"\n";
    for (text, expected) in [
        (String::new(), "missing field `for`"),
        ("for = \"everybody\"\n".to_owned(), "policy.toml, line 1: for is `all`, `body:`"),
        ("for = \"body:422012\"\n".to_owned(), "line 1: for is"),
        (format!("{all}speed = 1\n"), "line 2, column 1"),
        (format!("{all}[settings]\ncapture = 1\n"), "unknown field `capture`"),
        (
            format!("{all}[settings]\nintel_max_age_hours = 0\n"),
            "line 3: settings.intel_max_age_hours 0 is not between",
        ),
        (
            format!("{all}[[settings.feed]]\nname = \"a\"\nmax_severity = 5\n"),
            "line 4: settings.feed.max_severity is 0 to 4",
        ),
        (
            format!("{all}{}{}", exception("EX-1", "x"), exception("EX-1", "x")),
            "line 9: exception \"EX-1\" is given twice",
        ),
        (format!("{all}[[intel]]\nname = \"a\"\nfile = \"none.intel\"\n"), "cannot read"),
        (format!("{all}[[intel]]\nname = \"a\"\nfile = \"broken.intel\"\n"), "line 4: intel.file"),
        (format!("{all}[[intel]]\nname = \"a\"\nfile = \"large.intel\"\n"), "is larger than"),
    ] {
        let error = file::read(&written(folder, &text)).unwrap_err();
        let shown = format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
        assert!(shown.contains(expected), "{text:?}: {shown}");
    }
}

async fn bench(folder: &Path) -> Store {
    let store = crate::store::testing::store(&folder.join("s.db")).await;
    let id = AgentId::from_bytes(&[1; 32]).unwrap();
    db::query("INSERT INTO bodies VALUES ('422011', 'x')").execute(store.writer()).await.unwrap();
    db::query(
        "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
         VALUES ($1, 'gw', '422011', $2, '1', 0, 0)",
    )
    .bind(id.to_string())
    .bind(vec![0_u8])
    .execute(store.writer())
    .await
    .unwrap();
    store
}

#[tokio::test]
async fn the_newest_of_each_scope_holds_and_a_withdrawal_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = bench(folder).await;
    let (agent, body) = (AgentId::from_bytes(&[1; 32]).unwrap(), "422011".parse().unwrap());
    let (key, _) = SigningKey::generate().unwrap();
    let bundle = intel_bundle::seal(format!("{MAGIC}{{}}\n"), &key).unwrap();
    std::fs::write(folder.join("a.intel"), &bundle).unwrap();
    let put = async |text: String| {
        let policy = file::read(&written(folder, &text)).unwrap();
        store.put_policy(&policy, Timestamp::from_secs(1)).await.unwrap()
    };
    assert_eq!(store.policy_version(&agent.to_string()).await.unwrap(), 0);
    let intel = "[[intel]]\nname = \"a\"\nfile = \"a.intel\"\n";
    assert_eq!(put(format!("for = \"all\"\n{intel}{}", exception("EX-1", "all"))).await, 1);
    assert_eq!(put(format!("for = \"agent:{agent}\"\n{}", exception("EX-1", "own"))).await, 2);
    let policy = of_agent(agent, &store.policies_of(agent, body).await.unwrap()).unwrap().unwrap();
    assert_eq!((policy.version, policy.rules.exceptions[0].reason.as_str()), (2, "own"));
    let digest = Digest::of(bundle.as_bytes());
    assert_eq!((policy.rules.intel[0].digest, &policy.rules.intel[0].key), (digest, key.verifying_key()));
    assert_eq!(store.policy_intel(digest).await.unwrap().as_deref(), Some(bundle.as_bytes()));

    let other = AgentId::from_bytes(&[2; 32]).unwrap();
    let theirs = of_agent(other, &store.policies_of(other, "131016".parse().unwrap()).await.unwrap());
    assert_eq!(theirs.unwrap().unwrap().version, 1);

    assert_eq!(store.withdraw_policy(Scope::All, Timestamp::ZERO).await.unwrap(), Some(3));
    assert_eq!(store.withdraw_policy(Scope::All, Timestamp::ZERO).await.unwrap(), None);
    let policy = of_agent(agent, &store.policies_of(agent, body).await.unwrap()).unwrap().unwrap();
    assert_eq!((policy.version, policy.rules.intel.len(), policy.rules.exceptions.len()), (3, 0, 1));
    assert_eq!(store.policy_intel(digest).await.unwrap(), None, "nobody needs it any more");

    // A collector that was set back does not give a number twice.
    db::query("UPDATE agents SET health_json = '{\"policy_version\": 9}'")
        .execute(store.writer())
        .await
        .unwrap();
    assert_eq!(put("for = \"all\"\n".to_owned()).await, 10);
}

#[test]
fn scopes_read_back_and_nearer_ones_come_later() {
    let agent = Scope::Agent(AgentId::from_bytes(&[1; 32]).unwrap());
    let body = Scope::Body("422011".parse().unwrap());
    for scope in [Scope::All, body, agent] {
        assert_eq!(scope.to_string().parse(), Ok(scope));
    }
    assert!(Scope::All < body && body < agent);
    for wrong in ["", "none", "body:", "body:1", "agent:ab", "all:"] {
        assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
    }
}
