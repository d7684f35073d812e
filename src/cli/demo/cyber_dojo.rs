//! Two weeks of cyber-dojo's environments, as they were in August 2022, moved to end now.
//!
//! The rollover of `runner` on Monday the 22nd is recorded history, with its snapshot numbers, times
//! and digests; what is around it is made up.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::ci::{JobEvent, job_events};
use super::story::{Event, Story, image};

/// The organization on the recorder.
pub(super) const ORG: &str = "cyber-dojo";
/// The name of the environment that cluster `beta` is reported as.
pub(super) const BETA: &str = "aws-beta";
/// The name of the environment that cluster `prod` is reported as.
pub(super) const PROD: &str = "aws-prod";

/// The function's variable `ENVIRONMENTS`.
pub(super) const ENVIRONMENTS: &str = r#"[{"name": "aws-beta", "clusters": ["beta"]},
    {"name": "aws-prod", "clusters": ["prod"]}]"#;

/// The name of an environment, by that of its cluster.
pub(super) fn environment(cluster: &str) -> &'static str {
    if cluster == "beta" { BETA } else { PROD }
}

/// Index of the snapshot of `aws-prod` in the middle of a rollover, and of the next one.
pub(super) const ROLLOVER: [u32; 2] = [65, 66];

/// Index of the snapshot of `aws-prod` that changed four services at once.
pub(super) const INCIDENT: u32 = 112;

/// The services, each with a pipeline of the same name, and what it is.
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

/// Replicas of a service in prod on a day: when, in hours and minutes, and how many. Of `runner`
/// three at other times, of `web` two.
type Load = [((i64, i64), usize)];

const RUNNER_EVENING_LOAD: &Load =
    &[((17, 10), 4), ((17, 40), 5), ((18, 20), 6), ((19, 30), 5), ((20, 45), 4), ((22, 10), 3)];
const RUNNER_BUSY_DAY_LOAD: &Load = &[
    ((8, 5), 4),
    ((9, 10), 5),
    ((10, 20), 6),
    ((13, 35), 7),
    ((15, 40), 6),
    ((17, 15), 5),
    ((18, 50), 4),
    ((20, 30), 3),
];
const RUNNER_MORNING_LOAD: &Load = &[((8, 10), 4), ((8, 40), 5), ((9, 20), 4), ((10, 30), 3)];
const WEB_AFTERNOON_LOAD: &Load =
    &[((13, 0), 3), ((14, 2), 4), ((15, 12), 5), ((17, 3), 4), ((18, 30), 3), ((20, 5), 2)];
const WEB_BUSY_DAY_LOAD: &Load = &[
    ((8, 5), 3),
    ((9, 10), 4),
    ((10, 20), 5),
    ((13, 35), 6),
    ((15, 40), 5),
    ((17, 15), 4),
    ((18, 50), 3),
    ((20, 30), 2),
];
const WEB_SHORT_DAY_LOAD: &Load = &[((8, 15), 3), ((9, 30), 4), ((11, 45), 5), ((13, 50), 3)];

/// The scripted two weeks: changes in the clusters, reports of CI jobs, and a gap in the function's
/// reports.
pub(super) struct History {
    pub(super) begins: Timestamp,
    pub(super) events: Vec<Event>,
    pub(super) jobs: Vec<JobEvent>,
    /// In which the function could not report.
    pub(super) gap: [Timestamp; 2],
}

impl History {
    /// The two weeks that end at `now`.
    pub(super) fn until(now: Timestamp) -> Self {
        let calendar = Calendar { now };
        let mut builder = HistoryBuilder::new(calendar);
        builder.friday_to_monday();
        builder.rollover();
        builder.monday_to_wednesday();
        builder.second_week();
        let mut events: Vec<_> = builder.beta.into_events();
        events.extend(builder.prod.into_events());
        events.sort_by_key(|event| event.at);
        let begins = calendar.at(19, 12, 0);
        let jobs = job_events(begins, &events, &builder.incident);
        let gap = [calendar.at(28, 2, 10), calendar.at(28, 11, 40)];
        Self { begins, events, jobs, gap }
    }
}

