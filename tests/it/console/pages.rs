//! Every page there is, held against axe-core: in both languages, light and dark.
//!
//! Pages are the router's own: each GET route that answers with HTML. One with a parameter is found by following links, so
//! a new page needs no line here, but something in the collector that leads to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::browser::{Browser, axe, on_a_browser};
use crate::people::fed;
use crate::support::{Collector, pcap, run_ok, said};

/// The list that the collector's own tests hold against its router.
const SCOPE: &str = include_str!("../../../collector/src/console/tests/scope.rs");
/// What is fetched by other pages or other programs, or leads away. Sign-in has a test below: who has a session is sent on.
const NO_PAGES: [&str; 9] = [
    "/api/",
    "/assets/",
    "/events",
    "/language",
    "/login",
    "/healthz",
    "/readyz",
    "/search/complete",
    "/account/authenticator",
];

/// Every route that may be a page, as the router has it.
fn routes() -> BTreeSet<String> {
    let of_line = |line: &str| {
        let path = line.trim().strip_prefix("(\"GET\", \"")?.split('"').next()?.to_owned();
        (!NO_PAGES.iter().any(|no| path.starts_with(no))).then_some(path)
    };
    let found: BTreeSet<String> = SCOPE.lines().filter_map(of_line).collect();
    assert!(found.len() >= 8 && found.contains("/incidents/{id}"), "the list has another shape: {found:?}");
    found
}

