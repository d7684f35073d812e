//! The pages without a mouse: these tests press keys, and otherwise only read the page.

use serde_json::{Value, json};

use super::browser::Browser;
use super::fixture::{EnvironmentFixture, HOUR, InMemoryRecorder};

// Keys, as WebDriver encodes them.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const ARROW_RIGHT: char = '\u{e014}';
const ARROW_DOWN: char = '\u{e015}';

/// A script that returns where the focus is: its position among the `count` elements that can have it,
/// whether it is visible, and the element's description. Links in the timeline show the focus by their
/// column.
const READ_FOCUS: &str = "
    const all = [...document.querySelectorAll(
      'a[href], button, input:not([type=hidden]), select, summary, [tabindex=\"0\"]')]
      .filter((it) => it.checkVisibility() && !it.closest('details:not([open]) > :not(summary)'));
    const at = document.activeElement;
    const column = at.matches('.columns a') ? at.querySelector('.column') : null;
    const style = getComputedStyle(column ?? at);
    const box = at.getBoundingClientRect();
    const isVisible = column
      ? style.stroke !== 'none'
      : style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    return {
      position: all.indexOf(at), count: all.length, isVisible,
      isInWindow: box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight,
      what: `${at.localName} ${at.name ?? ''} ${at.textContent.trim().slice(0, 60)}`,
    }";

/// A recorder with the environment `keys`: three snapshots, an hour apart, of two artifacts.
async fn start_recorder() -> InMemoryRecorder {
    let recorder = InMemoryRecorder::start().await;
    let mut environment = EnvironmentFixture::create(&recorder, "keys", "").await;
    environment.set_replicas("db:1", 1);
    for replicas in 1..4 {
        environment.set_replicas("web:1", replicas);
        environment.report().await;
        recorder.advance_clock(HOUR);
    }
    recorder
}

/// Presses Tab until the element with the focus matches the CSS selector.
async fn tab_to(browser: &Browser, selector: &str) {
    for _ in 0..200 {
        browser.press_key(TAB).await;
        let is_focused = format!("return document.activeElement.matches({selector:?})");
        if browser.run_script(&is_focused).await == json!(true) {
            return;
        }
    }
    panic!("{selector} is not reached");
}

/// Presses the key of each character.
async fn type_text(browser: &Browser, text: &str) {
    for key in text.chars() {
        browser.press_key(key).await;
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn tab_key_reaches_every_control_in_order_and_the_focus_is_visible() {
    let recorder = start_recorder().await;
    let browser = Browser::start().await;
    browser.emulate_display(1_280, "light").await;
    let org = format!("{}/cyber-dojo", recorder.url);
    for url in [
        recorder.url.clone(),
        format!("{}/at?time=now", recorder.url),
        format!("{org}/environments/keys"),
        format!("{org}/environments/keys/snapshots/2"),
        format!("{org}/compare?from=keys%231&to=keys"),
        format!("{org}/environments/keys/at?time=soon"),
        format!("{org}/matrix"),
    ] {
        browser.open(&url).await;
        // A field with an error has the focus from the beginning.
        browser.run_script("document.activeElement.blur()").await;
        browser.open(&url).await;
        let first: Value = browser.run_script(READ_FOCUS).await;
        let mut expected = first["position"].as_i64().unwrap() + 1;
        let count = first["count"].as_i64().unwrap();
        while expected < count {
            browser.press_key(TAB).await;
            let focus = browser.run_script(READ_FOCUS).await;
            assert_eq!(focus["position"], expected, "{url}: {focus}");
            assert_eq!(focus["isVisible"], true, "{url}: {focus}");
            assert_eq!(focus["isInWindow"], true, "{url}: {focus}");
            expected += 1;
        }
        // No trap: after the last one the focus leaves the page, and comes back at the beginning.
        browser.press_key(TAB).await;
        let position = browser.run_script(READ_FOCUS).await["position"].as_i64().unwrap();
        assert!(position <= 0, "{url}: {position}");
    }
    assert_eq!(
        browser.take_console_lines().await.len(),
        2,
        "only the page with an error, opened twice"
    );
    browser.quit().await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn timeline_and_time_search_work_with_the_keyboard_alone() {
    let recorder = start_recorder().await;
    let page = format!("{}/cyber-dojo/environments/keys", recorder.url);
    let browser = Browser::start().await;
    browser.emulate_display(1_280, "light").await;
    browser.open(&page).await;

    // The first link skips the navigation.
    browser.press_key(TAB).await;
    assert_eq!(browser.focused_element_text().await, "Skip to the content");
    browser.press_key(ENTER).await;
    assert_eq!(browser.run_script("return document.activeElement.id").await, "main");

    // Snapshots of the timeline, and the artifacts in them.
    tab_to(&browser, ".columns a").await;
    browser.press_key(ARROW_RIGHT).await;
    let text = browser.element_text("#detail").await;
    assert!(text.starts_with("#2 · 2022-08-01 09:00:00 UTC · ~ web:1 1 → 2"), "{text}");
    for expected in ["db:1: 1 replica in #2", "web:1: 2 replicas in #2", "web:1: 2 replicas in #2"]
    {
        browser.press_key(ARROW_DOWN).await;
        let text = browser.element_text("#detail").await;
        assert!(text.starts_with(expected), "{text}");
    }
    browser.press_key(ARROW_RIGHT).await;
    let text = browser.element_text("#detail").await;
    assert!(text.starts_with("web:1: 3 replicas in #3"), "{text}");
    browser.press_key_and_wait_for_page(ENTER).await;
    assert_eq!(browser.current_url().await, format!("{page}/snapshots/3"));

    // Text that is not a time: the error is beside the field, which has the focus.
    tab_to(&browser, "input[name=time]").await;
    type_text(&browser, "16 Uhr").await;
    browser.press_key_and_wait_for_page(ENTER).await;
    let error = browser.element_text("#time-error").await;
    assert!(error.starts_with("\"16 Uhr\" is not understood: not a time such as"), "{error}");
    let focused = "return document.activeElement.getAttribute('aria-describedby')";
    assert_eq!(browser.run_script(focused).await, "time-error");
    browser.run_script("document.activeElement.select()").await;
    type_text(&browser, "2022-08-01 09:30").await;
    browser.press_key_and_wait_for_page(ENTER).await;
    assert_eq!(browser.element_text("h1").await, "keys#2");
    let note = browser.element_text("p.requested").await;
    assert_eq!(note, "At 2022-08-01 09:30:00 UTC this was the latest snapshot.");
    browser.quit().await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn requested_time_is_shown_in_utc_and_in_the_browser_s_time_zone() {
    let recorder = start_recorder().await;
    let browser = Browser::start().await;
    let zone = json!({"timezoneId": "Europe/Berlin"});
    browser.devtools_command("Emulation.setTimezoneOverride", &zone).await;
    browser.open(&format!("{}/at?time=2022-08-01+09:30", recorder.url)).await;
    let note = browser.element_text("p.requested").await;
    assert!(note.starts_with("At 2022-08-01 09:30:00 UTC = "), "{note}");
    assert!(note.contains("11:30:00 AM GMT+2"), "{note}");
    browser.quit().await;
}
