//! The recorder's page, in a real browser.

pub(crate) mod browser;
mod keyboard;
mod print;
mod provenance;
mod story;
mod widths;

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use self::browser::Browser;
use self::story::{DAY, Environment, HOUR, MINUTE, Recorder};
use crate::programs::{ROOT, envsnap};

const ENTER: char = '\u{e007}';
const RIGHT: char = '\u{e014}';

/// Pictures that a person may look at, beside what the tests say of them.
fn pictures() -> PathBuf {
    let pictures = PathBuf::from(ROOT).join("target/page");
    std::fs::create_dir_all(&pictures).unwrap();
    pictures
}

/// `envsnap demo --keep`, and the address of its page. It ends with this.
async fn demo() -> (Child, String) {
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

/// The pictures in the README: `docs/timeline-picture` lets this write them to `docs/images`.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_timeline_of_the_demo_is_drawn() {
    let folder = std::env::var_os("ENVSNAP_PICTURES").map_or_else(pictures, PathBuf::from);
    let (mut demo, page) = demo().await;
    let browser = Browser::start().await;
    for scheme in ["light", "dark"] {
        browser.look(1_000, scheme).await;
        // As many as fit into the width of a README.
        browser.open(&format!("{page}?show=25")).await;
        let file = folder.join(format!("timeline-{scheme}.png"));
        browser.detail(&file, ["#timeline", "#timeline ~ .legend"]).await;
        let size = std::fs::metadata(&file).unwrap().len();
        assert!((50_000..1_000_000).contains(&size), "{} has {size} bytes", file.display());
    }
    browser.quit().await;
    demo.kill().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_demo_is_browsed_with_and_without_script() {
    let (mut demo, page) = demo().await;
    for with_script in [true, false] {
        let browser = Browser::start().await;
        browser.look(1_280, "light").await;
        let disabled = json!({"value": !with_script});
        browser.command("Emulation.setScriptExecutionDisabled", &disabled).await;

        let home = page.split("/cyber-dojo").next().unwrap();
        browser.open(home).await;
        assert!(browser.text("tbody tr").await.contains("12 artifacts, 16 replicas"));
        browser.follow("tbody th a[href$='/aws-prod']").await;
        assert_eq!(browser.address().await, page);
        assert_eq!(browser.text("h1").await, "aws-prod");

        // The picture begins with #66.
        browser.follow(".columns [role=listitem]:nth-child(1) a").await;
        assert_eq!(browser.address().await, format!("{page}/snapshots/66"));
        assert!(browser.text("table[class], main").await.contains("What exited with it"));

        browser.follow("form.compare button").await;
        let compared = browser.text("main").await;
        assert!(compared.contains("1 exited, 0 started, 0 scaled, 12 unchanged."), "{compared}");
        assert!(browser.text("tbody th").await.contains("runner:85d83c6"), "{compared}");

        assert_eq!(browser.console().await, [""; 0]);
        if with_script {
            widths::check(&browser, &page, "demo").await;
            widths::check(&browser, &format!("{page}/snapshots/66"), "demo-snapshot").await;
        }
        browser.quit().await;
    }
    demo.kill().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn every_page_fits_its_window_in_light_and_dark() {
    let recorder = Recorder::start().await;
    record_histories(&recorder).await;
    let browser = Browser::start().await;
    let org = format!("{}/cyber-dojo", recorder.url);
    let of = |environment: &str| format!("{org}/environments/{environment}");
    for (name, url) in [
        ("home", recorder.url.clone()),
        ("history", of("aws-prod")),
        ("history-in-proportion", format!("{}?scale=true", of("aws-prod"))),
        ("history-before", format!("{}?show=25&upto=25", of("aws-prod"))),
        ("snapshot", format!("{}/snapshots/-1", of("aws-prod"))),
        ("comparison", format!("{org}/compare?from=aws-prod%232&to=aws-prod")),
        ("across", format!("{org}/compare?from=staging&to=aws-prod")),
        ("forty", of("forty")),
        ("one", of("one")),
        ("empty", of("empty")),
        ("names", of("names")),
        ("names-snapshot", format!("{}/snapshots/1", of("names"))),
        ("long", format!("{}?show=200", of("long"))),
        ("missing", of("no-such-environment")),
    ] {
        widths::check(&browser, &url, name).await;
    }
    let console = browser.console().await;
    let unexpected: Vec<_> =
        console.iter().filter(|line| !line.contains("no-such-environment")).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    browser.quit().await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_arrow_keys_move_between_snapshots() {
    let recorder = Recorder::start().await;
    let mut environment = Environment::create(&recorder, "keys", "").await;
    for replicas in 1..4 {
        environment.run("web:1", replicas);
        environment.report().await;
        recorder.wait(HOUR);
    }
    let page = format!("{}/cyber-dojo/environments/keys", recorder.url);
    let browser = Browser::start().await;
    browser.look(1_280, "light").await;

    browser.open(&page).await;
    browser.evaluate("document.querySelector('.columns a').focus()").await;
    browser.press(RIGHT).await;
    let text = browser.text("#detail").await;
    assert!(text.starts_with("#2 · 2022-08-01 09:00:00 UTC · ~ web:1 1 → 2"), "{text}");
    browser.follow_key(ENTER).await;
    assert_eq!(browser.address().await, format!("{page}/snapshots/2"));
    browser.follow_key(RIGHT).await;
    assert_eq!(browser.address().await, format!("{page}/snapshots/3"));

    browser.fill("input[name=from]", "keys@{2022-08-01T08:30:00}").await;
    browser.follow("form.compare button").await;
    assert_eq!(browser.text("h1").await, "What changed from keys#1 to keys#3");
    assert!(browser.text("tbody").await.contains("scaled 1 → 3"));
    assert_eq!(browser.console().await, [""; 0]);
    browser.quit().await;
}

/// Histories of several kinds.
async fn record_histories(recorder: &Recorder) {
    let mut one = Environment::create(recorder, "one", "Made today").await;
    Environment::create(recorder, "empty", "").await;
    let mut staging = Environment::create(recorder, "staging", "What is next").await;
    let mut prod = Environment::create(recorder, "aws-prod", "Serves cyber-dojo.org").await;
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
        prod.run(image, replicas);
        staging.run(image, 1);
    }
    prod.report().await;
    staging.report().await;
    prod.heartbeats(HOUR, 40).await;
    recorder.wait(3.0 * DAY);
    prod.roll_over("runner:85d83c6", "runner:16d9990", 3, 2.0).await;
    prod.heartbeats(HOUR, 30).await;
    prod.roll_over("web:b0e7e1d", "web:41d7f80", 2, 3.0).await;
    recorder.wait(4.0 * HOUR);
    prod.run("nginx:97c2d31", 6);
    prod.report().await;
    prod.heartbeats(HOUR, 8).await;
    prod.run("nginx:97c2d31", 2);
    prod.report().await;
    recorder.wait(6.0 * DAY);
    prod.roll_over("saver:3cd5c4e", "saver:e17ab35", 1, 1.0).await;
    recorder.wait(20.0 * MINUTE);
    prod.roll_over("saver:e17ab35", "saver:3cd5c4e", 1, 1.0).await;
    prod.heartbeats(HOUR, 60).await;
    for (old, new) in [
        ("dashboard:3e1bfbd", "dashboard:77d1e90"),
        ("differ:1a2b170", "differ:5fe0c2a"),
        ("runner:16d9990", "runner:d41d8cd"),
        ("web:41d7f80", "web:8e2c9aa"),
    ] {
        prod.roll_over(old, new, 2, 2.0).await;
        recorder.wait(11.0 * HOUR);
    }
    prod.heartbeats(MINUTE, 30).await;
    staging.run("web:b0e7e1d", 0);
    staging.run("web:c0ffee1", 1);
    staging.report().await;

    let mut forty = Environment::create(recorder, "forty", "Many services, deployed often").await;
    for service in 0..12 {
        forty.run(&format!("team/service-{service:02}:1.0"), 1 + service % 4);
    }
    forty.report().await;
    for release in 0..28_u32 {
        recorder.wait(f64::from(1 + release % 5) * HOUR);
        let (service, version) = (release * 5 % 12, 1 + release / 12);
        let image = |version| format!("team/service-{service:02}:{version}.0");
        forty.roll_over(&image(version), &image(version + 1), 1 + service % 4, 2.0).await;
    }

    let mut long = Environment::create(recorder, "long", "").await;
    for version in 0..260_u32 {
        long.run(&format!("web:{version}"), 2);
        if version > 0 {
            long.run(&format!("web:{}", version - 1), 0);
        }
        long.report().await;
        recorder.wait(f64::from(1 + version % 7) * HOUR);
    }

    let mut names =
        Environment::create(recorder, "names", "<b>Names</b> that are \"hard\" & long").await;
    for (image, replicas) in [
        ("<script>alert(1)</script>\"'&", 1),
        (&*format!("{}:{}", "a-very-long-repository-name/".repeat(10), "t".repeat(40)), 3),
        (&"x".repeat(300), 1),
        ("web\u{202e}gnp.1", 1),
        ("größe/名前:テスト", 12),
    ] {
        names.run(image, replicas);
    }
    names.report().await;
    recorder.wait(HOUR);
    names.run("javascript:alert(1)", 1);
    names.report().await;

    one.run("runner:16d9990", 3);
    one.run("shas:7c45272", 1);
    one.report().await;
    recorder.wait(5.0 * MINUTE);
}
