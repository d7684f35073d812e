//! The CI jobs of the pipelines: what each reports to the recorder's API, and when.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::clock::HistoryClock;
use super::cyber_dojo::{self, BETA, History, ORG, PIPELINES, PROD};
use super::story::{self, Event};
use crate::api::{Attachment, Client, FlowRequest};

/// The name of the evidence that each job reports for its artifact.
const COVERAGE_EVIDENCE: &str = "branch-coverage";

/// How long before the first snapshot the first job runs.
pub(super) const FIRST_JOB_LEAD_TIME: SignedDuration = SignedDuration::from_hours(5 * 24);

/// From the report of an artifact to that of its coverage.
const ARTIFACT_TO_COVERAGE: SignedDuration = SignedDuration::from_secs(62);
/// From the report of an artifact to the announcement of its deployment in beta.
const ARTIFACT_TO_BETA_DEPLOYMENT: SignedDuration = SignedDuration::from_secs(137);
/// From the report of an artifact to the announcement of its deployment in prod.
const ARTIFACT_TO_PROD_DEPLOYMENT: SignedDuration = SignedDuration::from_secs(201);

/// From the announcement of a deployment in beta until its tasks are reported.
const BETA_DEPLOYMENT_TO_REPORT: SignedDuration = SignedDuration::from_secs(71);
/// From the announcement of a deployment in prod until its tasks are reported.
const PROD_DEPLOYMENT_TO_REPORT: SignedDuration = SignedDuration::from_secs(61);

/// Number of further deployments of the first version of service `runner`, one every six hours: so many
/// that those of commit 16d9990 get the numbers 18 and 19.
const REDEPLOYMENTS: i32 = 13;

/// One report that a job makes, for an image `SERVICE:TAG`.
#[derive(Debug)]
pub(super) struct JobEvent {
    at: Timestamp,
    image: String,
    step: JobStep,
}

/// What a job reports.
#[derive(Debug, Clone, Copy)]
enum JobStep {
    Artifact,
    Coverage,
    Deployment { environment: &'static str },
}

/// The jobs that built and deployed what starts in these events, in the order of time. The image
/// `uncovered` was built without measuring its coverage.
pub(super) fn job_events(begins: Timestamp, events: &[Event], uncovered: &str) -> Vec<JobEvent> {
    let mut jobs = Vec::new();
    let mut add = |at, image: &str, step| jobs.push(JobEvent { at, image: image.to_owned(), step });
    let (mut built, mut deployed) = (BTreeSet::new(), BTreeSet::new());
    for event in events {
        let environment = cyber_dojo::environment(event.cluster);
        for image in event.built_images() {
            // What runs from the beginning was deployed in the days before.
            let earlier = (event.at == begins).then(|| first_build_time(begins, image));
            if built.insert(image) {
                let created = earlier
                    .unwrap_or(event.at - BETA_DEPLOYMENT_TO_REPORT - ARTIFACT_TO_BETA_DEPLOYMENT);
                add(created, image, JobStep::Artifact);
                if image != uncovered {
                    add(created + ARTIFACT_TO_COVERAGE, image, JobStep::Coverage);
                }
            }
            if deployed.insert((environment, image)) {
                let (after, takes) = if environment == BETA {
                    (ARTIFACT_TO_BETA_DEPLOYMENT, BETA_DEPLOYMENT_TO_REPORT)
                } else {
                    (ARTIFACT_TO_PROD_DEPLOYMENT, PROD_DEPLOYMENT_TO_REPORT)
                };
                let at = earlier.map_or(event.at - takes, |created| created + after);
                add(at, image, JobStep::Deployment { environment });
            }
            if let Some(created) = earlier
                && environment == PROD
                && story::service(image) == "runner"
            {
                for number in 1..=REDEPLOYMENTS {
                    let environment = if number % 2 == 0 { PROD } else { BETA };
                    let at = created + SignedDuration::from_hours(6) * number;
                    add(at, image, JobStep::Deployment { environment });
                }
            }
        }
    }
    jobs.sort_by_key(|job| job.at);
    jobs
}

/// When the image that runs in the first snapshot was built: each service an hour after the one before.
fn first_build_time(begins: Timestamp, image: &str) -> Timestamp {
    let service = story::service(image);
    let place = (1..).zip(PIPELINES).find(|(_, (name, _))| *name == service);
    begins - FIRST_JOB_LEAD_TIME + SignedDuration::from_hours(place.map_or(0, |(place, _)| place))
}

/// The CI jobs whose reports are still to be made, and the client that makes them.
pub(super) struct Jobs {
    client: Client,
    events: std::iter::Peekable<std::vec::IntoIter<JobEvent>>,
    /// Reports made so far.
    pub(super) reports: usize,
}

impl Jobs {
    /// Takes the jobs of the history, and creates the pipelines, which exist before their first job.
    pub(super) async fn new(client: Client, history: &mut History) -> anyhow::Result<Self> {
        for (name, description) in PIPELINES {
            let flow = FlowRequest {
                name: name.to_owned(),
                description: description.to_owned(),
                visibility: Some("public".to_owned()),
            };
            let template = format!(
                "version: 1\ntrail:\n  artifacts:\n  - name: {name}\n    attestations:\n    \
                 - {{name: {COVERAGE_EVIDENCE}, type: generic}}\n"
            );
            let filename = "template.yml".to_owned();
            let template = Attachment { filename, content: template.into_bytes() };
            client.save_flow(&flow, Some(&template)).await?;
        }
        let events = std::mem::take(&mut history.jobs).into_iter().peekable();
        Ok(Self { client, events, reports: 0 })
    }