/// August 2022, moved so that noon of the 33rd (2 September) is now.
#[derive(Clone, Copy)]
struct Calendar {
    now: Timestamp,
}

impl Calendar {
    /// A time of day in August 2022, moved.
    fn at(self, day: i64, hour: i64, minute: i64) -> Timestamp {
        let before = SignedDuration::from_hours((33 - day) * 24 + 12 - hour);
        self.now - before + SignedDuration::from_mins(minute)
    }
}

/// Builds the events of both clusters in the order of time.
struct HistoryBuilder {
    calendar: Calendar,
    beta: Story,
    prod: Story,
    /// How many versions of a service there were.
    versions: BTreeMap<&'static str, u32>,
    /// The image that broke the site.
    incident: String,
}

impl HistoryBuilder {
    fn new(calendar: Calendar) -> Self {
        let [beta, prod] = ["beta", "prod"].map(Story::new);
        Self { calendar, beta, prod, versions: BTreeMap::new(), incident: String::new() }
    }

    fn at(&self, day: i64, hour: i64, minute: i64) -> Timestamp {
        self.calendar.at(day, hour, minute)
    }

    /// The image of the next version of a service.
    fn next_image(&mut self, service: &'static str) -> String {
        let number = self.versions.entry(service).or_default();
        *number += 1;
        image(service, *number)
    }

    /// Deploys a new version to beta only.
    fn deploy_to_beta(&mut self, (day, hour, minute): (i64, i64, i64), service: &'static str) {
        let image = self.next_image(service);
        self.beta.deploy(self.calendar.at(day, hour, minute), &image);
    }

    /// Deploys a new version to beta, and half an hour later to prod.
    fn deploy_to_beta_and_prod(
        &mut self,
        (day, hour, minute): (i64, i64, i64),
        service: &'static str,
    ) {
        self.deploy_to_beta((day, hour, minute), service);
        let image = self.beta.version(service);
        self.prod.deploy(self.calendar.at(day, hour, minute + 30), &image);
    }

    /// Scales a service in prod through a day.
    fn scale_in_prod(&mut self, day: i64, service: &str, load: &Load) {
        for &((hour, minute), replicas) in load {
            self.prod.scale(self.calendar.at(day, hour, minute), service, replicas);
        }
    }

    /// Adds the events from the first snapshot until the rollover on Monday.
    fn friday_to_monday(&mut self) {
        let images = PIPELINES.map(|(service, _)| self.next_image(service));
        let replicas = |image: &str| match image {
            image if image.starts_with("runner:") => 3,
            image if image.starts_with("web:") => 2,
            _ => 1,
        };
        let first: Vec<_> = images.iter().map(|image| (&**image, replicas(image))).collect();
        let begin = self.at(19, 12, 0);
        self.beta.replace(begin, &first);
        self.prod.replace(begin, &first);
        // A new base image.
        let others = PIPELINES.map(|(service, _)| service).into_iter().filter(|it| *it != "runner");
        for (number, service) in (0..).zip(others) {
            self.deploy_to_beta_and_prod((19, 13, 12 * number), service);
        }
        self.scale_in_prod(19, "runner", RUNNER_EVENING_LOAD);
        self.deploy_to_beta((20, 11, 5), "web");
        self.scale_in_prod(20, "runner", RUNNER_BUSY_DAY_LOAD);
        let [differ, runner] = ["differ:1a2b170", "runner:85d83c6"];
        self.beta.deploy(self.at(20, 21, 4), differ);
        self.prod.deploy(self.at(20, 21, 50), differ);
        self.beta.deploy(self.at(20, 22, 21), runner);
        self.prod.deploy(self.at(20, 22, 33), runner);
        self.scale_in_prod(21, "runner", RUNNER_BUSY_DAY_LOAD);
        for (minute, service) in
            [(2, "repler"), (12, "languages-start-points"), (22, "custom-start-points")]
        {
            self.deploy_to_beta_and_prod((21, 21, minute), service);
        }
        self.scale_in_prod(22, "runner", RUNNER_MORNING_LOAD);
        let shas = "shas:7c45272";
        self.beta.deploy(self.at(22, 8, 50), shas);
        self.prod.deploy(self.at(22, 9, 2), shas);
        self.deploy_to_beta_and_prod((22, 9, 45), "web");
        self.prod.scale(self.at(22, 10, 50), "saver", 2);
    }

