use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn the_list_of_environments_shows_what_runs_and_for_how_long() {
    let recorder = recorder_with_rollover().await;
    recorder.create("new", None).await;
    let page = get(&recorder, "/").await;
    assert_eq!(page.status, StatusCode::OK);
    let words = page.words();
    for expected in [
        "env d #3 : 1 artifact, 3 replicas web :2 ×3 for 1 hour",
        "1 hour ago 2022-08-22 09:41:22 UTC",
        "new d nothing was reported yet never never",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(get(&recorder, "/acme/environments").await.words().contains("env d #3"));
    let empty = Recorder::start().await;
    assert!(get(&empty, "/").await.words().contains("Nothing is recorded yet"));
}

#[tokio::test]
async fn timeline_svg_shows_artifact_lanes_confirmed_times_and_rollovers() {
    let recorder = recorder_with_rollover().await;
    let page = get(&recorder, "/acme/environments/env?scale=true").await;
    let xml = page.xml();
    let document = Document::parse(&xml).unwrap();
    let paths = |class: &str| -> Vec<String> {
        let paths = document.descendants().filter(|node| node.attribute("class") == Some(class));
        paths.filter_map(|path| path.attribute("d")).map(str::to_owned).collect()
    };
    // In proportion, a minute of 62 is 161 of 10,000 units.
    assert_eq!(paths("bar ended"), ["M0 79h323v4h-323z"]);
    assert_eq!(paths("bar"), ["M161 102h9839v10h-9839z"]);
    assert_eq!(paths("rollover"), ["M161 70h161v48h-161z"]);
    assert_eq!(paths("confirmed"), ["M0 58h18v4h-18zM161 58h81v4h-81zM323 58h18v4h-18z"]);
    let titles: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("title"))
        .filter_map(|node| node.text())
        .collect();
    assert_eq!(
        titles[2..],
        [
            "#1 · 2022-08-22 09:39:22 UTC · 1 artifact, 1 replica · + web:1",
            "#2 · 2022-08-22 09:40:22 UTC · + web:2 (first time here: image)",
            "#3 · 2022-08-22 09:41:22 UTC · − web:1",
            "reg.example.com/web:1 (0101010), 1 replica: already in #1 until #3",
            "reg.example.com/web:2 (0202020), 3 replicas: from #2 (first time here: image) on",
        ]
    );
}

#[tokio::test]
async fn a_day_without_reports_is_a_gap_in_the_timeline_and_in_the_tables() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    for silence in [3_600.0, 86_400.0, 3_600.0, 10_800.0] {
        recorder.report("env", &[task(1, "web", &digest(1), 1)]).await;
        recorder.advance(silence);
    }
    let page = get(&recorder, "/acme/environments/env?scale=true").await;
    let xml = page.xml();
    let document = Document::parse(&xml).unwrap();
    let confirmed =
        document.descendants().find(|node| node.attribute("class") == Some("confirmed"));
    let confirmed = confirmed.and_then(|path| path.attribute("d")).unwrap();
    // An hour of 29 is 345 of 10,000 units: an hour, a day without reports, and another hour.
    assert_eq!(confirmed, "M0 58h345v4h-345zM8621 58h345v4h-345z");
    let words = page.words();
    let expected = "2022-08-23 11:39:22 UTC no report from 2022-08-22 10:39:22 UTC to 2022-08-23 10:39:22 UTC \
                : 1 d";
    assert!(words.contains(expected), "{words}");
    let words = get(&recorder, "/acme/environments/env/snapshots/1").await.words();
    let expected = "Not covered from 2022-08-22 10:39:22 UTC to 2022-08-23 10:39:22 UTC \
                for 1 d";
    assert!(words.contains(expected), "{words}");
}

