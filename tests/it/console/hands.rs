//! By keys alone, and two people at once.

use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;

use super::pages::filled;
use crate::browser::{Browser, axe, on_a_browser};
use crate::people::fed;
use crate::support::{Collector, said};

pub(super) const PASSWORD: &str = "a long enough phrase";

/// A person of this role, who sees every body.
pub(super) fn person(collector: &Collector, name: &str, role: &str, scope: &str) {
    let words = ["user", "add", "--name", name, "--role", role, "--scope", scope];
    let added = fed(&mut collector.cli(&words), &format!("{PASSWORD}\n"));
    assert!(added.status.success(), "{}", said(&added));
}

/// Signs in and waits for the overview.
pub(super) async fn enter(browser: &Browser, name: &str) {
    browser.give_password(name, PASSWORD).await;
    browser.shows("nav", "インシデント").await;
}

/// Hands on a keyboard, which count.
struct Keys<'a> {
    browser: &'a Browser,
    pressed: usize,
}

impl Keys<'_> {
    async fn press(&mut self, key: char) {
        self.pressed += 1;
        let stroke = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: key })
            .then(KeyAction::Up { value: key });
        self.browser.client.perform_actions(stroke).await.expect("a key can be pressed");
    }

    async fn write(&mut self, text: &str) {
        for key in text.chars() {
            self.press(key).await;
        }
    }

    /// Something of the element that has the focus.
    async fn at(&self, what: &str) -> String {
        let found = self.browser.run(&format!("return String(document.activeElement.{what})")).await;
        found.as_str().expect("text").to_owned()
    }

    /// Whether somebody sees where the focus is.
    async fn is_seen(&self) -> bool {
        let script = "const style = getComputedStyle(document.activeElement);
            return document.activeElement.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;";
        self.browser.run(script).await.as_bool().expect("yes or no")
    }
}

/// Waits until another page is open than this one.
async fn leaves(browser: &Browser, place: &str) -> String {
    loop {
        let now = browser.place().await;
        if now != place {
            return now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[test]
fn an_incident_is_taken_with_three_keys_and_worked_on_without_a_mouse() {
    let collector = Collector::start();
    filled(&collector);
    person(&collector, "yakin", "monitor", "all");
    on_a_browser(async {
        let browser = Browser::open(&collector).await;
        enter(&browser, "yakin").await;
        browser.goto("/").await;
        browser.shows("#incidents", "INC-422011-").await;
        let mut keys = Keys { browser: &browser, pressed: 0 };

        // Overview, open, acknowledge.
        keys.press('j').await;
        assert!(keys.is_seen().await, "the focus is seen on the row");
        keys.press(Key::Enter.into()).await;
        let first = leaves(&browser, "/").await;
        assert!(first.starts_with("/incidents/INC-"), "{first}");
        browser.shows("[aria-keyshortcuts=a]", "受付").await;
        keys.press('a').await;
        browser.shows("#form-triage", "影響度").await;
        assert_eq!(keys.pressed, 3, "from the overview to acknowledged");

        // Assign: the list of people opens with the focus in it.
        keys.press('w').await;
        assert_eq!(keys.at("name").await, "owner");
        assert!(keys.is_seen().await, "the focus is seen in the form");
        keys.write("yakin").await;
        assert_eq!(keys.at("value").await, "yakin");
        keys.press(Key::Tab.into()).await;
        keys.press(Key::Enter.into()).await;
        browser.shows("#form-assign summary", "yakin").await;

        // Letters typed into a field are text.
        keys.press('m').await;
        keys.write("nap?").await;
        assert_eq!((keys.at("value").await, browser.place().await), ("nap?".to_owned(), first.clone()));
        browser.run("document.activeElement.value = ''; document.activeElement.blur()").await;

        // The next one, in the order of the list, and back.
        keys.press('n').await;
        let next = leaves(&browser, &first).await;
        assert!(next.starts_with("/incidents/INC-"), "{next}");
        browser.shows("[aria-keyshortcuts=a]", "受付").await;
        browser.shows("#walk", "2 / ").await;
        keys.press('p').await;
        assert_eq!(leaves(&browser, &next).await, first);

        // The keys are said, and can be turned off.
        browser.shows("#walk", "1 / ").await;
        keys.press('?').await;
        let help = browser.text("#keys[open]").await;
        for (key, words) in [("a", "受付する"), ("w", "担当者"), ("n", "次のインシデント"), ("j", "次の行")]
        {
            assert!(help.contains(key) && help.contains(words), "{key}: {help}");
        }
        browser.click("#keys-off").await;
        keys.press(Key::Escape.into()).await;
        keys.press('?').await;
        let open = browser.run("return document.getElementById('keys').open").await;
        assert_eq!(open, false, "no single letters");
        browser.assert_clean(&[]).await;
        browser.close().await;
    });
}

#[test]
fn who_comes_second_sees_what_changed_and_loses_nothing_that_was_typed() {
    let axe = axe::source();
    let collector = Collector::start();
    filled(&collector);
    person(&collector, "hayai", "monitor", "all");
    person(&collector, "osoi", "control", "all");
    on_a_browser(async {
        let (first, second) = (Browser::open(&collector).await, Browser::open(&collector).await);
        enter(&first, "hayai").await;
        enter(&second, "osoi").await;
        second.goto("/incidents").await;
        second.click("#incidents a[href^='/incidents/INC-']").await;
        second.shows("#incident", "受付").await;
        let place = second.place().await;
        let words = "庁内の担当者に電話で確認した。<b>折り返し待ち</b>";
        second.click("#form-note summary").await;
        second.write("#form-note textarea", words).await;

        // Meanwhile another one takes it.
        first.goto(&place).await;
        first.click("[aria-keyshortcuts=a]").await;
        first.shows("#form-triage", "影響度").await;

        second.click("#form-note button").await;
        second.shows("[role=alert]", "まだ実行していません").await;
        second.shows("#changed", "hayai").await;
        second.shows("#changed", "受付").await;
        let kept = second.run("return document.querySelector('#yours textarea[name=text]').value").await;
        assert_eq!(kept, words, "what was typed is there");
        let wrong = second.violations(&axe, false).await;
        assert!(wrong.is_empty(), "{wrong:?}");
        second.click("#yours button").await;
        second.shows("#work", words).await;
        assert_eq!(second.place().await, place);

        // What is no longer possible says so, and is not offered again.
        let stale = "const button = document.querySelector('#form-note button'); button.form.elements.version.value = '1';
            button.form.elements.action.value = 'acknowledge'; button.form.elements.text.disabled = true; button.form.submit();";
        second.run(stale).await;
        second.shows("[role=alert]", "まだ実行していません").await;
        second.click("#yours button").await;
        second.shows("[role=alert]", "今の状態ではできません").await;
        second.assert_clean(&[409]).await;
        first.assert_clean(&[]).await;
        first.close().await;
        second.close().await;
    });
}
