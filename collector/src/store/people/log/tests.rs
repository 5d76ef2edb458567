//! Each line, and how many of them strangers can cause.

use std::time::Duration;

use super::*;
use crate::auth::role::Role;
use crate::auth::scope::Scope;
use crate::auth::session::{SessionRules, SessionToken, Stage};
use crate::auth::token::{ApiToken, Right, TokenEntry};
use crate::auth::totp::TotpSecret;
use crate::store::account::AccountChange;
use crate::store::people::session::NewSession;
use crate::store::people::testing::root;

async fn store() -> (tempfile::TempDir, Store, Timestamp) {
    let dir = tempfile::tempdir().unwrap();
    let store = crate::store::testing::store(&dir.path().join("s.db")).await;
    (dir, store, Timestamp::from_secs(1_800_000_000))
}

/// Action, before, after, and the account it was done to; oldest first.
async fn lines(store: &Store) -> Vec<(String, String, String, String)> {
    let all = store.audit_of_people("", 10_000).await.unwrap();
    let account = |reason: &str| {
        let reason: serde_json::Value = serde_json::from_str(reason).unwrap();
        reason["account"].as_str().unwrap().to_owned()
    };
    all.into_iter().rev().map(|line| (line.action, line.from, line.to, account(&line.reason))).collect()
}

async fn holds(store: &Store) {
    let audited = store.verify_audit().await.unwrap();
    assert_eq!(audited.broken, None);
}

#[tokio::test]
async fn every_change_of_an_account_is_a_line_that_says_who_from_where_and_how() {
    let (_dir, store, at) = store().await;
    let by = By { actor: "boss", role: "admin", address: "192.0.2.7", means: "console", at };
    let body = Scope::parse("422011").unwrap();
    assert!(store.create_account(&by, &"a".into(), Role::Monitor, &Scope::All, "h").await.unwrap());
    assert!(!store.create_account(&by, &"a".into(), Role::Monitor, &Scope::All, "h").await.unwrap());
    let user = store.account("a").await.unwrap().unwrap().user;
    let token = SessionToken::generate().unwrap();
    let new = NewSession { token: &token, user: &user, stage: Stage::Full, address: "192.0.2.8" };
    store.start_session(new, SessionRules::default(), at).await.unwrap();
    for change in [
        AccountChange::Role(Role::BodyOfficer, body),
        AccountChange::Scope(Scope::parse("422029").unwrap()),
        AccountChange::Password("secret hash".to_owned()),
        AccountChange::Disable,
        AccountChange::Enable,
    ] {
        assert!(store.alter_account(&by, "a", &change).await.unwrap());
        assert!(!store.alter_account(&by, "nobody", &change).await.unwrap());
    }
    let secret = TotpSecret::generate().unwrap();
    store.enrol_totp(&by, "a", (&secret, 1), &[]).await.unwrap();
    store.alter_account(&by, "a", &AccountChange::ResetTotp).await.unwrap();
    let entry = TokenEntry {
        label: "siem".into(),
        owner: "a".into(),
        right: Right::Read,
        scope: Scope::All,
        created_at: at,
        expires_at: at.plus(Duration::from_secs(60)),
        revoked_at: None,
        used_at: None,
    };
    assert!(store.issue_api_token(&by, &ApiToken::generate().unwrap(), &entry).await.unwrap());
    assert!(!store.issue_api_token(&by, &ApiToken::generate().unwrap(), &entry).await.unwrap());
    assert!(store.end_api_token(&by, "a", "siem").await.unwrap());
    assert!(!store.end_api_token(&by, "a", "siem").await.unwrap());
    let actions: Vec<_> = lines(&store).await;
    let short: Vec<_> = actions.iter().map(|(action, from, to, _)| format!("{action}|{from}|{to}")).collect();
    assert_eq!(
        short[..10],
        [
            "account.create||monitor all",
            "account.role|monitor all|body_officer 422011",
            "session.end||1 ended",
            "account.scope|422011|422029",
            "account.password||",
            "account.disable|enabled|disabled",
            "account.enable|disabled|enabled",
            "totp.enrol||",
            "totp.reset|authenticator|none",
            "token.make||siem read all until 2027-01-15T08:01:00.000000000Z",
        ]
    );
    assert_eq!(short[10..], ["token.revoke|siem|"]);
    assert!(actions.iter().all(|(.., account)| account == "a"));
    let line = store.audit_of_people("account.role", 1).await.unwrap().remove(0);
    assert_eq!((line.actor.as_str(), line.role.as_str(), line.at), ("boss", "admin", at));
    assert_eq!(line.reason, r#"{"account":"a","address":"192.0.2.7","means":"console"}"#);
    holds(&store).await;
}

#[tokio::test]
async fn a_flood_of_failures_is_two_lines_a_minute() {
    let (_dir, store, at) = store().await;
    store.put_user(&"monitor".into(), Role::Monitor, "hash", at).await.unwrap();
    let from = "192.0.2.1".parse().unwrap();
    let record = async |name: &str, came: Came, at: Timestamp| {
        store.record_sign_in(Attempt { name, from, at }, Method::Password, came).await.unwrap();
    };
    for n in 0..40 {
        record("monitor", Came::Wrong, at).await;
        // Whatever is typed as a name is one account that is none, and is not written down.
        record(&format!("my password {n}"), Came::Wrong, at).await;
    }
    record("monitor", Came::In, at).await;
    let told = async || {
        let all = lines(&store).await;
        all.into_iter()
            .filter(|(action, ..)| action.starts_with("sign_in"))
            .map(|(action, _, to, account)| format!("{action}|{to}|{account}"))
            .collect::<Vec<_>>()
    };
    let first = ["sign_in.wrong||monitor", "sign_in.wrong||", "sign_in.in||monitor"];
    assert_eq!(told().await, first);
    store.end_sign_in_minutes(at).await.unwrap();
    assert_eq!(told().await, first, "the minute is not over");
    let later = at.plus(Duration::from_secs(60));
    store.end_sign_in_minutes(later).await.unwrap();
    let rest = ["sign_in.wrong|39 more in that minute|", "sign_in.wrong|39 more in that minute|monitor"];
    assert_eq!(told().await, [&first[..], &rest].concat());
    store.end_sign_in_minutes(later).await.unwrap();
    record("monitor", Came::Wrong, later).await;
    assert_eq!(told().await.len(), 6, "told once, and the next minute begins anew");
    holds(&store).await;
}

#[tokio::test]
async fn sessions_that_lapse_are_told_of_once() {
    let (_dir, store, at) = store().await;
    store.put_user(&"monitor".into(), Role::Monitor, "hash", at).await.unwrap();
    let user = store.account("monitor").await.unwrap().unwrap().user;
    let rules = SessionRules::default();
    for stage in [Stage::Full, Stage::Code] {
        let token = SessionToken::generate().unwrap();
        let new = NewSession { token: &token, user: &user, stage, address: "192.0.2.8" };
        store.start_session(new, rules, at).await.unwrap();
    }
    store.end_lapsed_sessions(rules, at).await.unwrap();
    let later = at.plus(rules.idle);
    store.end_lapsed_sessions(rules, later).await.unwrap();
    store.end_lapsed_sessions(rules, later).await.unwrap();
    let lapsed = store.audit_of_people("session.lapse", 10).await.unwrap();
    assert_eq!(lapsed.len(), 1, "half a sign-in is none");
    assert!(lapsed[0].reason.contains("192.0.2.8") && lapsed[0].actor == "collector");
    assert_eq!(store.close_sessions(&root(later), "monitor", None).await.unwrap(), 0);
    holds(&store).await;
}