    /// Makes the reports that are due until `end`, each with the clock frozen at its time.
    pub(super) async fn run_until(
        &mut self,
        end: Timestamp,
        clock: &HistoryClock,
    ) -> anyhow::Result<()> {
        while let Some(event) = self.events.next_if(|event| event.at <= end) {
            clock.freeze_at(event.at);
            self.report(&event).await?;
            self.reports += 1;
        }
        Ok(())
    }

    /// Posts one report: an artifact, its coverage, or a deployment.
    async fn report(&self, JobEvent { at, image, step }: &JobEvent) -> anyhow::Result<()> {
        let flow = story::service(image);
        let fingerprint = story::digest(image);
        let build = Build::new(image, *at);
        match step {
            JobStep::Artifact => {
                let report = json!({
                    "fingerprint": fingerprint,
                    "filename": format!("cyberdojo/{image}"),
                    "git_commit": build.commit,
                    "git_commit_info": build.commit_info(),
                    "commit_url": build.commit_url(),
                    "build_url": build.url,
                    "repo_url": build.repository,
                    "trail_name": build.commit,
                    "template_reference_name": flow,
                });
                self.client.report_artifact(flow, &report).await?;
            }
            JobStep::Coverage => {
                let report = json!({
                    "attestation_name": COVERAGE_EVIDENCE,
                    "artifact_fingerprint": fingerprint,
                    "is_compliant": true,
                    "git_commit_info": build.commit_info(),
                    "user_data": {},
                });
                let address = (flow, &*build.commit, "generic");
                self.client.report_attestation(address, &report, None).await?;
            }
            JobStep::Deployment { environment } => {
                let report = json!({
                    "artifact_fingerprint": fingerprint,
                    "environment": environment,
                    "build_url": build.url,
                });
                self.client.report_deployment(flow, &report).await?;
            }
        }
        Ok(())
    }
}

/// What a job knows of the commit that it builds.
struct Build<'a> {
    image: &'a str,
    at: Timestamp,
    commit: String,
    repository: String,
    url: String,
}

impl<'a> Build<'a> {
    fn new(image: &'a str, at: Timestamp) -> Self {
        let repository = format!("https://github.com/{ORG}/{}", story::service(image));
        let url = format!("{repository}/actions/runs/{}", run_number(image));
        Self { image, at, commit: commit_hash(image), repository, url }
    }

    fn commit_url(&self) -> String {
        format!("{}/commit/{}", self.repository, self.commit)
    }

    /// The commit as reports carry it.
    fn commit_info(&self) -> Value {
        json!({
            "sha1": self.commit,
            "message": format!("A new version of {}", story::service(self.image)),
            "author": "A Developer <developer@example.com>",
            "timestamp": (self.at - SignedDuration::from_mins(3)).as_second(),
            "branch": "main",
            "url": self.commit_url(),
        })
    }
}

/// The hash of the commit that an image was built from: 40 digits, which begin with the image's tag.
fn commit_hash(image: &str) -> String {
    match image {
        "runner:16d9990" => "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4".to_owned(),
        "runner:85d83c6" => "85d83c6ab8e0ce800baeef3dfa4fa9f6eee338a4".to_owned(),
        _ => {
            let (_, tag) = image.split_once(':').unwrap_or_default();
            let rest = hex::encode(Sha256::digest(format!("commit of {image}")));
            format!("{tag}{rest}").chars().take(40).collect()
        }
    }
}

/// The number of the workflow's run at GitHub.
fn run_number(image: &str) -> u64 {
    if image == "runner:16d9990" {
        return 2_902_808_452;
    }
    let hash = Sha256::digest(format!("run of {image}"));
    2_900_000_000 + u64::from(u16::from_be_bytes([hash[0], hash[1]]))
}
