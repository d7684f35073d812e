//! The recorder's web pages, in a real browser.

pub(crate) mod browser;
mod fixture;
mod keyboard;
mod print;
mod provenance;
mod widths;

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use self::browser::Browser;
use self::fixture::{DAY, EnvironmentFixture, HOUR, InMemoryRecorder, MINUTE};
use crate::programs::{ROOT, envsnap};

// Keys, as WebDriver encodes them.
const ENTER: char = '\u{e007}';
const ARROW_RIGHT: char = '\u{e014}';

/// The folder of screenshots and PDF files, which a person may look at after a test.
fn screenshot_folder() -> PathBuf {
    let folder = PathBuf::from(ROOT).join("target/page");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Starts `envsnap demo --keep`, which ends when its process is dropped. Returns it, and the URL of the
/// page of `aws-prod`.
async fn start_demo() -> (Child, String) {
    let mut demo = envsnap()
        .args(["demo", "--keep"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if line.ends_with("/environments/aws-prod") {
            return (demo, line.trim().to_owned());
        }
    }
}

/// `docs/timeline-picture` runs this to write the images of the README to `docs/images`.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn screenshots_of_the_demo_timeline_are_written() {
    let folder = std::env::var_os("ENVSNAP_PICTURES").map_or_else(screenshot_folder, PathBuf::from);
    let (mut demo, page) = start_demo().await;
    let browser = Browser::start().await;
    for scheme in ["light", "dark"] {
        browser.emulate_display(1_000, scheme).await;
        // As many snapshots as fit into the width of a README.
        browser.open(&format!("{page}?show=25")).await;
        let file = folder.join(format!("timeline-{scheme}.png"));
        browser.save_screenshot_of_range(&file, ["#timeline", "#timeline ~ .legend"]).await;
        let size = std::fs::metadata(&file).unwrap().len();
        assert!((50_000..1_000_000).contains(&size), "{} has {size} bytes", file.display());
    }
    browser.quit().await;
    demo.kill().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn demo_pages_work_with_and_without_javascript() {
    let (mut demo, page) = start_demo().await;
    for with_script in [true, false] {
        let browser = Browser::start().await;
        browser.emulate_display(1_280, "light").await;
        let disabled = json!({"value": !with_script});
        browser.devtools_command("Emulation.setScriptExecutionDisabled", &disabled).await;

        let home = page.split("/cyber-dojo").next().unwrap();
        browser.open(home).await;
        assert!(browser.element_text("tbody tr").await.contains("12 artifacts, 16 replicas"));
        browser.click_and_wait_for_page("tbody th a[href$='/aws-prod']").await;
        assert_eq!(browser.current_url().await, page);
        assert_eq!(browser.element_text("h1").await, "aws-prod");

        // The first snapshot in the timeline is #66.
        browser.click_and_wait_for_page(".columns [role=listitem]:nth-child(1) a").await;
        assert_eq!(browser.current_url().await, format!("{page}/snapshots/66"));
        assert!(browser.element_text("table[class], main").await.contains("What exited with it"));

        browser.click_and_wait_for_page("form.compare button").await;
        let comparison = browser.element_text("main").await;
        assert!(
            comparison.contains("1 exited, 0 started, 0 scaled, 12 unchanged."),
            "{comparison}"
        );
        assert!(browser.element_text("tbody th").await.contains("runner:85d83c6"), "{comparison}");

        assert_eq!(browser.take_console_lines().await, [""; 0]);
        if with_script {
            widths::assert_layout_and_save_screenshots(&browser, &page, "demo").await;
            widths::assert_layout_and_save_screenshots(
                &browser,
                &format!("{page}/snapshots/66"),
                "demo-snapshot",
            )
            .await;
        }
        browser.quit().await;
    }
    demo.kill().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn pages_fit_the_window_at_every_width_in_light_and_dark() {
    let recorder = InMemoryRecorder::start().await;
    record_histories(&recorder).await;
    let browser = Browser::start().await;
    let org = format!("{}/cyber-dojo", recorder.url);
    let environment_url = |environment: &str| format!("{org}/environments/{environment}");
    for (name, url) in [
        ("home", recorder.url.clone()),
        ("history", environment_url("aws-prod")),
        ("history-in-proportion", format!("{}?scale=true", environment_url("aws-prod"))),
        ("history-before", format!("{}?show=25&upto=25", environment_url("aws-prod"))),
        ("snapshot", format!("{}/snapshots/-1", environment_url("aws-prod"))),
        ("comparison", format!("{org}/compare?from=aws-prod%232&to=aws-prod")),
        ("across", format!("{org}/compare?from=staging&to=aws-prod")),
        ("forty", environment_url("forty")),
        ("one", environment_url("one")),
        ("empty", environment_url("empty")),
        ("names", environment_url("names")),
        ("names-snapshot", format!("{}/snapshots/1", environment_url("names"))),
        ("long", format!("{}?show=200", environment_url("long"))),
        ("missing", environment_url("no-such-environment")),
    ] {
        widths::assert_layout_and_save_screenshots(&browser, &url, name).await;
    }
    let console = browser.take_console_lines().await;
    let unexpected: Vec<_> =
        console.iter().filter(|line| !line.contains("no-such-environment")).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    browser.quit().await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn arrow_keys_move_between_snapshots() {
    let recorder = InMemoryRecorder::start().await;
    let mut environment = EnvironmentFixture::create(&recorder, "keys", "").await;
    for replicas in 1..4 {
        environment.set_replicas("web:1", replicas);
        environment.report().await;
        recorder.advance_clock(HOUR);
    }
    let page = format!("{}/cyber-dojo/environments/keys", recorder.url);
    let browser = Browser::start().await;
    browser.emulate_display(1_280, "light").await;

    browser.open(&page).await;
    browser.run_script("document.querySelector('.columns a').focus()").await;
    browser.press_key(ARROW_RIGHT).await;
    let text = browser.element_text("#detail").await;
    assert!(text.starts_with("#2 · 2022-08-01 09:00:00 UTC · ~ web:1 1 → 2"), "{text}");
    browser.press_key_and_wait_for_page(ENTER).await;
    assert_eq!(browser.current_url().await, format!("{page}/snapshots/2"));
    browser.press_key_and_wait_for_page(ARROW_RIGHT).await;
    assert_eq!(browser.current_url().await, format!("{page}/snapshots/3"));

    browser.fill_field("input[name=from]", "keys@{2022-08-01T08:30:00}").await;
    browser.click_and_wait_for_page("form.compare button").await;
    assert_eq!(browser.element_text("h1").await, "What changed from keys#1 to keys#3");
    assert!(browser.element_text("tbody").await.contains("scaled 1 → 3"));
    assert_eq!(browser.take_console_lines().await, [""; 0]);
    browser.quit().await;
}

/// Records environments with different histories: none, one snapshot, many artifacts, many snapshots,
/// difficult names, and `aws-prod` with deployments, scaling and a rollback.
async fn record_histories(recorder: &InMemoryRecorder) {
    let mut one = EnvironmentFixture::create(recorder, "one", "Made today").await;
    EnvironmentFixture::create(recorder, "empty", "").await;
    let mut staging = EnvironmentFixture::create(recorder, "staging", "What is next").await;
    let mut prod = EnvironmentFixture::create(recorder, "aws-prod", "Serves cyber-dojo.org").await;
    for (image, replicas) in [
        ("creator:ba9d0ee", 1),
        ("custom-start-points:fb8c4d1", 1),
        ("dashboard:3e1bfbd", 1),
        ("differ:1a2b170", 1),
        ("exercises-start-points:b3a8f50", 1),
        ("nginx:97c2d31", 2),
        ("repler:9c1b0f2", 1),
        ("runner:85d83c6", 3),
        ("saver:3cd5c4e", 1),
        ("shas:7c45272", 1),
        ("web:b0e7e1d", 2),
    ] {
        prod.set_replicas(image, replicas);
        staging.set_replicas(image, 1);
    }
    prod.report().await;
    staging.report().await;
    prod.report_repeatedly(HOUR, 40).await;
    recorder.advance_clock(3.0 * DAY);
    prod.roll_over("runner:85d83c6", "runner:16d9990", 3, 2.0).await;
    prod.report_repeatedly(HOUR, 30).await;
    prod.roll_over("web:b0e7e1d", "web:41d7f80", 2, 3.0).await;
    recorder.advance_clock(4.0 * HOUR);
    prod.set_replicas("nginx:97c2d31", 6);
    prod.report().await;
    prod.report_repeatedly(HOUR, 8).await;
    prod.set_replicas("nginx:97c2d31", 2);
    prod.report().await;
    recorder.advance_clock(6.0 * DAY);
    prod.roll_over("saver:3cd5c4e", "saver:e17ab35", 1, 1.0).await;
    recorder.advance_clock(20.0 * MINUTE);
    prod.roll_over("saver:e17ab35", "saver:3cd5c4e", 1, 1.0).await;
    prod.report_repeatedly(HOUR, 60).await;
    for (old, new) in [
        ("dashboard:3e1bfbd", "dashboard:77d1e90"),
        ("differ:1a2b170", "differ:5fe0c2a"),
        ("runner:16d9990", "runner:d41d8cd"),
        ("web:41d7f80", "web:8e2c9aa"),
    ] {
        prod.roll_over(old, new, 2, 2.0).await;
        recorder.advance_clock(11.0 * HOUR);
    }
    prod.report_repeatedly(MINUTE, 30).await;
    staging.set_replicas("web:b0e7e1d", 0);
    staging.set_replicas("web:c0ffee1", 1);
    staging.report().await;

    let mut forty =
        EnvironmentFixture::create(recorder, "forty", "Many services, deployed often").await;
    for service in 0..12 {
        forty.set_replicas(&format!("team/service-{service:02}:1.0"), 1 + service % 4);
    }
    forty.report().await;
    for release in 0..28_u32 {
        recorder.advance_clock(f64::from(1 + release % 5) * HOUR);
        let (service, version) = (release * 5 % 12, 1 + release / 12);
        let image = |version| format!("team/service-{service:02}:{version}.0");
        forty.roll_over(&image(version), &image(version + 1), 1 + service % 4, 2.0).await;
    }

    let mut long = EnvironmentFixture::create(recorder, "long", "").await;
    for version in 0..260_u32 {
        long.set_replicas(&format!("web:{version}"), 2);
        if version > 0 {
            long.set_replicas(&format!("web:{}", version - 1), 0);
        }
        long.report().await;
        recorder.advance_clock(f64::from(1 + version % 7) * HOUR);
    }

    let mut names =
        EnvironmentFixture::create(recorder, "names", "<b>Names</b> that are \"hard\" & long")
            .await;
    for (image, replicas) in [
        ("<script>alert(1)</script>\"'&", 1),
        (&*format!("{}:{}", "a-very-long-repository-name/".repeat(10), "t".repeat(40)), 3),
        (&"x".repeat(300), 1),
        ("web\u{202e}gnp.1", 1),
        ("größe/名前:テスト", 12),
    ] {
        names.set_replicas(image, replicas);
    }
    names.report().await;
    recorder.advance_clock(HOUR);
    names.set_replicas("javascript:alert(1)", 1);
    names.report().await;

    one.set_replicas("runner:16d9990", 3);
    one.set_replicas("shas:7c45272", 1);
    one.report().await;
    recorder.advance_clock(5.0 * MINUTE);
}
