//! The pages without a mouse: these tests press keys, and only look otherwise.

use serde_json::{Value, json};

use super::browser::Browser;
use super::story::{Environment, HOUR, Recorder};

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const RIGHT: char = '\u{e014}';
const DOWN: char = '\u{e015}';

/// Where the focus is: the position among all that can have it, what it is, and whether it is visible.
/// Links in the timeline show the focus by their column.
const FOCUS: &str = "
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

/// `keys`, with three snapshots an hour apart, of two artifacts.
async fn record() -> Recorder {
    let recorder = Recorder::start().await;
    let mut environment = Environment::create(&recorder, "keys", "").await;
    environment.run("db:1", 1);
    for replicas in 1..4 {
        environment.run("web:1", replicas);
        environment.report().await;
        recorder.wait(HOUR);
    }
    recorder
}

/// Presses Tab until the element that this script finds has the focus.
async fn tab_to(browser: &Browser, selector: &str) {
    for _ in 0..200 {
        browser.press(TAB).await;
        let is_there = format!("return document.activeElement.matches({selector:?})");
        if browser.evaluate(&is_there).await == json!(true) {
            return;
        }
    }
    panic!("{selector} is not reached");
}

async fn type_text(browser: &Browser, text: &str) {
    for key in text.chars() {
        browser.press(key).await;
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn tab_reaches_everything_in_order_and_the_focus_is_visible() {
    let recorder = record().await;
    let browser = Browser::start().await;
    browser.look(1_280, "light").await;
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
        browser.evaluate("document.activeElement.blur()").await;
        browser.open(&url).await;
        let first: Value = browser.evaluate(FOCUS).await;
        let mut expected = first["position"].as_i64().unwrap() + 1;
        let count = first["count"].as_i64().unwrap();
        while expected < count {
            browser.press(TAB).await;
            let focus = browser.evaluate(FOCUS).await;
            assert_eq!(focus["position"], expected, "{url}: {focus}");
            assert_eq!(focus["isVisible"], true, "{url}: {focus}");
            assert_eq!(focus["isInWindow"], true, "{url}: {focus}");
            expected += 1;
        }
        // No trap: after the last one the focus leaves the page, and comes back at the beginning.
        browser.press(TAB).await;
        let position = browser.evaluate(FOCUS).await["position"].as_i64().unwrap();
        assert!(position <= 0, "{url}: {position}");
    }
    assert_eq!(browser.console().await.len(), 2, "only the page with an error, opened twice");
    browser.quit().await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_timeline_is_read_and_a_time_is_asked_for_with_keys_alone() {
    let recorder = record().await;
    let page = format!("{}/cyber-dojo/environments/keys", recorder.url);
    let browser = Browser::start().await;
    browser.look(1_280, "light").await;
    browser.open(&page).await;

    // The first link skips the navigation.
    browser.press(TAB).await;
    assert_eq!(browser.focused_text().await, "Skip to the content");
    browser.press(ENTER).await;
    assert_eq!(browser.evaluate("return document.activeElement.id").await, "main");

    // Snapshots of the timeline, and the artifacts in them.
    tab_to(&browser, ".columns a").await;
    browser.press(RIGHT).await;
    let text = browser.text("#detail").await;
    assert!(text.starts_with("#2 · 2022-08-01 09:00:00 UTC · ~ web:1 1 → 2"), "{text}");
    for expected in ["db:1: 1 replica in #2", "web:1: 2 replicas in #2", "web:1: 2 replicas in #2"]
    {
        browser.press(DOWN).await;
        let text = browser.text("#detail").await;
        assert!(text.starts_with(expected), "{text}");
    }
    browser.press(RIGHT).await;
    let text = browser.text("#detail").await;
    assert!(text.starts_with("web:1: 3 replicas in #3"), "{text}");
    browser.follow_key(ENTER).await;
    assert_eq!(browser.address().await, format!("{page}/snapshots/3"));

    // A time that is none: the error is beside the field, which has the focus.
    tab_to(&browser, "input[name=time]").await;
    type_text(&browser, "16 Uhr").await;
    browser.follow_key(ENTER).await;
    let error = browser.text("#time-error").await;
    assert!(error.starts_with("\"16 Uhr\" is not understood: not a time such as"), "{error}");
    let focused = "return document.activeElement.getAttribute('aria-describedby')";
    assert_eq!(browser.evaluate(focused).await, "time-error");
    browser.evaluate("document.activeElement.select()").await;
    type_text(&browser, "2022-08-01 09:30").await;
    browser.follow_key(ENTER).await;
    assert_eq!(browser.text("h1").await, "keys#2");
    let answer = browser.text("p.requested").await;
    assert_eq!(answer, "At 2022-08-01 09:30:00 UTC this was the latest snapshot.");
    browser.quit().await;
}

/// The answer repeats a requested time in the time zone of the browser.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_requested_time_is_shown_in_both_zones() {
    let recorder = record().await;
    let browser = Browser::start().await;
    let zone = json!({"timezoneId": "Europe/Berlin"});
    browser.command("Emulation.setTimezoneOverride", &zone).await;
    browser.open(&format!("{}/at?time=2022-08-01+09:30", recorder.url)).await;
    let answer = browser.text("p.requested").await;
    assert!(answer.starts_with("At 2022-08-01 09:30:00 UTC = "), "{answer}");
    assert!(answer.contains("11:30:00 AM GMT+2"), "{answer}");
    browser.quit().await;
}