#[tokio::test]
async fn snapshot_page_shows_times_reporter_artifacts_changes_and_exits() {
    let recorder = recorder_with_rollover().await;
    let page = get(&recorder, "/acme/environments/env/snapshots/2").await;
    let words = page.words();
    for expected in [
        "Previous (#1) Next (#3) Latest",
        "Recorded 2022-08-22 09:40:22 UTC Reported by anonymous Last confirmed 2022-08-22 09:40:52 UTC",
        "Was the latest for 1 min until 2022-08-22 09:41:22 UTC",
        "2 artifacts, 4 replicas; 1 change since #1 .",
        &format!(
            "web :2 reg.example.com/web:2 {} 3 started first time here: image started \
             2022-08-22 09:39:17 UTC first seen 2022-08-22 09:40:22 UTC in #2 confirmed until \
             2022-08-22 09:41:22 UTC app / web",
            digest(2)
        ),
        &format!(
            "web :1 reg.example.com/web:1 {} 1 started 2022-08-22 09:39:17 UTC \
             first seen 2022-08-22 09:39:22 UTC at the latest, in #1 confirmed until 2022-08-22 \
             09:40:52 UTC app / web",
            digest(1)
        ),
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    for link in ["/acme/environments/env/snapshots/1", "/acme/compare?from=env%231&to=env%232"] {
        assert!(page.attributes("href").contains(&link.to_owned()), "{link}");
    }
    let latest = get(&recorder, "/acme/environments/env/snapshots/-1").await.words();
    assert!(latest.contains("env#3"), "{latest}");
    let exited = format!(
        "What exited with it Artifact Replicas before Change Since when Cluster and service web :1 \
         reg.example.com/web:1 {} 1 exited first seen 2022-08-22 09:39:22 UTC at the latest, in #1 \
         confirmed until 2022-08-22 09:40:52 UTC app / web",
        digest(1)
    );
    assert!(latest.contains(&exited), "{latest}");
}

#[tokio::test]
async fn compare_page_accepts_snapshot_expressions() {
    let recorder = recorder_with_rollover().await;
    let compared = |from: &str, to: &str| format!("/acme/compare?from={from}&to={to}");
    for (from, to, expected) in [
        ("env%231", "env", "1 exited, 1 started, 0 scaled, 0 unchanged."),
        ("env~1", "env%40{now}", "1 exited, 0 started, 0 scaled, 1 unchanged."),
        ("env%231", "env%232", "0 exited, 1 started, 0 scaled, 1 unchanged."),
        ("env", "env", "The same runs in both."),
    ] {
        let words = get(&recorder, &compared(from, to)).await.words();
        assert!(words.contains(expected), "{expected}: {words}");
    }
}

#[tokio::test]
async fn every_link_and_form_reachable_from_the_home_page_answers_200() {
    let recorder = recorder_with_rollover().await;
    recorder.create("empty", None).await;
    let (mut seen, mut ahead) = (BTreeSet::new(), vec!["/".to_owned()]);
    while let Some(path) = ahead.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let page = get(&recorder, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        if page.header("content-type") != "text/html; charset=utf-8" {
            continue;
        }
        let (base, _) = path.split_once('?').unwrap_or((&path, ""));
        for name in ["href", "src", "action"] {
            for address in page.attributes(name) {
                if address.starts_with(AWS_CONSOLE) {
                    continue;
                }
                match address.as_bytes()[0] {
                    b'#' => assert!(page.attributes("id").contains(&address[1..].to_owned())),
                    b'?' => ahead.push(format!("{base}{address}")),
                    b'/' if name == "action" => {
                        let time = "2022-08-22+09:41";
                        ahead.push(format!("{address}?from=env%231&to=env&time={time}"));
                    }
                    _ => ahead.push(address),
                }
            }
        }
    }
    for expected in [
        "/assets/icon.svg",
        "/acme/environments/empty",
        "/acme/environments/env/snapshots/2",
        "/acme/compare?from=env%231&to=env&time=2022-08-22+09:41",
        "/at?from=env%231&to=env&time=2022-08-22+09:41",
        "/api/v2/snapshots/acme/env/3",
        "/api/v2/env-diff/acme?snappish1=env%231&snappish2=env%233",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen:?}");
    }
}

