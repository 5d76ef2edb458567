//! Signing in with two factors, step by step, and what one can do with one's own account.

use super::*;
use crate::auth::totp::TotpSecret;
use crate::store::account::AccountChange;

/// Every role that works on incidents needs an authenticator, as it is unless the configuration says otherwise.
async fn strict() -> Bench {
    Bench::with_rules(InForce::load(&[], AgentsOwn::Accept).unwrap(), AccountRules::default()).await
}

fn cookie_of(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

fn csrf_of(cookie: &str) -> String {
    SessionToken::from_cookies(cookie).unwrap().csrf()
}

async fn log_in(bench: &Bench, name: &str) -> Answer {
    let form = format!("name={name}&password={}&next=%2Fagents", super::super::page::query_value(PASSWORD));
    bench.post("/login", "", &form).await
}

/// The code that an authenticator shows now, or some steps later.
fn code(secret: &TotpSecret, steps: u64) -> String {
    secret.shown(now().plus(Duration::from_secs(30 * steps)))
}

/// The secret on the page, as somebody types it.
fn secret_on(page: &str) -> TotpSecret {
    let text = page.split("id=\"secret\">").nth(1).unwrap().split('<').next().unwrap().replace(' ', "");
    let mut bits = 0_u64;
    let mut count = 0;
    let mut bytes = Vec::new();
    for letter in text.bytes() {
        let value = if letter.is_ascii_uppercase() { letter - b'A' } else { letter - b'2' + 26 };
        bits = (bits << 5 | u64::from(value)) & 0xffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    TotpSecret::from_bytes(&bytes).unwrap()
}

#[tokio::test]
async fn the_first_sign_in_sets_up_an_authenticator_and_the_next_asks_it() {
    let bench = strict().await;
    let half = log_in(&bench, "monitor").await;
    assert_eq!(half.header("location"), "/login/enrol?next=/agents");
    let cookie = cookie_of(&half);
    // Half a sign-in opens nothing.
    assert_eq!(bench.get("/agents", &cookie).await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.get("/api/v1/agents", &cookie).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.get("/events", &cookie).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.get("/login/code", &cookie).await.header("location"), "/login");
    let page = bench.get("/login/enrol?next=%2Fagents", &cookie).await.text;
    let secret = secret_on(&page);
    assert!(page.contains(&secret.to_base32()) && page.contains("otpauth://totp/"));
    assert_eq!(
        secret_on(&bench.get("/login/enrol", &cookie).await.text),
        secret,
        "looking again changes nothing"
    );
    let form = |code: &str| format!("csrf={}&next=%2Fagents&code={code}", csrf_of(&cookie));
    assert_eq!(bench.post("/login/enrol", &cookie, "csrf=x&code=1").await.status, StatusCode::FORBIDDEN);
    assert_eq!(bench.post("/login/enrol", &cookie, &form("12345")).await.status, StatusCode::UNAUTHORIZED);
    let first = code(&secret, 0);
    let done = bench.post("/login/enrol", &cookie, &form(&first)).await;
    assert_eq!(done.status, StatusCode::OK);
    let recovery: Vec<&str> =
        done.text.split("<li>").skip(1).map(|part| part.split('<').next().unwrap()).collect();
    assert_eq!(recovery.len(), 10);
    let whole = cookie_of(&done);
    assert_ne!(whole, cookie, "the secret of the session is another one now");
    assert_eq!(bench.get("/agents", &whole).await.status, StatusCode::OK);
    assert_eq!(bench.get("/login/enrol", &cookie).await.header("location"), "/login");

    // The next sign-in: the same code is not taken again, the next one is; a recovery code is, once.
    let half = log_in(&bench, "monitor").await;
    assert_eq!(half.header("location"), "/login/code?next=/agents");
    let cookie = cookie_of(&half);
    assert_eq!(bench.get("/login/code", &cookie).await.status, StatusCode::OK);
    let form = |cookie: &str, code: &str| format!("csrf={}&next=%2Fagents&code={code}", csrf_of(cookie));
    for wrong in [first.as_str(), "000000x", "AAAA-AAAA-AAAA-AAAA"] {
        let answer = bench.post("/login/code", &cookie, &form(&cookie, wrong)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let answer = bench.post("/login/code", &cookie, &form(&cookie, &code(&secret, 1))).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/agents"));
    assert_eq!(bench.get("/agents", &cookie_of(&answer)).await.status, StatusCode::OK);
    for expected in [StatusCode::SEE_OTHER, StatusCode::UNAUTHORIZED] {
        let cookie = cookie_of(&log_in(&bench, "monitor").await);
        let answer = bench.post("/login/code", &cookie, &form(&cookie, &recovery[0].to_lowercase())).await;
        assert_eq!(answer.status, expected);
    }
    assert_eq!(bench.store.recovery_codes_left("monitor").await.unwrap(), 9);
    let record = bench.store.sign_ins(Some("monitor"), 50).await.unwrap();
    let count = |outcome: &str| record.iter().filter(|line| line.outcome == outcome).count();
    assert_eq!((count("in"), count("halfway"), count("wrong"), count("replayed")), (3, 4, 4, 1));
    // Lost: an administrator resets it, and the next sign-in sets up another.
    bench.store.change_account("monitor", &AccountChange::ResetTotp, now()).await.unwrap();
    assert!(log_in(&bench, "monitor").await.header("location").starts_with("/login/enrol"));
}

#[tokio::test]
async fn an_account_with_a_second_factor_cannot_go_around_it_by_the_api() {
    let bench = strict().await;
    let ask = async |name: &str| {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{PASSWORD}"));
        let request = Request::get("/api/v1/agents").header("authorization", format!("Basic {basic}"));
        bench.send(request.body(Body::empty()).unwrap()).await
    };
    let answer = ask("monitor").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.json()["error"].as_str().unwrap().contains("token"));
    assert_eq!(ask("auditor").await.status, StatusCode::OK, "an auditor needs none by default");
}

#[tokio::test]
async fn codes_cannot_be_guessed_for_long() {
    let bench = strict().await;
    let secret = TotpSecret::generate().unwrap();
    bench.store.set_totp("monitor", &secret, 0, &[]).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..12 {
        // A right password each time does not begin the count anew.
        let half = log_in(&bench, "monitor").await;
        if half.status == StatusCode::TOO_MANY_REQUESTS {
            statuses.push(half.status);
            continue;
        }
        let cookie = cookie_of(&half);
        let form = format!("csrf={}&code=12345", csrf_of(&cookie));
        statuses.push(bench.post("/login/code", &cookie, &form).await.status);
    }
    assert_eq!(statuses[..10], [StatusCode::UNAUTHORIZED; 10]);
    assert_eq!(statuses[10..], [StatusCode::TOO_MANY_REQUESTS; 2]);
    assert_eq!(bench.store.failures_of("monitor", now()).await.unwrap().0, 10);
}

#[tokio::test]
async fn people_change_their_password_and_end_their_sessions() {
    let bench = Bench::new().await;
    let (cookie, csrf) = bench.session("auditor").await;
    let (elsewhere, _) = bench.session("auditor").await;
    let form = |current: &str, new: &str, again: &str| {
        let value = super::super::page::query_value;
        format!("csrf={csrf}&current={}&new={}&again={}", value(current), value(new), value(again))
    };
    for (form, status, words) in [
        (form(PASSWORD, "short", "short"), StatusCode::BAD_REQUEST, "12文字以上"),
        (
            form(PASSWORD, "the auditor reads", "the auditor reads"),
            StatusCode::BAD_REQUEST,
            "利用者名を含める",
        ),
        (form(PASSWORD, "a new long phrase", "another phrase"), StatusCode::BAD_REQUEST, "一致しません"),
        (
            form("not the password", "a new long phrase", "a new long phrase"),
            StatusCode::UNAUTHORIZED,
            "現在のパスワードが違います",
        ),
    ] {
        let answer = bench.post("/account/password", &cookie, &form).await;
        assert_eq!(answer.status, status, "{words}");
        assert!(answer.text.contains(words), "{words}");
    }
    let changed = bench
        .post("/account/password", &cookie, &form(PASSWORD, "a new long phrase", "a new long phrase"))
        .await;
    assert_eq!(changed.header("location"), "/account");
    let fresh = cookie_of(&changed);
    assert_eq!(bench.get("/account", &fresh).await.status, StatusCode::OK);
    for old in [&cookie, &elsewhere] {
        assert_eq!(bench.get("/account", old).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(log_in(&bench, "auditor").await.status, StatusCode::UNAUTHORIZED, "the old one");

    // One session of one's own, then all; not another's.
    let (elsewhere, _) = bench.session("auditor").await;
    let (other, _) = bench.session("monitor").await;
    let end = async |which: &str| {
        let form = format!("csrf={}&session={which}", csrf_of(&fresh));
        bench.post("/account/sessions/end", &fresh, &form).await.status
    };
    let digest = |cookie: &str| SessionToken::from_cookies(cookie).unwrap().digest().to_string();
    assert_eq!(end("nonsense").await, StatusCode::BAD_REQUEST);
    assert_eq!(end(&digest(&other)).await, StatusCode::SEE_OTHER);
    assert_eq!(bench.get("/account", &other).await.status, StatusCode::OK);
    assert_eq!(end(&digest(&elsewhere)).await, StatusCode::SEE_OTHER);
    assert_eq!(bench.get("/account", &elsewhere).await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.get("/account", &fresh).await.status, StatusCode::OK);
    assert_eq!(end("").await, StatusCode::SEE_OTHER);
    assert_eq!(bench.get("/account", &fresh).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_authenticator_is_replaced_only_with_the_password() {
    let bench = Bench::new().await;
    let (cookie, csrf) = bench.session("monitor").await;
    let page = bench.get("/account/authenticator", &cookie).await.text;
    let secret = secret_on(&page);
    let form = |password: &str| {
        format!(
            "csrf={csrf}&code={}&password={}",
            code(&secret, 0),
            super::super::page::query_value(password)
        )
    };
    let refused = bench.post("/account/authenticator", &cookie, &form("guess")).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(!bench.store.account("monitor").await.unwrap().unwrap().has_totp);
    let done = bench.post("/account/authenticator", &cookie, &form(PASSWORD)).await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(bench.store.account("monitor").await.unwrap().unwrap().has_totp);
    assert_eq!(bench.get("/account", &cookie).await.status, StatusCode::SEE_OTHER, "older sessions end");
    assert!(bench.get("/account", &cookie_of(&done)).await.text.contains("10 / 10"));
    assert!(log_in(&bench, "monitor").await.header("location").starts_with("/login/code"));
}
