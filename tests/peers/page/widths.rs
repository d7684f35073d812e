//! The layout of the pages at several widths: nothing is cut off, and containers that scroll have a hint.

use serde_json::{Value, json};

use super::browser::Browser;
use super::screenshot_folder;

/// The widths of a large window, a laptop's half, and a phone, in pixels.
const WINDOW_WIDTHS: [u32; 4] = [1_400, 1_280, 1_000, 400];

/// A script that returns a description of each element that is cut off, and of each container that scrolls
/// without a hint. Elements for screen readers only are 1 pixel wide, and the names in the timeline have
/// tooltips.
const FIND_LAYOUT_PROBLEMS: &str = "
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

/// Asserts that the page at `url` has no layout problem at each width and in dark colours, and saves a
/// screenshot of each as `{name}-{width}.png` or `{name}-dark.png`.
pub(super) async fn assert_layout_and_save_screenshots(browser: &Browser, url: &str, name: &str) {
    for (width, scheme) in
        WINDOW_WIDTHS.map(|width| (width, "light")).into_iter().chain([(1_280, "dark")])
    {
        browser.emulate_display(width, scheme).await;
        browser.open(url).await;
        browser
            .run_script("for (const it of document.querySelectorAll('details')) it.open = true")
            .await;
        // Waits until the page's script has handled the opened elements.
        let wait_for_script = "return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true))))";
        browser.run_script(wait_for_script).await;
        let suffix = if scheme == "dark" { "dark".to_owned() } else { width.to_string() };
        browser.save_screenshot(&screenshot_folder().join(format!("{name}-{suffix}.png"))).await;
        let problems = browser.run_script(FIND_LAYOUT_PROBLEMS).await;
        assert_eq!(problems, json!([]), "{url} at {width} pixels");
    }
    browser.emulate_display(1_280, "light").await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn layout_script_finds_a_column_that_is_cut_off() {
    let recorder = super::fixture::InMemoryRecorder::start().await;
    let mut environment = super::fixture::EnvironmentFixture::create(&recorder, "env", "").await;
    environment.set_replicas("web:1", 1);
    environment.report().await;
    let browser = Browser::start().await;
    browser.emulate_display(400, "light").await;
    browser.open(&format!("{}/cyber-dojo/environments/env", recorder.url)).await;
    assert_eq!(browser.run_script(FIND_LAYOUT_PROBLEMS).await, json!([]));
    browser
        .run_script(
            "for (const wide of document.querySelectorAll('.wide')) {
               wide.classList.remove('wide');
               wide.parentElement.style.overflow = 'hidden';
             }",
        )
        .await;
    let Value::Array(problems) = browser.run_script(FIND_LAYOUT_PROBLEMS).await else {
        panic!("no list")
    };
    assert!(problems.iter().any(|it| it.to_string().contains("beyond the window")), "{problems:?}");
    browser.quit().await;
}
