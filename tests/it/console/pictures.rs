//! Pictures of the main pages, as the documents show them. `cargo xtask screenshots` keeps them in `docs/screenshots`; by
//! itself the test makes them in a folder of its own, so that the command cannot rot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::hands::{enter, person};
use crate::browser::{Browser, on_a_browser};
use crate::support::{Collector, pcap, run_ok, wait_for};

/// Where the pictures are to be.
const FOLDER: &str = "SEKIMORI_SCREENSHOTS";
/// The demo's bodies: key of their captures, code, name.
const BODIES: [(&str, &str, &str); 3] =
    [("nagasaki", "422011", "長崎市"), ("sasebo", "422029", "佐世保市"), ("isahaya", "422045", "諫早市")];
/// Small enough for a repository.
const BYTES_MAX: usize = 200 * 1024;
/// Width and height of the window.
const WINDOW: (u32, u32) = (1280, 800);

/// What the demo shows, replayed by three agents.
fn demo(collector: &Collector) {
    for (key, code, name) in BODIES {
        let agent = collector.enrol_named(code, name, &format!("{key}-gw1"));
        let config = pcap(&format!("demo/{key}.toml"));
        let folder = config.parent().expect("pcaps/demo");
        let mut captures: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("pcaps/demo")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "pcap"))
            .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(key)))
            .collect();
        captures.sort();
        run_ok(&mut agent.replay(Some(&config), &captures));
    }
    wait_for("incidents of every body", Duration::from_secs(120), || {
        let status = collector.status();
        let all = status["incidents"].as_array().expect("a list");
        BODIES.iter().all(|(_, code, _)| all.iter().any(|one| one["body"] == *code)).then_some(())
    });
}

async fn picture(browser: &Browser, folder: &Path, (name, path, language, theme): (&str, &str, &str, &str)) {
    browser.theme(theme).await;
    let place = path.replace('?', "%3F").replace('&', "%26").replace(' ', "%20");
    browser.goto(&format!("/language?to={language}&back={place}")).await;
    browser.shows("main", "").await;
    browser.run("document.activeElement.blur(); return document.fonts.ready.then(() => true)").await;
    let bytes = browser.client.screenshot().await.expect("a picture");
    assert!(bytes.starts_with(b"\x89PNG"), "{name} is a PNG");
    assert!((10_000..=BYTES_MAX).contains(&bytes.len()), "{name} has {} bytes", bytes.len());
    std::fs::write(folder.join(format!("{name}.png")), bytes).expect("the folder can be written to");
}

#[test]
fn pictures_of_the_main_pages_can_be_made() {
    let own = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os(FOLDER).map_or_else(|| own.path().to_owned(), PathBuf::from);
    let collector = Collector::start();
    demo(&collector);
    person(&collector, "sato", "control", "all");
    on_a_browser(async {
        let browser = Browser::open(&collector).await;
        enter(&browser, "sato").await;
        let window =
            json!({ "width": WINDOW.0, "height": WINDOW.1, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", window).await;
        browser.goto("/incidents?order=worst").await;
        let worst = "return document.querySelector('#incidents a.main-link').getAttribute('href')";
        let worst = browser.run(worst).await.as_str().expect("an incident").to_owned();
        for wanted in [
            ("overview-ja", "/", "ja", "light"),
            ("overview-en-dark", "/", "en", "dark"),
            ("queue-ja", "/incidents", "ja", "light"),
            ("queue-en", "/incidents?order=worst", "en", "light"),
            ("incident-ja", &worst, "ja", "light"),
            ("incident-en", &worst, "en", "light"),
            ("incident-ja-dark", &worst, "ja", "dark"),
            ("search-en", "/search", "en", "light"),
            ("agents-ja", "/agents", "ja", "light"),
            ("handover-ja", "/handover", "ja", "light"),
        ] {
            picture(&browser, &folder, wanted).await;
        }
        browser.assert_clean(&[]).await;
        browser.close().await;
    });
    let made = std::fs::read_dir(&folder).expect("the folder").count();
    assert!(made >= 10, "{made} pictures");
}