    /// Adds the recorded rollover. aws-prod#65: three tasks of the new runner, and the last one of
    /// the old.
    fn rollover(&mut self) {
        let runner = "runner:16d9990";
        self.beta.deploy(self.at(22, 11, 38) + SignedDuration::from_secs(28), runner);
        self.prod.deploy(self.at(22, 11, 39) + SignedDuration::from_secs(22), runner);
    }

    /// Adds the events until the same runner is replaced, in aws-prod#94 to #96.
    fn monday_to_wednesday(&mut self) {
        self.scale_in_prod(22, "web", WEB_AFTERNOON_LOAD);
        self.beta.scale(self.at(22, 16, 0), "saver", 2);
        self.scale_in_prod(23, "web", WEB_BUSY_DAY_LOAD);
        for (hour, service) in [(9, "dashboard"), (14, "exercises-start-points"), (16, "saver")] {
            self.deploy_to_beta_and_prod((23, hour, 20), service);
        }
        self.deploy_to_beta((23, 12, 40), "creator");
        self.scale_in_prod(24, "web", WEB_SHORT_DAY_LOAD);
        self.deploy_to_beta_and_prod((24, 14, 15), "web");
        self.prod.scale(self.at(24, 16, 20), "web", 2);
        let runner = self.next_image("runner");
        let seconds = SignedDuration::from_secs;
        self.beta.rolling_deploy(self.at(24, 18, 3) + seconds(42), &runner);
        self.prod.rolling_deploy(self.at(24, 18, 10) + seconds(28), &runner);
    }

    /// From Wednesday evening to the end: with the gap on Sunday, a shell at night and the incident.
    fn second_week(&mut self) {
        self.prod.scale(self.at(24, 20, 0), "web", 3);
        self.prod.scale(self.at(24, 22, 0), "web", 2);
        self.deploy_to_beta_and_prod((26, 9, 42), "web");

        // On Sunday the function cannot report, and repler is replaced meanwhile.
        self.deploy_to_beta((27, 16, 30), "repler");
        let repler = self.beta.version("repler");
        self.prod.replace(self.at(28, 11, 40), &[(&repler, 1)]);

        self.deploy_to_beta_and_prod((29, 10, 5), "dashboard");
        self.prod.scale(self.at(30, 9, 14), "runner", 5);
        self.prod.scale(self.at(30, 17, 38), "runner", 3);
        // A shell that was started by hand at night.
        let (from, to) = (self.at(31, 3, 12), self.at(31, 3, 19));
        let shell = "public.ecr.aws/docker/library/alpine:3.16";
        self.prod.start_standalone(from, shell);
        self.prod.stop_standalone(to, shell);
        self.deploy_to_beta_and_prod((31, 13, 50), "differ");
        self.prod.scale(self.at(32, 9, 0), "web", 3);
        self.prod.scale(self.at(32, 12, 30), "web", 2);

        // Three versions that work in beta, and one that never ran there.
        for (day, service) in [(30, "creator"), (31, "saver"), (32, "web")] {
            self.deploy_to_beta((day, 11, 10), service);
        }
        let [creator, saver, web] =
            ["creator", "saver", "web"].map(|service| self.beta.version(service));
        let nginx = self.next_image("nginx");
        let at = self.at(32, 16, 20);
        self.prod.replace(at, &[(&creator, 1), (&nginx, 1), (&saver, 2), (&web, 2)]);
        self.incident = nginx;
        self.prod.scale(self.at(32, 19, 0), "runner", 4);
        self.prod.scale(self.at(32, 21, 30), "runner", 3);
        // It still runs, and no pipeline built it.
        self.prod.start_standalone(self.at(33, 9, 27), "registry.example.net/worker:latest");
    }
}
