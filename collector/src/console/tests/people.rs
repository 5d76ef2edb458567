//! Managing accounts, coming in by an identity provider, and what every form and every page must have.

use super::*;
use crate::auth::oidc::tests::{Idp, Lie};
use crate::auth::scope::Scope;
use crate::auth::totp::TotpSecret;

async fn managed() -> (Bench, String, String) {
    let bench = Bench::new().await;
    bench.store.add_account(&"boss".into(), Role::Admin, &Scope::All, "x", now()).await.unwrap();
    let (cookie, csrf) = bench.session("boss").await;
    (bench, cookie, csrf)
}

fn encoded(text: &str) -> String {
    super::super::page::query_value(text)
}

#[tokio::test]
async fn who_manages_makes_changes_and_disables_accounts() {
    let (bench, cookie, csrf) = managed().await;
    let page = bench.get("/accounts?name=monitor", &cookie).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("name=\"what\" value=\"disable\"") && page.text.contains("href=\"/accounts\"")
    );
    let made = bench
        .post(
            "/accounts",
            &cookie,
            &format!("csrf={csrf}&name={}&role=body_officer&scope=422011", encoded("長崎")),
        )
        .await;
    assert_eq!(made.status, StatusCode::OK);
    let (_, after) = made.text.split_once("id=\"secret\">").unwrap();
    let password = after.split('<').next().unwrap();
    let login = format!("name={}&password={password}", encoded("長崎"));
    assert_eq!(bench.post("/login", "", &login).await.status, StatusCode::SEE_OTHER);

    let change =
        async |form: &str| bench.post("/accounts/change", &cookie, &format!("csrf={csrf}&{form}")).await;
    let (theirs, _) = bench.session("monitor").await;
    for (form, status) in [
        ("name=monitor&what=rights&role=control&scope=422011", StatusCode::SEE_OTHER),
        ("name=monitor&what=rights&role=body_ciso&scope=all", StatusCode::BAD_REQUEST),
        ("name=monitor&what=rights&role=root&scope=all", StatusCode::BAD_REQUEST),
        ("name=monitor&what=reset-totp", StatusCode::SEE_OTHER),
        ("name=monitor&what=disable", StatusCode::SEE_OTHER),
        ("name=nobody&what=disable", StatusCode::BAD_REQUEST),
        ("name=monitor&what=erase", StatusCode::BAD_REQUEST),
        ("name=monitor&what=revoke-token&which=none", StatusCode::BAD_REQUEST),
        ("name=monitor&what=link&which=x", StatusCode::BAD_REQUEST),
        ("name=boss&what=disable", StatusCode::BAD_REQUEST),
        ("name=boss&what=rights&role=control&scope=all", StatusCode::BAD_REQUEST),
        ("name=auditor&what=end-sessions", StatusCode::SEE_OTHER),
    ] {
        assert_eq!(change(form).await.status, status, "{form}");
    }
    assert_eq!(bench.get("/account", &theirs).await.status, StatusCode::SEE_OTHER, "at once");
    let monitor = bench.store.account("monitor").await.unwrap().unwrap();
    assert!(
        monitor.disabled && monitor.user.role == Role::Control && monitor.user.scope.to_text() == "422011"
    );
    let account = bench.get("/accounts?name=monitor", &format!("{cookie}; sekimori-lang=en")).await;
    assert!(account.text.contains("Enable again") && !account.text.contains('⟦'));
    let secret = change("name=auditor&what=password").await;
    assert!(secret.status == StatusCode::OK && secret.text.contains("id=\"secret\""));

    // All of it is in the log, with who did it and from where.
    let told = bench.store.audit_of_people("account.", 50).await.unwrap();
    let by_boss: Vec<_> =
        told.iter().filter(|line| line.actor == "boss").map(|line| line.action.as_str()).collect();
    assert_eq!(by_boss, ["account.password", "account.disable", "account.role", "account.create"]);
    assert!(told[0].reason.contains("192.0.2.9") && told[0].reason.contains("\"means\":\"console\""));
    assert!(!told.iter().any(|line| line.to.contains("argon2")));
    assert!(bench.store.verify_audit().await.unwrap().broken.is_none());
}

