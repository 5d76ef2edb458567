//! The console in a real browser: login, what it shows, live updates, both languages, what was refused.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;

use crate::support::{Collector, Running, free_port, pcap, run_ok, wait_for};

const PAGE: Duration = Duration::from_secs(20);

/// A headless Chromium with a profile of its own.
struct Browser {
    client: Client,
    _driver: Running,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn open() -> Self {
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
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({
            "acceptInsecureCerts": true, // the collector's own CA
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wanted = wanted.as_object().cloned().expect("an object");
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session");
        Self { client, _driver: driver, _profile: profile }
    }

    async fn goto(&self, collector: &Collector, path: &str) {
        self.client.goto(&format!("https://{}{path}", collector.console)).await.expect("the page opens");
    }

    async fn text(&self, css: &str) -> String {
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

    /// Waits, without reloading, until the element's text contains this.
    async fn shows(&self, css: &str, text: &str) {
        let limit = std::time::Instant::now() + PAGE;
        loop {
            let now = self.text(css).await;
            if now.contains(text) {
                return;
            }
            assert!(std::time::Instant::now() < limit, "{css} does not show {text:?} but: {now}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn click(&self, css: &str) {
        let found = self.client.wait().at_most(PAGE).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|cause| panic!("{css}: {cause}")).click().await.expect("it can be clicked");
    }

    async fn write(&self, css: &str, text: &str) {
        let found =
            self.client.find(Locator::Css(css)).await.unwrap_or_else(|cause| panic!("{css}: {cause}"));
        found.send_keys(text).await.expect("it can be written into");
    }

    async fn login(&self, collector: &Collector) {
        self.goto(collector, "/").await;
        self.write("input[name=name]", &collector.user).await;
        self.write("input[name=password]", &collector.password).await;
        self.click("form[action='/login'] button").await;
        self.shows("nav", "インシデント").await;
    }

    /// Saves the page's picture where `SEKIMORI_SCREENSHOTS` says.
    async fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("SEKIMORI_SCREENSHOTS") {
            let png = self.client.screenshot().await.expect("a picture");
            std::fs::write(Path::new(&folder).join(format!("{name}.png")), png).expect("a file");
        }
    }
}

#[test]
fn an_incident_appears_without_reloading_and_can_be_read_in_both_languages() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "gateway");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let browser = Browser::open().await;
        browser.login(&collector).await;
        browser.goto(&collector, "/incidents").await;
        assert!(!browser.text("#incidents").await.contains("INC-"), "nothing yet");

        // While the page stays open, an incident arrives.
        let captures = [pcap("scan.port/positive-outside.pcap"), pcap("endpoint.alert/positive-cef.pcap")];
        run_ok(&mut agent.replay(None, &captures));
        browser.shows("#incidents", "INC-422011-").await;
        browser.picture("incidents").await;

        browser.click("#incidents a[href^='/incidents/INC-']").await;
        browser.shows("main", "署名").await;
        browser.picture("incident").await;
        let words = browser.text("main").await;
        assert!(
            words.contains("scan.port/") || words.contains("endpoint.alert/"),
            "the rule is named: {words}"
        );

        browser.click("a[hreflang='en']").await;
        browser.shows("nav", "Incidents").await;
        browser.picture("incident-en").await;

        browser.goto(&collector, "/agents").await;
        browser.shows("main", "gateway").await;
        browser.picture("agents").await;

        // What was turned away is shown.
        let refused = Command::new("curl")
            .args(["--silent", "--insecure", "--max-time", "5"])
            .arg(format!("https://{}/", collector.ingest))
            .status();
        assert!(!refused.expect("curl starts").success(), "no certificate, no connection");
        browser.goto(&collector, "/intake").await;
        browser.shows("main", "127.0.0.1").await;
        browser.picture("intake").await;
        browser.client.clone().close().await.expect("the session ends");
    });
    collector.assert_verifies();
}
