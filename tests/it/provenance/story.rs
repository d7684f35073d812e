//! The history of the tutorial: twelve pipelines, and `runner` from commit 16d9990, from its build to
//! its exit from two environments.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::questions::{Answer, ask};
use crate::recorder::server::{Recorder, digest};

/// Commit from which [`RUNNER`] was built.
pub(super) const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
/// Fingerprint of the image of `runner` that the tutorial is about.
pub(super) const RUNNER: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
/// Commit from which [`OLD_RUNNER`] was built.
pub(super) const OLD_COMMIT: &str = "85d83c6ab8e0ce800baeef3dfa4fa9f6eee338a4";
/// Fingerprint of the image of `runner` before [`RUNNER`].
pub(super) const OLD_RUNNER: &str =
    "eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec";
/// Fingerprint of the image of `shas`.
pub(super) const SHAS: &str = "76c442c04283c4ca1af22d882750eb960cf53c0aa041bbdb2db9df2f2c1282be";
/// Commit from which [`SHAS`] was built.
pub(super) const SHAS_COMMIT: &str = "7c45272ab8e0ce800baeef3dfa4fa9f6eee338a4";

/// Host of the registry from which ECS pulls all images.
const REGISTRY: &str = "274425519734.dkr.ecr.eu-central-1.amazonaws.com";

/// Name and description of each pipeline.
pub(super) const PIPELINES: [(&str, &str); 12] = [
    ("creator", "UX for Group/Kata creation"),
    ("custom-start-points", "Custom exercises choices"),
    ("dashboard", "UX for a group practice dashboard"),
    ("differ", "Diff files from two traffic-lights"),
    ("exercises-start-points", "Exercises choices"),
    ("languages-start-points", "Language+TestFramework choices"),
    ("nginx", "Reverse proxy"),
    ("repler", "REPL for Python images"),
    ("runner", "Test runner"),
    ("saver", "Group/Kata model+persistence"),
    ("shas", "UX for git+image shas"),
    ("web", "UX for practicing TDD"),
];

/// A recorder to which the history of the tutorial is reported, and the time of its clock.
pub(super) struct Story {
    pub(super) recorder: Recorder,
    /// Seconds since the Unix epoch.
    now: Cell<f64>,
}

/// Seconds since the Unix epoch at an RFC 3339 time.
pub(super) fn unix_time(text: &str) -> f64 {
    let time: jiff::Timestamp = text.parse().unwrap();
    time.as_duration().as_secs_f64()
}

/// Report entries of tasks that run an image in cluster `app`, each started at `started`.
pub(super) fn tasks(name: &str, fingerprint: &str, started: &str, replicas: u32) -> Vec<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
    let started = unix_time(started) as i64;
    let service = name.split([':', '@']).next().unwrap();
    let task = |number: u32| {
        json!({
            "taskArn": format!("arn:aws:ecs:eu-central-1:274425519734:task/app/{service}{number}"),
            "cluster_name": "app", "service_name": service,
            "digests": {format!("{REGISTRY}/{name}"): fingerprint}, "creationTimestamp": started,
        })
    };
    (1..=replicas).map(task).collect()
}

/// Report entries of [`RUNNER`].
pub(super) fn new_runner(replicas: u32) -> Vec<Value> {
    tasks("runner:16d9990", RUNNER, "2022-08-22T09:38:20Z", replicas)
}

/// The report entry of [`OLD_RUNNER`].
pub(super) fn old_runner() -> Vec<Value> {
    tasks("runner:85d83c6", OLD_RUNNER, "2022-08-20T20:32:43Z", 1)
}

/// The report entry of [`SHAS`].
pub(super) fn shas() -> Vec<Value> {
    tasks("shas:7c45272", SHAS, "2022-08-21T10:00:00Z", 1)
}

impl Story {
    /// An empty recorder whose clock shows this time.
    pub(super) async fn at(begin: &str) -> Self {
        let recorder = Recorder::start().await;
        let story = Self { recorder, now: Cell::new(1_661_161_162.5) };
        story.set_clock(begin);
        story
    }

    pub(super) fn set_clock(&self, at: &str) {
        let at = unix_time(at);
        self.recorder.advance(at - self.now.replace(at));
    }