#[tokio::test]
async fn errors_are_html_on_page_paths_and_json_on_api_paths() {
    let recorder = recorder_with_rollover().await;
    for (path, status, expected) in [
        ("/nothing", 404, "Not found There is nothing here"),
        ("/acme/environments/none", 404, "Environment named 'none' does not exist"),
        (
            "/acme/environments/env/snapshots/9",
            404,
            "No such snapshot There is no snapshot env#9: env has #1..#3 .",
        ),
        ("/acme/environments/none/snapshots/1", 404, "Environment named 'none' does not exist"),
        ("/acme/environments/env/snapshots/x", 400, "'x' is not a snapshot expression"),
        ("/acme/environments/env?show=7", 400, "must be one of 25, 50, 100, 200, not '7'"),
        ("/acme/environments/env?upto=x", 400, "upto must be a whole number from 1 to"),
        ("/acme/environments/env?upto=0", 400, "upto must be a whole number from 1 to"),
        ("/acme/compare?from=env", 400, "To Enter a snapshot, for example aws-prod#65 ."),
        ("/acme/compare?from=env&to=none", 404, "To There is no environment none ."),
        (
            "/acme/compare?from=env%239&to=env",
            404,
            "From There is no snapshot env#9: env has #1..#3 .",
        ),
        ("/acme/compare?from=env%40{soon}&to=env", 400, "\"soon\" is not understood: not a time"),
        ("/acme/environments/none/at", 404, "Environment named 'none' does not exist"),
        ("/acme/environments/env/at?time=", 400, "What ran at Enter a time, for example yesterday"),
        ("/acme/environments/env/at?time=16+Uhr", 400, "\"16 Uhr\" is not understood"),
        (
            "/acme/environments/env/at?time=2099-01-01",
            400,
            "2099-01-01 00:00:00 UTC is in the future",
        ),
        (
            "/acme/environments/env/at?time=2022-08-22+09:00",
            404,
            "Nothing was recorded by 2022-08-22 09:00:00 UTC: the first report is from 2022-08-22 09:39:22",
        ),
        ("/at?time=16+Uhr", 400, "\"16 Uhr\" is not understood"),
        ("/acme/at?time=", 400, "What ran at Enter a time"),
        ("/acme/environments/%FF", 400, "Invalid request"),
    ] {
        let page = get(&recorder, path).await;
        assert_eq!(page.status.as_u16(), status, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        let words = page.words();
        assert!(words.contains(expected), "{expected}: {words}");
    }
    // A program that lost its way gets the error in its own form.
    assert_eq!(recorder.get("/nothing").await.message(), "There is nothing here");
}

#[tokio::test]
async fn pages_answer_405_to_methods_other_than_get_and_head() {
    let recorder = recorder_with_rollover().await;
    for path in ["/", "/acme/environments/env", "/assets/page.css", "/acme/compare"] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let page = send(&recorder, method.clone(), path, None).await;
            assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(page.header("allow"), "GET,HEAD", "{method} {path}");
        }
    }
    let head = send(&recorder, Method::HEAD, "/acme/environments/env", None).await;
    assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
}

#[tokio::test]
async fn every_response_has_security_headers() {
    let recorder = recorder_with_rollover().await;
    for path in [
        "/",
        "/acme/environments/env",
        "/acme/environments/env/snapshots/1",
        "/acme/compare?from=env&to=env",
        "/nothing",
        "/assets/page.js",
    ] {
        let page = get(&recorder, path).await;
        assert_eq!(
            page.header("content-security-policy"),
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action \
             'self'; frame-ancestors 'none'; base-uri 'none'",
            "{path}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        if path.starts_with("/assets") {
            continue;
        }
        assert_eq!(page.header("cache-control"), "private, no-cache");
        assert_eq!(page.attributes("style"), [""; 0], "{path}");
        assert_eq!((page.count("script"), page.count("style")), (1, 0), "{path}");
    }
}
