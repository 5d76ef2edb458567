//! One incident from the first look to the end, in the browser: six steps, merged and freed again, printed, taken along as
//! evidence, in the other language.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::hands::{enter, person};
use super::pages::filled;
use crate::browser::{Browser, PAGE, on_a_browser};
use crate::support::{Collector, program, run_ok, said, wait_for};

impl Browser {
    /// Opens what is folded, fills in fields of one form by name, and sends it. Choices take the value of an option.
    async fn send(&self, form: &str, fields: &[(&str, &str)]) {
        let script = "const [css, fields] = arguments;
            const form = document.querySelector(css);
            if (form === null) return 'there is no ' + css;
            for (let at = form; at !== null; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
            for (const [name, value] of fields) {
              const field = form.elements.namedItem(name);
              if (field === null) return css + ' has no ' + name;
              if (field.type === 'checkbox') field.checked = value !== ''; else field.value = value;
              if (field.type !== 'checkbox' && field.value !== value) return name + ' does not take ' + value;
            }
            if (!form.checkValidity()) return css + ' is not filled in';
            const button = form.querySelector('button');
            const box = button.getBoundingClientRect();
            if (box.width === 0) return 'nobody sees the button of ' + css;
            document.documentElement.dataset.sent = '1';
            button.click();
            return '';";
        let done = self.client.execute(script, vec![json!(form), json!(fields)]).await.expect("it runs");
        assert_eq!(done, "", "{}", self.text("main").await);
        // The answer is a new page.
        let start = std::time::Instant::now();
        let is_new = "return document.readyState === 'complete' && document.documentElement.dataset.sent === undefined";
        while self.client.execute(is_new, Vec::new()).await.ok() != Some(json!(true)) {
            assert!(start.elapsed() < PAGE, "{form} is not answered");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let refused = self.run("return document.querySelector('[role=alert]')?.innerText ?? ''").await;
        assert_eq!(refused, "", "{form}");
    }

    /// The step of the six that the page marks as the present one; empty after all.
    async fn step(&self) -> String {
        let script = "return document.querySelector('.steps [aria-current]')?.innerText ?? ''";
        self.run(script).await.as_str().expect("text").trim().to_owned()
    }

    /// The form of the work part that takes this step.
    async fn take(&self, action: &str) {
        self.send(&format!("form:has(input[name=action][value={action}])"), &[]).await;
    }

    /// As printed: what is not for paper is not there; gives the pages of the PDF.
    async fn printed(&self) -> usize {
        self.devtools("Emulation.setEmulatedMedia", json!({ "media": "print" })).await;
        let seen =
            "return [...document.querySelectorAll('header.bar, nav, footer, form, button, a.btn, .skip')]
            .filter((one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== 'hidden')
            .map((one) => one.outerHTML.slice(0, 80))";
        assert_eq!(self.run(seen).await, json!([]), "on paper nobody clicks");
        self.devtools("Emulation.setEmulatedMedia", json!({ "media": "" })).await;
        let pdf = self.client.print(fantoccini::wd::PrintConfiguration::default()).await.expect("it prints");
        assert!(pdf.starts_with(b"%PDF-"), "a PDF");
        let text = String::from_utf8_lossy(&pdf);
        text.matches("/Type /Page\n").count()
    }
}

/// Every mandatory task that is open now, of any role: this person may do them.
async fn do_tasks(browser: &Browser) {
    let next = "const item = [...document.querySelectorAll('#tasks li')].find((one) => one.querySelector('.mark.warn') && one.querySelector('button[value=do_task]'));
        if (!item) return '';
        const form = item.querySelector('form:has(button[value=do_task])');
        form.id = 'next-task'; return form.id;";
    while browser.run(next).await != "" {
        browser.send("#next-task", &[("note", "確認した")]).await;
    }
}

async fn through_the_six_steps(browser: &Browser) {
    assert_eq!(browser.step().await, "検知");
    browser.send("form[action$='/acknowledge']", &[]).await;
    let triage = [
        ("impact", "i2"),
        ("urgency", "u2"),
        ("leak_class", "none"),
        ("cause", "external_attack"),
        ("owner", "tosei"),
    ];
    browser.send("#form-triage form", &triage).await;
    browser.take("start").await;
    assert_eq!(browser.step().await, "初動");
    browser.send("#form-evidence form", &[("what", "ゲートウェイの記録を保全した")]).await;
    do_tasks(browser).await;
    browser.take("investigate").await;
    assert_eq!(browser.step().await, "調査");
    let answers =
        ["vector", "assets", "scope", "period", "accounts", "evidence"].map(|name| (name, "確認した"));
    browser.send("#form-investigation form", &answers).await;
    do_tasks(browser).await;
    browser.take("notify").await;
    assert_eq!(browser.step().await, "通知・報告");
    do_tasks(browser).await;
    browser.take("recover").await;
    assert_eq!(browser.step().await, "復旧");
    do_tasks(browser).await;
    browser.send("#form-eta form", &[("until", "2035-01-31T18:00"), ("reason", "検証のため")]).await;
    browser.take("finish").await;
}

#[test]
fn an_incident_goes_through_the_six_steps_in_the_browser_and_is_closed() {
    let collector = Collector::start();
    filled(&collector);
    person(&collector, "tosei", "control", "all");
    person(&collector, "ciso", "body_ciso", "422011");
    on_a_browser(async {
        let browser = Browser::open(&collector).await;
        enter(&browser, "tosei").await;
        browser.goto("/incidents?category=scan").await;
        browser.click("#incidents a[href^='/incidents/INC-']").await;
        browser.shows("#incident", "受付").await;
        let place = browser.place().await;
        through_the_six_steps(&browser).await;

        // Another person agrees that it is over.
        browser.click("form[action='/logout'] button").await;
        browser.shows("main", "ログイン").await;
        enter(&browser, "ciso").await;
        browser.goto(&place).await;
        browser.send("form:has(button[value=approve])", &[]).await;
        assert_eq!(browser.step().await, "事後対応");
        browser.click("form[action='/logout'] button").await;
        browser.shows("main", "ログイン").await;
        enter(&browser, "tosei").await;
        browser.goto(&place).await;
        do_tasks(&browser).await;
        let review = [
            ("held_on", "2026-12-01"),
            ("attendees", "統制担当\n総務課"),
            ("whys", "公開範囲を決めていなかった"),
            ("root_cause", "棚卸しの未実施"),
            ("lesson", "月次で棚卸しする"),
        ];
        browser
            .run(
                "document.querySelector('#form-review [name=what]').value = '棚卸し';
            document.querySelector('#form-review [name=owner]').value = '総務課';
            document.querySelector('#form-review [name=due]').value = '2027-01-31';",
            )
            .await;
        browser.send("#form-review form", &review).await;
        browser.take("close").await;
        assert_eq!(browser.step().await, "", "all six are behind it");
        assert_eq!(browser.run("return document.querySelectorAll('.steps .done').length").await, 6);
        browser.assert_clean(&[]).await;
        browser.close().await;
    });
    collector.assert_verifies();
}

fn download(browser_folder: &Path, name: &str) -> std::path::PathBuf {
    let file = browser_folder.join(name);
    wait_for("the download", PAGE, || file.is_file().then_some(()));
    file
}

#[test]
fn incidents_are_merged_and_freed_printed_in_both_languages_and_taken_along_as_evidence() {
    let collector = Collector::start();
    filled(&collector);
    person(&collector, "tosei", "control", "all");
    let folder = tempfile::tempdir().expect("a folder");
    on_a_browser(async {
        let browser = Browser::open(&collector).await;
        enter(&browser, "tosei").await;
        browser.goto("/incidents").await;
        let places = browser
            .run("return [...document.querySelectorAll('#incidents a.main-link')].map((one) => one.getAttribute('href'))")
            .await;
        let place = |n: usize| places[n].as_str().expect("two incidents at least").to_owned();
        let (one, two) = (place(0), place(1));
        let (one_id, two_id) =
            (one.rsplit('/').next().expect("an id"), two.rsplit('/').next().expect("an id"));

        browser.goto(&one).await;
        browser.send("#form-merge form", &[("into", two_id), ("reason", "同じ攻撃者")]).await;
        browser.goto(&two).await;
        browser.shows("main", one_id).await;
        browser.goto(&one).await;
        let unmerge = "form:has(input[name=action][value=unmerge])";
        browser.send(unmerge, &[("reason", "別の攻撃者と分かった")]).await;
        assert!(
            browser.run("return document.querySelector('#form-merge') !== null").await == true,
            "it is worked on again"
        );

        // The same page, and what is for paper, in both languages.
        for (language, words) in [("en", "Evidence bundle"), ("ja", "証拠バンドル")] {
            browser.goto(&format!("/language?to={language}&back={one}")).await;
            browser.shows("#incident", words).await;
            assert!(browser.printed().await >= 1, "an incident has a page at least");
            browser.goto(&format!("{one}/handover")).await;
            assert!(browser.printed().await >= 1, "a hand-over has a page at least");
        }

        // Evidence: by a click, and checked without the collector.
        let save = json!({ "behavior": "allow", "downloadPath": folder.path() });
        browser.devtools("Browser.setDownloadBehavior", save).await;
        browser.goto(&one).await;
        browser.click("a[href$='/evidence']").await;
        let bundle = download(folder.path(), &format!("{one_id}.evidence.jsonl"));
        let mut verify = Command::new(program("sekimori-collector"));
        run_ok(verify.arg("verify").arg(&bundle));
        // A changed byte is found.
        let text = std::fs::read_to_string(&bundle).expect("the bundle");
        let forged = folder.path().join("forged.jsonl");
        std::fs::write(&forged, text.replacen("\"severity\":", "\"severity\":1", 1)).expect("our folder");
        let output = Command::new(program("sekimori-collector")).arg("verify").arg(&forged).output();
        let output = output.expect("it starts");
        assert!(!output.status.success(), "{}", said(&output));

        browser.assert_clean(&[]).await;
        browser.close().await;
    });
}
