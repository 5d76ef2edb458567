//! A headless Chromium on the console: signs in with an authenticator, and watches what no page may do: an error on its
//! console, something its security policy forbids, a request to another host.

pub(crate) mod axe;
pub(crate) mod totp;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use serde_json::{Value, json};
use url::{ParseError, Url};

use self::totp::code_at;
use crate::support::{Collector, Running, free_port, wait_for};

/// For what a page does; the machines of tests are shared and slow.
pub(crate) const PAGE: Duration = Duration::from_secs(20);

/// A headless Chromium with a profile of its own.
pub(crate) struct Browser {
    pub(crate) client: Client,
    /// `https://host:port` of the console.
    console: String,
    _driver: Running,
    _profile: tempfile::TempDir,
}

/// What Chromium's driver can do beyond the standard: a path below the session, and what is sent there.
#[derive(Debug)]
struct Extra(&'static str, Value);

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/{}", session_id.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    pub(crate) async fn open(collector: &Collector) -> Self {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = Running::start(&mut command);
        wait_for("chromedriver listens", PAGE, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let profile = tempfile::tempdir().expect("a profile folder");
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(), // Chromium refuses to run as root otherwise
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--lang=ja".to_owned(),
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({
            "acceptInsecureCerts": true, // the collector's own CA
            "goog:chromeOptions": { "args": arguments, "perfLoggingPrefs": { "enableNetwork": true } },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let wanted = wanted.as_object().cloned().expect("an object");
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session");
        let console = format!("https://{}", collector.console);
        Self { client, console, _driver: driver, _profile: profile }
    }

    pub(crate) async fn goto(&self, path: &str) {
        let opened = self.client.goto(&format!("{}{path}", self.console)).await;
        opened.unwrap_or_else(|cause| panic!("{path}: {cause}"));
    }

    /// Path and query of the page that is open.
    pub(crate) async fn place(&self) -> String {
        let url = self.client.current_url().await.expect("an address");
        url.as_str().strip_prefix(&self.console).unwrap_or(url.as_str()).to_owned()
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        loop {
            let found = self.client.wait().at_most(PAGE).for_element(Locator::Css(css)).await;
            let found = found.unwrap_or_else(|cause| panic!("{css}: {cause}"));
            match found.text().await {
                Ok(text) => return text,
                // The page was renewed between finding it and reading it.
                Err(cause) if cause.is_stale_element_reference() => {}
                Err(cause) => panic!("the text of {css}: {cause}"),
            }
        }
    }

    /// Waits, without reloading, until the element's text contains this; gives how long it took.
    pub(crate) async fn shows(&self, css: &str, text: &str) -> Duration {
        let start = Instant::now();
        loop {
            let now = self.text(css).await;
            if now.contains(text) {
                return start.elapsed();
            }
            assert!(start.elapsed() < PAGE, "{css} does not show {text:?} but: {now}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn click(&self, css: &str) {
        let found = self.client.wait().at_most(PAGE).for_element(Locator::Css(css)).await;
        let clicked = found.unwrap_or_else(|cause| panic!("{css}: {cause}")).click().await;
        clicked.unwrap_or_else(|cause| panic!("{css} cannot be clicked: {cause}"));
    }

    pub(crate) async fn write(&self, css: &str, text: &str) {
        let found =
            self.client.find(Locator::Css(css)).await.unwrap_or_else(|cause| panic!("{css}: {cause}"));
        found.send_keys(text).await.unwrap_or_else(|cause| panic!("{css} takes no text: {cause}"));
    }

    /// Runs a script in the page and gives what it returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|cause| panic!("{script}: {cause}"))
    }

    /// As the person's system says it: light or dark.
    pub(crate) async fn theme(&self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A command of Chromium's own protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) {
        let extra = Extra("goog/cdp/execute", json!({ "cmd": command, "params": parameters }));
        self.client.issue_cmd(extra).await.unwrap_or_else(|cause| panic!("{command}: {cause}"));
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.client.issue_cmd(Extra("se/log", json!({ "type": kind }))).await;
        entries.expect("the log can be read").as_array().cloned().expect("a list")
    }

    /// Panics if since the last look another host was asked, or a page said an error. Answers of these
    /// statuses were wanted: Chromium writes each that is an error on the console.
    pub(crate) async fn assert_clean(&self, statuses: &[u16]) {
        for entry in self.log("browser").await {
            let message = entry["message"].as_str().unwrap_or_default();
            let wanted = |status: &u16| message.contains(&format!("responded with a status of {status} "));
            let harmless = ["INFO", "DEBUG"].contains(&entry["level"].as_str().unwrap_or_default());
            assert!(harmless || statuses.iter().any(wanted), "the page says: {entry}");
        }
        for entry in self.log("performance").await {
            let text = entry["message"].as_str().unwrap_or_default();
            let event: Value = serde_json::from_str(text).expect("JSON in the log");
            if event["message"]["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let url = event["message"]["params"]["request"]["url"].as_str().unwrap_or_default();
            // Chromium's first tab, before any page of ours, is made of files of its own.
            let of_browser = url.starts_with("data:") || url.starts_with("chrome://");
            assert!(of_browser || url.starts_with(&format!("{}/", self.console)), "a page asked {url}");
        }
    }

    /// The first step: name and password.
    pub(crate) async fn give_password(&self, name: &str, password: &str) {
        self.goto("/login").await;
        self.write("input[name=name]", name).await;
        self.write("input[name=password]", password).await;
        self.click("form[action='/login'] button").await;
    }

    /// Where a password is enough.
    pub(crate) async fn login(&self, collector: &Collector) {
        self.give_password(&collector.user, &collector.password).await;
        self.shows("nav", "インシデント").await;
    }

    /// The second step, of the first sign-in: an authenticator is made; gives its secret. It ends at the recovery codes.
    pub(crate) async fn make_authenticator(&self) -> String {
        let secret = self.text("#secret").await;
        self.write("input[name=code]", &code_at(&secret, 0)).await;
        self.click("form button").await;
        assert!(self.text("#recovery").await.lines().count() >= 8, "recovery codes are shown");
        secret
    }

    /// The second step, of every later one. A code counts once, so the one of the next half minute is given.
    pub(crate) async fn give_code(&self, secret: &str) {
        self.write("input[name=code]", &code_at(secret, 1)).await;
        self.click("form[action='/login/code'] button").await;
        self.shows("nav", "インシデント").await;
    }

    pub(crate) async fn close(self) {
        self.client.close().await.expect("the session ends");
    }
}

/// Runs what waits for a browser.
pub(crate) fn on_a_browser(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work);
}
