//! The console in a real browser: what it shows, live updates, both languages, every page's accessibility.

mod hands;
mod pages;
mod pictures;
mod walk;

use std::process::Command;
use std::time::Duration;

use crate::browser::{Browser, on_a_browser};
use crate::support::{Collector, pcap, run_ok};

/// A new incident is on a page that stays open within this.
const LIVE_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn an_incident_appears_without_reloading_and_can_be_read_in_both_languages() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "gateway");
    on_a_browser(async {
        let browser = Browser::open(&collector).await;
        browser.login(&collector).await;
        browser.goto("/incidents").await;
        assert!(!browser.text("#incidents").await.contains("INC-"), "nothing yet");

        // While the page stays open, an incident arrives.
        let captures = [pcap("scan.port/positive-outside.pcap"), pcap("endpoint.alert/positive-cef.pcap")];
        run_ok(&mut agent.replay(None, &captures));
        collector.incidents("scan", Duration::from_secs(30));
        let took = browser.shows("#incidents", "INC-422011-").await;
        assert!(took < LIVE_WITHIN, "{took:?} after it was stored");

        browser.click("#incidents a[href^='/incidents/INC-']").await;
        browser.shows("main", "署名").await;
        let words = browser.text("main").await;
        assert!(
            words.contains("scan.port/") || words.contains("endpoint.alert/"),
            "the rule is named: {words}"
        );

        browser.click("a[hreflang='en']").await;
        browser.shows("nav", "Incidents").await;

        browser.goto("/agents").await;
        browser.shows("main", "gateway").await;

        // What was turned away is shown.
        let refused = Command::new("curl")
            .args(["--silent", "--insecure", "--max-time", "5"])
            .arg(format!("https://{}/", collector.ingest))
            .status();
        assert!(!refused.expect("curl starts").success(), "no certificate, no connection");
        browser.goto("/intake").await;
        browser.shows("main", "127.0.0.1").await;
        browser.assert_clean(&[]).await;
        browser.close().await;
    });
    collector.assert_verifies();
}