/// Whether this path is one of the route's.
fn fits(route: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (route.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(value)) if part.starts_with('{') && !value.is_empty() => {}
            (Some(part), Some(value)) if part == value => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// A collector with something on every page.
pub(super) fn filled(collector: &Collector) {
    let agent = collector.enrol("422011", "gateway");
    let captures = [pcap("scan.port/positive-outside.pcap"), pcap("endpoint.alert/positive-cef.pcap")];
    run_ok(&mut agent.replay(None, &captures));
    collector.incidents("scan", Duration::from_secs(30));
}

/// Looks at the page that is open in both themes, and adds what is wrong, by page.
async fn look(browser: &Browser, axe: &str, page: &str, wrong: &mut BTreeMap<String, Vec<String>>) {
    for theme in ["light", "dark"] {
        browser.theme(theme).await;
        // Forms behind summaries are part of the page, too.
        browser.run("for (const one of document.querySelectorAll('details')) one.open = true;").await;
        for violation in browser.violations(axe, theme == "dark").await {
            let places = wrong.entry(violation).or_default();
            places.push(format!("{page} {theme}"));
        }
    }
}

fn assert_none(wrong: &BTreeMap<String, Vec<String>>) {
    let words: Vec<String> = wrong
        .iter()
        .map(|(violation, places)| format!("{violation}\n    on {}", places.join(", ")))
        .collect();
    assert!(wrong.is_empty(), "{} violations:\n{}", words.len(), words.join("\n"));
}

/// Links of the page that is open, without query and fragment.
async fn links(browser: &Browser) -> Vec<String> {
    let script = "return [...document.querySelectorAll('a[href]')]
        .filter((one) => one.origin === location.origin && !one.hasAttribute('download')).map((one) => one.pathname)";
    let found = browser.run(script).await;
    found
        .as_array()
        .cloned()
        .unwrap_or_default()
        .iter()
        .filter_map(|one| Some(one.as_str()?.to_owned()))
        .collect()
}

/// Whether the path answers with a page for this person: some files are links, too, and some pages are not for everybody.
async fn is_page(browser: &Browser, path: &str) -> bool {
    let script = "const done = arguments[arguments.length - 1];
        fetch(arguments[0], { credentials: 'same-origin' })
          .then((answer) => done([answer.status, answer.headers.get('content-type') ?? '']), (error) => done(String(error)));";
    let answer = browser.client.execute_async(script, vec![json!(path)]).await.expect("the page can fetch");
    let status = answer[0].as_u64().unwrap_or_else(|| panic!("{path}: {answer}"));
    assert!(status < 400 || status == 404, "{path} answers {status}");
    status < 400 && answer[1].as_str().unwrap_or_default().starts_with("text/html")
}

/// Looks at one page of each route that this person can open and nobody has opened yet.
async fn walk(
    browser: &Browser,
    axe: &str,
    seen: &mut BTreeSet<String>,
    wrong: &mut BTreeMap<String, Vec<String>>,
) {
    let routes = routes();
    let mut waiting: Vec<String> = routes.iter().filter(|route| !route.contains('{')).cloned().collect();
    while let Some(path) = waiting.pop() {
        let exactly = routes.get(&path);
        let Some(route) = exactly.or_else(|| routes.iter().find(|route| fits(route, &path))) else {
            continue;
        };
        if seen.contains(route) || !is_page(browser, &path).await {
            continue;
        }
        seen.insert(route.clone());
        for language in ["ja", "en"] {
            browser.goto(&format!("/language?to={language}&back={path}")).await;
            assert_eq!(browser.place().await, path, "where the link leads");
            look(browser, axe, &format!("{path} {language}"), wrong).await;
        }
        waiting.extend(links(browser).await);
    }
    browser.goto("/language?to=ja&back=/").await;
    // A page that is not for this person is not there.
    browser.assert_clean(&[404]).await;
}

#[test]
fn every_page_can_be_used_by_everybody_in_both_languages_and_themes() {
    let axe = axe::source();
    let collector = Collector::start();
    filled(&collector);
    let password = "a long enough phrase";
    run_ok(&mut collector.cli(&["drill", "start", "lost_device", "--bodies", "422011"]));
    let words = ["user", "add", "--name", "keeper", "--role", "admin", "--scope", "all"];
    let added = fed(&mut collector.cli(&words), &format!("{password}\n"));
    assert!(added.status.success(), "{}", said(&added));
    on_a_browser(async {
        let browser = Browser::open(&collector).await;
        let (mut seen, mut wrong) = (BTreeSet::new(), BTreeMap::new());
        browser.login(&collector).await;
        walk(&browser, &axe, &mut seen, &mut wrong).await;
        browser.click("form[action='/logout'] button").await;
        browser.shows("main", "ログイン").await;
        browser.give_password("keeper", password).await;
        browser.shows("nav", "インシデント").await;
        walk(&browser, &axe, &mut seen, &mut wrong).await;
        let routes = routes();
        let unseen: Vec<_> =
            routes.difference(&seen).filter(|route| !EMPTY.contains(&route.as_str())).collect();
        assert!(unseen.is_empty(), "nobody can open {unseen:?}, or no link leads there");
        assert_none(&wrong);
        browser.close().await;
    });
}

/// Files. The first needs two persons' work to be there: `collector/src/console/tests/granted.rs` fetches it; `walk.rs` the other.
const EMPTY: [&str; 2] = ["/shared/{digest}", "/incidents/{id}/evidence"];

#[test]
fn signing_in_with_an_authenticator_works_and_can_be_used_by_everybody() {
    let axe = axe::source();
    let collector = Collector::with_authenticators();
    on_a_browser(async {
        let browser = Browser::open(&collector).await;
        let mut wrong = BTreeMap::new();
        browser.goto("/incidents").await;
        assert!(browser.place().await.starts_with("/login?next="), "nothing without signing in");
        look(&browser, &axe, "/login ja", &mut wrong).await;
        browser.goto("/language?to=en&back=/").await;
        look(&browser, &axe, "/login en", &mut wrong).await;
        browser.goto("/language?to=ja&back=/").await;

        browser.give_password(&collector.user, "not the password").await;
        browser.shows("[role=alert]", "✕").await;
        browser.give_password(&collector.user, &collector.password).await;
        look(&browser, &axe, "/login/enrol", &mut wrong).await;
        let secret = browser.make_authenticator().await;
        look(&browser, &axe, "recovery codes", &mut wrong).await;
        browser.click("a.btn.primary").await;
        browser.shows("nav", "インシデント").await;

        browser.click("form[action='/logout'] button").await;
        browser.give_password(&collector.user, &collector.password).await;
        look(&browser, &axe, "/login/code", &mut wrong).await;
        browser.give_code(&secret).await;
        browser.goto("/account/authenticator").await;
        look(&browser, &axe, "/account/authenticator", &mut wrong).await;
        // A wrong password is answered so.
        browser.assert_clean(&[401]).await;
        assert_none(&wrong);
        browser.close().await;
    });
}

#[test]
fn a_route_fits_its_paths() {
    assert!(fits("/incidents/{id}", "/incidents/INC-1") && fits("/incidents", "/incidents"));
    assert!(!fits("/incidents/{id}", "/incidents/") && !fits("/incidents/{id}", "/incidents/a/b"));
}