    /// Runs `envsnap`, with the organization in `KOSLI_OWNER` as in the tutorial.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Answer {
        self.ask_with(arguments, &[]).await
    }

    /// The same with more environment variables.
    pub(super) async fn ask_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Answer {
        let mut variables = vec![("KOSLI_HOST", &*self.recorder.url), ("KOSLI_OWNER", "acme")];
        variables.extend(more);
        ask(arguments, &variables).await
    }

    /// JSON output of `envsnap` with these arguments.
    pub(super) async fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments.iter().copied().chain(["-o", "json"]).collect();
        serde_json::from_str(&self.ask(&arguments).await.success()).unwrap()
    }

    /// Runs `envsnap` at time `at` with the variables of a GitHub Actions job that builds `commit`
    /// of repository `cyber-dojo/REPO`.
    pub(super) async fn job(
        &self,
        at: &str,
        repo: &str,
        commit: &str,
        arguments: &[&str],
    ) -> String {
        self.set_clock(at);
        let repository = format!("cyber-dojo/{repo}");
        let variables = [
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", &*repository),
            ("GITHUB_SHA", commit),
            ("GITHUB_RUN_ID", "2902808452"),
        ];
        // Of a repository of its own git would say more.
        let arguments: Vec<_> = arguments.iter().copied().chain(["--git", "/"]).collect();
        self.ask_with(&arguments, &variables).await.success()
    }

    /// Reports these entries to the environment at time `at`, which makes a snapshot.
    pub(super) async fn report(&self, environment: &str, at: &str, what: &[Vec<Value>]) {
        self.set_clock(at);
        let status = self.recorder.report(environment, &what.concat()).await;
        assert_eq!(status, 201, "{environment} at {at}");
    }

    /// Records so many snapshots, between which only a container of another service changes.
    async fn record_snapshots(&self, environment: &str, snapshots: u8, running: &[Vec<Value>]) {
        for number in 0..snapshots {
            self.set_clock(&seconds_after("2022-08-21T12:00:00Z", i64::from(number)));
            let other = tasks("web:1", &digest(number + 1), "2022-08-21T11:00:00Z", 1);
            let all = [running.concat(), other].concat();
            assert_eq!(self.recorder.report(environment, &all).await, 201);
        }
    }

    /// Everything that was reported up to the end of the tutorial.
    pub(super) async fn tutorial(files: &Path) -> Self {
        let story = Self::at("2022-08-20T20:00:00Z").await;
        for environment in ["aws-beta", "aws-prod"] {
            story.recorder.create(environment, Some(true)).await;
        }
        let template = files.join("template.yml");
        let mut text = "version: 1\ntrail:\n  artifacts:\n".to_owned();
        write!(
            text,
            "  - name: runner\n    attestations: [{{name: branch-coverage, type: generic}}]\n"
        )
        .unwrap();
        std::fs::write(&template, text).unwrap();
        for (name, description) in PIPELINES {
            let mut arguments = vec![
                "pipeline",
                "create",
                name,
                "--description",
                description,
                "--visibility",
                "public",
            ];
            if name == "runner" {
                arguments.extend(["--template-file", template.to_str().unwrap()]);
            }
            let shown = story.ask(&arguments).await.success();
            assert_eq!(shown, format!("Created pipeline '{name}' of organization 'acme'.\n"));
        }
        let artifact = |name: &'static str, fingerprint: &'static str| {
            [
                "artifact",
                "report",
                name.split(['/', ':']).nth(1).unwrap(),
                "--name",
                name,
                "--fingerprint",
                fingerprint,
            ]
        };
        let old =
            [&artifact("cyberdojo/runner:85d83c6", OLD_RUNNER)[..], &["--template-name", "runner"]];
        story.job("2022-08-20T20:30:00Z", "runner", OLD_COMMIT, &old.concat()).await;
        let shas_job = artifact("cyberdojo/shas:7c45272", SHAS);
        story.job("2022-08-21T09:00:00Z", "shas", SHAS_COMMIT, &shas_job).await;

        story.record_snapshots("aws-beta", 83, &[old_runner(), shas()]).await;
        story.record_snapshots("aws-prod", 64, &[old_runner(), shas()]).await;

        let new =
            [&artifact("cyberdojo/runner:16d9990", RUNNER)[..], &["--template-name", "runner"]];
        story.job("2022-08-22T09:35:00Z", "runner", COMMIT, &new.concat()).await;
        let evidence = [
            "artifact",
            "evidence",
            "runner",
            "--name",
            "branch-coverage",
            "--generic",
            "--compliant",
            "true",
            "--fingerprint",
            RUNNER,
        ];
        story.job("2022-08-22T09:36:02Z", "runner", COMMIT, &evidence).await;
        for (at, environment) in
            [("2022-08-22T09:37:17Z", "aws-beta"), ("2022-08-22T09:38:21Z", "aws-prod")]
        {
            let deployment = [
                "artifact",
                "deployment",
                "runner",
                "--environment",
                environment,
                "--fingerprint",
                RUNNER,
            ];
            story.job(at, "runner", COMMIT, &deployment).await;
        }
        let both = [new_runner(3), shas(), old_runner()];
        story.report("aws-beta", "2022-08-22T09:38:28Z", &both).await;
        story.report("aws-prod", "2022-08-22T09:39:22Z", &both).await;
        story.report("aws-prod", "2022-08-22T09:40:22Z", &[new_runner(3), shas()]).await;
        story
    }

    /// What is reported afterwards: [`RUNNER`] is replaced, and exits from both environments.
    pub(super) async fn report_exit_of_runner(&self) {
        let next = || tasks("runner:2", &digest(200), "2022-08-24T16:03:00Z", 3);
        self.report("aws-beta", "2022-08-24T16:03:42Z", &[new_runner(3), shas(), next()]).await;
        self.report("aws-beta", "2022-08-24T16:05:42Z", &[shas(), next()]).await;
        self.report("aws-prod", "2022-08-24T16:12:28Z", &[shas(), next()]).await;
    }
}

/// The time so many seconds after `begin`.
pub(super) fn seconds_after(begin: &str, seconds: i64) -> String {
    let begin: jiff::Timestamp = begin.parse().unwrap();
    (begin + jiff::SignedDuration::from_secs(seconds)).to_string()
}