#[tokio::test]
async fn nobody_else_manages_accounts() {
    let (bench, _, _) = managed().await;
    let some = Scope::parse("422011").unwrap();
    bench.store.add_account(&"some".into(), Role::Admin, &some, "x", now()).await.unwrap();
    for name in ["monitor", "control", "some"] {
        let (cookie, csrf) = bench.session(name).await;
        assert_eq!(bench.get("/accounts", &cookie).await.status, StatusCode::NOT_FOUND, "{name}");
        for (path, form) in
            [("/accounts", "name=x&role=admin&scope=all"), ("/accounts/change", "name=boss&what=disable")]
        {
            let answer = bench.post(path, &cookie, &format!("csrf={csrf}&{form}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
        }
        assert!(!bench.get("/", &cookie).await.text.contains("href=\"/accounts\""));
    }
    assert!(!bench.store.account("boss").await.unwrap().unwrap().disabled);
    assert!(bench.store.account("x").await.unwrap().is_none());
}

/// Forms before there is a session: another site cannot send them either, and they change nothing of anybody's.
const WITHOUT_SESSION: [&str; 2] = ["/login", "/login/certificate"];

#[tokio::test]
async fn no_form_changes_anything_without_its_token() {
    let (bench, id) = Bench::filled().await;
    bench.store.add_account(&"boss".into(), Role::Admin, &Scope::All, "x", now()).await.unwrap();
    let before = bench.store.audit_of_people("", 1000).await.unwrap().len();
    for name in ["control", "boss"] {
        let (cookie, _) = bench.session(name).await;
        for path in scope::forms() {
            let at = path.replace("{id}", &id);
            let fields = "version=1&action=acknowledge&name=monitor&what=disable&role=admin&scope=all&password=x&current=x\
                          &new=a+new+long+phrase&again=a+new+long+phrase&code=1&session=&which=x&next=%2F";
            for csrf in ["", "csrf=&", "csrf=0000&"] {
                if WITHOUT_SESSION.contains(&path.as_str()) {
                    continue;
                }
                let kind = if at.starts_with("/api") {
                    "application/json"
                } else {
                    "application/x-www-form-urlencoded"
                };
                let body = if at.starts_with("/api") {
                    "{\"version\": 1, \"action\": \"acknowledge\"}".to_owned()
                } else {
                    format!("{csrf}{fields}")
                };
                let request = Request::post(&at).header("cookie", &cookie).header("content-type", kind);
                let answer = bench.send(request.body(Body::from(body)).unwrap()).await;
                let gone = answer.header("location") == "/login";
                assert!(answer.status.is_client_error() || gone, "{name} {at} {csrf}: {}", answer.status);
            }
            let request = Request::post(&at).header("cookie", &cookie).header("sec-fetch-site", "cross-site");
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer = bench.send(request.body(Body::from(fields)).unwrap()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{at} from another site");
        }
        assert_eq!(bench.get("/account", &cookie).await.status, StatusCode::OK, "the session is there still");
    }
    assert_eq!(bench.store.audit_of_people("", 1000).await.unwrap().len(), before, "nothing happened");
    assert!(!bench.store.account("monitor").await.unwrap().unwrap().disabled);
}

#[tokio::test]
async fn every_page_has_the_policy_and_nothing_that_it_forbids() {
    let (bench, id) = Bench::filled().await;
    bench.store.add_account(&"boss".into(), Role::Admin, &Scope::All, "x", now()).await.unwrap();
    let (cookie, _) = bench.session("boss").await;
    for path in scope::pages() {
        let at = path.replace("{id}", &id).replace("{name}", "console.css");
        let answer = bench.get(&at, &cookie).await;
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{at}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{at}");
        if answer.header("content-type").starts_with("text/html") {
            for forbidden in [" style=", "<style", "<script>", " onclick=", " onload=", "javascript:"] {
                assert!(!answer.text.contains(forbidden), "{at} has {forbidden}");
            }
        }
    }
    let page = bench.get("/account/authenticator", &cookie).await;
    assert!(
        page.text.contains("<svg xmlns=")
            && page.text.contains("id=\"secret\"")
            && !page.text.contains("<?xml")
    );
}

async fn by_provider(idp: &Idp) -> Bench {
    let rules = AccountRules { oidc: Some(idp.settings()), ..AccountRules::default() };
    let bench = Bench::with_rules(InForce::load(&[], AgentsOwn::Accept).unwrap(), rules).await;
    let by = crate::store::people::testing::root(now());
    assert!(bench.store.link_subject(&by, "monitor", (&idp.issuer, "sub-1")).await.unwrap());
    assert!(!bench.store.link_subject(&by, "control", (&idp.issuer, "sub-1")).await.unwrap(), "another's");
    assert!(!bench.store.link_subject(&by, "nobody", (&idp.issuer, "sub-2")).await.unwrap());
    bench
}

/// There and back: the address of the answer, and the cookie that belongs to it.
async fn there(bench: &Bench, idp: &Idp) -> (String, String) {
    let begun = bench.get("/login/oidc?next=%2Fagents", "").await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER);
    let cookie = begun.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(begun.header("set-cookie").contains("SameSite=Lax"));
    let (code, state) = idp.authorize(begun.header("location"));
    (format!("/login/oidc/callback?code={code}&state={state}"), cookie)
}

fn session_in(answer: &Answer) -> Option<String> {
    let all = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let mut mine = all.filter(|value| value.starts_with("__Host-sekimori="));
    mine.next().map(|value| value.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn people_come_in_by_the_provider_and_their_second_factor_counts_if_it_is_said() {
    let idp = Idp::start().await;
    let bench = by_provider(&idp).await;
    assert!(bench.get("/login", "").await.text.contains("/login/oidc?next="));
    // Without one at the provider, ours is asked for.
    let (back, cookie) = there(&bench, &idp).await;
    let answer = bench.get(&back, &cookie).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains("url=/login/enrol?next=/agents"), "{}", answer.text);
    let half = session_in(&answer).unwrap();
    assert_eq!(bench.get("/agents", &half).await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.get("/login/enrol", &half).await.status, StatusCode::OK);
    bench.store.set_totp("monitor", &TotpSecret::generate().unwrap(), 0, &[]).await.unwrap();
    let (back, cookie) = there(&bench, &idp).await;
    assert!(bench.get(&back, &cookie).await.text.contains("url=/login/code?next=/agents"));
    // With one that counts, none.
    idp.with(|inner| inner.amr = serde_json::json!(["pwd", "otp"]));
    let (back, cookie) = there(&bench, &idp).await;
    let answer = bench.get(&back, &cookie).await;
    assert!(answer.text.contains("url=/agents\""));
    let session = session_in(&answer).unwrap();
    assert_eq!(bench.get("/agents", &session).await.status, StatusCode::OK);
    // The same answer again, in this browser or another, is worth nothing.
    assert_eq!(session_in(&bench.get(&back, &cookie).await), None);
    let (back, _) = there(&bench, &idp).await;
    assert_eq!(bench.get(&back, "").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get(&back, &cookie).await.status, StatusCode::BAD_REQUEST);
    let told = bench.store.sign_ins(Some("monitor"), 10).await.unwrap();
    assert!(told.iter().any(|line| line.method == "oidc" && line.outcome == "in"));
}

#[tokio::test]
async fn nobody_comes_in_who_is_not_linked_or_not_believed() {
    let idp = Idp::start().await;
    let bench = by_provider(&idp).await;
    idp.with(|inner| (inner.amr, inner.subject) = (serde_json::json!(["otp"]), "stranger<b>".to_owned()));
    let (back, cookie) = there(&bench, &idp).await;
    let answer = bench.get(&back, &cookie).await;
    assert_eq!((answer.status, session_in(&answer)), (StatusCode::FORBIDDEN, None));
    assert!(answer.text.contains("stranger&#60;b&#62;"), "told, for the administrator: {}", answer.text);
    idp.with(|inner| inner.subject = "sub-1".to_owned());
    for lie in [Lie::Audience, Lie::Nonce, Lie::AlgNone, Lie::Hs256] {
        idp.with(|inner| inner.lie = lie);
        let (back, cookie) = there(&bench, &idp).await;
        let answer = bench.get(&back, &cookie).await;
        assert_eq!((answer.status, session_in(&answer)), (StatusCode::UNAUTHORIZED, None), "{lie:?}");
    }
    idp.with(|inner| inner.lie = Lie::None);
    // Another issuer's name in the answer, an error in it.
    let (back, cookie) = there(&bench, &idp).await;
    for bad in ["&iss=https%3A%2F%2Fother.example", "&error=access_denied"] {
        let answer = bench.get(&format!("{back}{bad}"), &cookie).await;
        assert_eq!((answer.status, session_in(&answer)), (StatusCode::UNAUTHORIZED, None), "{bad}");
    }
    let by = crate::store::people::testing::root(now());
    bench
        .store
        .change_account("monitor", &crate::store::account::AccountChange::Disable, now())
        .await
        .unwrap();
    let (back, cookie) = there(&bench, &idp).await;
    assert_eq!(bench.get(&back, &cookie).await.status, StatusCode::FORBIDDEN);
    assert!(bench.store.unlink_subjects(&by, "monitor").await.unwrap());
    assert!(!bench.store.unlink_subjects(&by, "monitor").await.unwrap());
    assert!(bench.store.verify_audit().await.unwrap().broken.is_none());
    let plain = Bench::new().await;
    assert_eq!(plain.get("/login/oidc", "").await.status, StatusCode::NOT_FOUND);
}
