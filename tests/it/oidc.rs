//! Signing in by an identity provider that is not ours: the certified `oidc-provider` of npm, its pages in Chromium.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::browser::{Browser, on_a_browser};
use crate::people::fed;
use crate::support::{Collector, Running, free_port, program, run_ok, said, wait_for};

/// Changed on purpose only.
const VERSION: &str = "8.8.1";
const SECRET: &str = "a-secret-between-the-two-of-them-only";
const START_MAX: Duration = Duration::from_secs(60);

/// The folder that the provider is installed in, below the target folder; once for a version.
fn installed() -> PathBuf {
    let built = program("sekimori-collector");
    let target = built.parent().expect("the target folder");
    let folder = target.join(format!("oidc-provider-{VERSION}"));
    if !folder.is_dir() {
        // Made beside it and renamed: a run that was ended leaves nothing half.
        let temporary = tempfile::tempdir_in(target).expect("a folder");
        let mut install = Command::new("npm");
        install.args(["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
        run_ok(install.arg(temporary.path()).arg(format!("oidc-provider@{VERSION}")));
        std::fs::rename(temporary.keep(), &folder).expect("the provider is put into its place");
    }
    folder
}

/// Starts it for this collector, and tells the collector of it.
fn provide(collector: &mut Collector) -> Running {
    let port = free_port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/oidc/provider.mjs");
    let redirect = format!("https://{}/login/oidc/callback", collector.console);
    let mut node = Command::new("node");
    node.arg(script).arg(installed()).args([port.to_string(), redirect, SECRET.to_owned()]);
    let provider = Running::logged(&mut node, &collector.folder.path().join("provider.log"));
    wait_for("the provider listens", START_MAX, || TcpStream::connect(("127.0.0.1", port)).ok());
    let config = collector.config();
    std::fs::write(config.with_file_name("oidc.secret"), SECRET).expect("a secret");
    let mut text = std::fs::read_to_string(&config).expect("a configuration");
    text += &format!("\n[oidc]\nissuer = \"http://127.0.0.1:{port}\"\nclient_id = \"sekimori\"\n");
    text += "client_secret_file = \"oidc.secret\"\n";
    std::fs::write(&config, text).expect("a configuration");
    collector.kill_hard();
    collector.run();
    provider
}

/// From our page over theirs, as this subject, until ours is shown again.
async fn come(browser: &Browser, subject: &str) {
    browser.goto("/login").await;
    browser.click("a[href^='/login/oidc']").await;
    browser.write("input[name=login]", subject).await;
    browser.write("input[name=password]", "theirs to check").await;
    browser.click("button[type=submit]").await;
    browser.shows("form", "Continue").await;
    browser.click("button[type=submit]").await;
}

#[test]
fn a_provider_of_somebody_else_lets_in_whom_an_administrator_linked() {
    let mut collector = Collector::start();
    let _provider = provide(&mut collector);
    for (name, role, password) in
        [("soc-3", "monitor", "a long enough phrase"), ("aud-1", "auditor", "another long enough phrase")]
    {
        let words = ["user", "add", "--name", name, "--role", role, "--scope", "all"];
        let added = fed(&mut collector.cli(&words), &format!("{password}\n"));
        assert!(added.status.success(), "{}", said(&added));
    }
    run_ok(&mut collector.cli(&["user", "link", "--name", "soc-3", "--subject", "tanaka@example.lg.jp"]));
    on_a_browser(async {
        let browser = Browser::open(&collector).await;
        come(&browser, "tanaka@example.lg.jp").await;
        browser.shows("nav", "インシデント").await;
        browser.goto("/account").await;
        browser.shows("body", "soc-3").await;
        browser.close().await;

        // Known there, and not here: shown who they are, and no page more.
        let browser = Browser::open(&collector).await;
        come(&browser, "stranger").await;
        browser.shows("body", "stranger").await;
        browser.goto("/incidents").await;
        assert!(browser.place().await.starts_with("/login"), "{}", browser.place().await);
        browser.give_password("aud-1", "another long enough phrase").await;
        browser.shows("nav", "監査").await;
        browser.goto("/audit").await;
        let audited = browser.text("main").await;
        let lines = |what: &str| audited.lines().filter(|line| line.contains(what)).count();
        assert_eq!((lines("sign_in.in"), lines("sign_in.refused")), (2, 1), "{audited}");
        assert!(audited.contains("oidc"), "{audited}");
        browser.close().await;
    });
}
