//! The pages at several widths: nothing is cut off, and what has to be scrolled to shows it.

use serde_json::{Value, json};

use super::browser::Browser;
use super::pictures;

/// The widths of a large window, a laptop's half, and a phone, in pixels.
const WIDTHS: [u32; 4] = [1_400, 1_280, 1_000, 400];

/// What is cut off, or wider than its container without a hint. Elements for screen readers only are
/// 1 pixel wide, and the names in the timeline have tooltips.
const PROBLEMS: &str = "
    const problems = [];
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) {
      problems.push(`the page is ${root.scrollWidth - root.clientWidth} px too wide`);
    }
    const name = (element) => `${element.localName}.${element.className} ${element.textContent.slice(0, 40)}`;
    for (const element of document.querySelectorAll('main *, header *')) {
      if (element.closest('.wide, .scroll, .aside, .skip, svg, pre, details:not([open])')) continue;
      const box = element.getBoundingClientRect();
      if (box.right > root.clientWidth + 1) problems.push(`beyond the window: ${name(element)}`);
    }
    for (const container of document.querySelectorAll('.wide, .scroll')) {
      if (container.scrollWidth <= container.clientWidth + 1) continue;
      const label = container.getAttribute('aria-labelledby') ?? container.getAttribute('aria-label');
      if (!getComputedStyle(container).backgroundImage.includes('gradient')) {
        problems.push(`${label} has no shadow where it goes on`);
      }
      if (container.matches('.wide:not(pre)')) {
        const hint = getComputedStyle(container, '::before').content;
        if (!hint.includes('Scroll sideways')) problems.push(`${label} does not say that it scrolls`);
      }
      if (container.tabIndex !== 0) problems.push(`${label} is not reachable by the keyboard`);
      const before = container.scrollLeft;
      for (const cell of container.querySelectorAll('th, td')) {
        cell.scrollIntoView({ block: 'nearest', inline: 'end' });
        const [box, view] = [cell.getBoundingClientRect(), container.getBoundingClientRect()];
        if (box.right > view.right + 1) problems.push(`${label}: not reachable: ${name(cell)}`);
      }
      container.scrollLeft = before;
    }
    window.scrollTo(0, 0);
    return problems";

/// Pictures of a page at each width and in the dark, none of which cuts anything off.
pub(super) async fn check(browser: &Browser, url: &str, name: &str) {
    for (width, scheme) in WIDTHS.map(|width| (width, "light")).into_iter().chain([(1_280, "dark")])
    {
        browser.look(width, scheme).await;
        browser.open(url).await;
        browser
            .evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
            .await;
        // Until the script has looked at what was opened.
        let drawn = "return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true))))";
        browser.evaluate(drawn).await;
        let look = if scheme == "dark" { "dark".to_owned() } else { width.to_string() };
        browser.picture(&pictures().join(format!("{name}-{look}.png"))).await;
        let problems = browser.evaluate(PROBLEMS).await;
        assert_eq!(problems, json!([]), "{url} at {width} pixels");
    }
    browser.look(1_280, "light").await;
}

/// The check itself finds what is cut off, and a container without a hint.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_column_that_is_cut_off_is_found() {
    let recorder = super::story::Recorder::start().await;
    let mut environment = super::story::Environment::create(&recorder, "env", "").await;
    environment.run("web:1", 1);
    environment.report().await;
    let browser = Browser::start().await;
    browser.look(400, "light").await;
    browser.open(&format!("{}/cyber-dojo/environments/env", recorder.url)).await;
    assert_eq!(browser.evaluate(PROBLEMS).await, json!([]));
    browser
        .evaluate(
            "for (const wide of document.querySelectorAll('.wide')) {
               wide.classList.remove('wide');
               wide.parentElement.style.overflow = 'hidden';
             }",
        )
        .await;
    let Value::Array(problems) = browser.evaluate(PROBLEMS).await else { panic!("no list") };
    assert!(problems.iter().any(|it| it.to_string().contains("beyond the window")), "{problems:?}");
    browser.quit().await;
}
