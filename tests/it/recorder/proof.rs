//! Proof bundles: what they say, and that no change to one remains unnoticed.

mod archive;
mod environment;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use envsnap::recorder::domain::Head;
use envsnap::recorder::proof::{ProofError, Summary, verify_bundle};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::provenance::requests::{COMMIT, document};
use super::server::{Recorder, digest, task};
use crate::questions::{Answer, ask, ask_at};

/// The recorder's clock at the beginning, in seconds since the Unix epoch: 2022-08-22T09:39:22Z.
const START: i64 = 1_661_161_162;
/// In seconds.
const HOUR: f64 = 3_600.0;

/// A recorder to which a day of environment `prod` was reported: `web` with evidence and a file,
/// scaled once; a miner for an hour; and ten hours without a report.
async fn recorder_with_one_day() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("prod", Some(true)).await;
    recorder.create("beta", Some(true)).await;
    recorder.artifact("acme", "web", "trail-1", &digest(1)).await;
    let evidence = json!({
        "attestation_name": "unit-test", "artifact_fingerprint": digest(1), "is_compliant": true,
    });
    let file = Some(("attachment_file", &b"all 12 tests passed\n"[..]));
    let path = "/attestations/acme/web/trail/trail-1/generic";
    let answer = recorder.send_parts(Method::POST, path, document(&evidence, file)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let web = |id| task(id, "web:1", &digest(1), START + 60);
    let miner = || task(9, "=evil/miner\u{202e}:latest", &digest(9), START + 7_200);
    recorder.advance(60.0);
    assert_eq!(recorder.report("prod", &[web(1)]).await, 201);
    recorder.advance(HOUR);
    assert_eq!(recorder.report("prod", &[web(1), web(2)]).await, 201);
    recorder.advance(HOUR);
    assert_eq!(recorder.report("prod", &[web(1), web(2), miner()]).await, 201);
    recorder.advance(HOUR);
    assert_eq!(recorder.report("prod", &[web(1), web(2)]).await, 201);
    assert_eq!(recorder.report("beta", &[web(1)]).await, 201);
    recorder.advance(10.0 * HOUR);
    assert_eq!(recorder.report("prod", &[web(1), web(2)]).await, 200);
    recorder
}

/// A proof bundle of `prod`, in a directory of its own.
struct Bundle {
    folder: TempDir,
    path: PathBuf,
}

impl Bundle {
    /// A path at which there is no bundle yet.
    fn not_created() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proof.tar");
        Self { folder, path }
    }

    /// Runs `envsnap proof prod` with this file as output.
    async fn run_proof(&self, recorder: &Recorder, more: &[&str]) -> Answer {
        let file = self.path.to_str().unwrap();
        ask_at(&recorder.url, &[&["proof", "prod", "-o", file], more].concat()).await
    }

    /// A bundle of `prod` that is created with these options.
    async fn create(recorder: &Recorder, arguments: &[&str]) -> Self {
        let bundle = Self::not_created();
        bundle.run_proof(recorder, arguments).await.success();
        bundle
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    /// Content of the members, by name.
    fn members(&self) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(std::fs::File::open(&self.path).unwrap());
        let members = archive.entries().unwrap().map(|member| {
            let mut member = member.unwrap();
            let mut text = String::new();
            member.read_to_string(&mut text).unwrap();
            (member.path().unwrap().to_str().unwrap().to_owned(), text)
        });
        members.collect()
    }

    /// Replaces the file by one with these members, in the order of `original`.
    fn rewrite(&self, original: &[u8], members: &BTreeMap<String, String>) {
        let mut old = tar::Archive::new(original);
        let mut new = tar::Builder::new(Vec::new());
        for member in old.entries().unwrap() {
            let mut header = member.unwrap().header().clone();
            let name = header.path().unwrap().to_str().unwrap().to_owned();
            let Some(content) = members.get(&name) else { continue };
            header.set_size(content.len() as u64);
            header.set_cksum();
            new.append(&header, content.as_bytes()).unwrap();
        }
        std::fs::write(&self.path, new.into_inner().unwrap()).unwrap();
    }

    /// Verifies the bundle in this process.
    async fn verify(&self, head: Option<&Head>) -> Result<Summary, ProofError> {
        verify_bundle(&self.path, head, None).await
    }

    /// The head of the ledger in the bundle.
    async fn head(&self) -> Head {
        self.verify(None).await.unwrap().head.head
    }
}

/// The hash of an entry in the ledger of a bundle.
fn entry_hash(ledger: &str, seq: usize) -> String {
    let entry: Value = serde_json::from_str(ledger.lines().nth(seq - 1).unwrap()).unwrap();
    entry["hash"].as_str().unwrap().to_owned()
}

/// Runs `envsnap verify` on a bundle.
async fn verify(path: &Path, more: &[&str]) -> Answer {
    ask(&[&["verify", path.to_str().unwrap()], more].concat(), &[]).await
}

#[tokio::test]
async fn bundle_has_runs_events_snapshots_evidence_and_times_not_covered() {
    let recorder = recorder_with_one_day().await;
    let bundle = Bundle::create(&recorder, &[]).await;
    recorder.stop().await;
    let members = bundle.members();
    let lines = |name: &str| members[name].lines().map(str::to_owned).collect::<Vec<_>>();

    let (web, miner) = (digest(1), digest(9));
    assert_eq!(
        lines("runs.csv")[1..],
        [
            format!(
                "'=evil/miner\u{202e}:latest,{miner},1,3,2022-08-22T11:40:22.5Z,false,4,2022-08-22T12:40:22.5Z,\
                 2022-08-22T11:39:22Z,3,2022-08-22T11:40:22.5Z,false,2022-08-22T11:40:22.5Z,repository,rogue,,,,,,"
            ),
            format!(
                "web:1,{web},1,1,2022-08-22T09:40:22.5Z,false,2,2022-08-22T10:40:22.5Z,\
                 2022-08-22T09:40:22Z,1,2022-08-22T09:40:22.5Z,true,2022-08-22T09:40:22.5Z,,known,,,web,{COMMIT},COMPLIANT,"
            ),
            format!(
                "web:1,{web},2,2,2022-08-22T10:40:22.5Z,false,,,\
                 2022-08-22T09:40:22Z,1,2022-08-22T09:40:22.5Z,true,2022-08-22T22:40:22.5Z,,known,,,web,{COMMIT},COMPLIANT,"
            ),
        ]
    );
    assert_eq!(
        lines("snapshots.csv")[4],
        format!(
            "4,2022-08-22T12:40:22.5Z,,2022-08-22T22:40:22.5Z,anonymous,10,{}",
            entry_hash(&members["ledger.jsonl"], 10)
        )
    );
    assert_eq!(
        lines("events.csv")[2],
        format!(
            "3,2022-08-22T11:40:22.5Z,'=evil/miner\u{202e}:latest,{miner},0,1,repository,anonymous"
        )
    );
    assert_eq!(lines("not-covered.csv")[1..], ["2022-08-22T12:40:22.5Z,2022-08-22T22:40:22.5Z"]);
    assert_eq!(lines("events.csv").len(), 4);
    let evidence = lines("evidence.csv");
    assert!(
        evidence[1].starts_with(&format!("cyberdojo/runner:16d9990,{web},unit-test,generic,true,")),
        "{evidence:?}"
    );
    let attachments: Vec<_> =
        members.iter().filter(|(name, _)| name.starts_with("attachments/")).collect();
    assert_eq!(attachments.len(), 1);
    assert_eq!(attachments[0].1, "all 12 tests passed\n");
    let snapshot: Value = serde_json::from_str(&members["snapshots/3.json"]).unwrap();
    assert_eq!(
        (snapshot["index"].as_u64(), snapshot["artifacts"].as_array().unwrap().len()),
        (Some(3), 2)
    );
    assert!(members.contains_key(&format!("artifacts/{web}.json")));
    assert!(!members.contains_key(&format!("artifacts/{miner}.json")));
    let report = &members["report.html"];
    for part in [
        "no report from 2022-08-22 12:40:22 UTC to 2022-08-22 22:40:22 UTC",
        "1 artifact ran that no pipeline had reported when it started",
        "first time here: repository",
        "confirmed until 2022-08-22 22:40:22 UTC",
        "prefers-color-scheme: dark",
        "aria-labelledby=\"what-ran\"",
        &web,
    ] {
        assert!(report.contains(part), "no {part} in {report}");
    }
    for part in ["http:", "https:", "src=", "<script", "\u{202e}"] {
        assert!(!report.contains(part), "{part} in {report}");
    }

    // Without the recorder.
    let expected = verify(&bundle.path, &[]).await.success();
    assert!(
        expected.contains("4 snapshots, 2 artifacts, 1 attachment, 1 time not covered"),
        "{expected}"
    );
    assert!(expected.contains("consistent with itself"), "{expected}");
    let head = bundle.head().await.to_string();
    let expected = verify(&bundle.path, &["--head", &head]).await.success();
    assert!(!expected.contains("consistent with itself"), "{expected}");
}

#[tokio::test]
async fn bundle_with_since_and_until_covers_only_that_time() {
    let recorder = recorder_with_one_day().await;
    let options = ["--since", "2022-08-22T11:00:00Z", "--until", "2022-08-22T12:00:00Z"];
    let bundle = Bundle::create(&recorder, &options).await;
    let members = bundle.members();
    let runs: Vec<_> = members["runs.csv"].lines().skip(1).collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs[1].contains(",2,2,2022-08-22T10:40:22.5Z,false,,,"), "{runs:?}");
    assert!(runs[1].contains(",true,2022-08-22T11:40:22.5Z,,known,"), "{runs:?}");
    assert!(members["not-covered.csv"].lines().count() == 1);
    let names: Vec<_> = members.keys().filter(|name| name.starts_with("snapshots/")).collect();
    assert_eq!(names, ["snapshots/2.json", "snapshots/3.json"]);
    let summary = bundle.verify(None).await.unwrap();
    assert_eq!((summary.from.0, summary.to.0), (1_661_166_000_999_999, 1_661_169_600_999_999));

    // The printed time of a snapshot, which was recorded half a second later, finds it.
    let bundle = Bundle::create(&recorder, &["--until", "2022-08-22T10:40:22Z"]).await;
    assert!(bundle.members().contains_key("snapshots/2.json"));
    let bundle = Bundle::create(&recorder, &["--since", "2022-08-22T10:40:22Z"]).await;
    assert!(!bundle.members().contains_key("snapshots/1.json"));

    for nothing in [["--until", "2022-08-22T09:00:00Z"], ["--since", "2022-08-23T00:00:00Z"]] {
        let refused = Bundle::not_created().run_proof(&recorder, &nothing).await.failed();
        assert!(refused.contains("no snapshot of environment 'prod' in that time"), "{refused}");
    }
    let refused = bundle.run_proof(&recorder, &[]).await.failed();
    assert!(refused.contains("exists already"), "{refused}");
    let wrong = ["--since", "2022-08-23", "--until", "2022-08-22"];
    let refused = Bundle::not_created().run_proof(&recorder, &wrong).await.failed();
    assert!(refused.contains("--since is not before --until"), "{refused}");
}

#[tokio::test]
async fn the_same_ledger_makes_the_same_bundle_from_a_server_and_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("prod", None).await;
    recorder.report("prod", &[task(1, "web:1", &digest(1), START)]).await;
    let one = Bundle::create(&recorder, &[]).await;
    recorder.advance(60.0);
    assert_eq!(recorder.report("prod", &[task(1, "web:1", &digest(1), START)]).await, 200);
    let other = Bundle::create(&recorder, &[]).await;
    recorder.stop().await;
    let local = Bundle::not_created();
    let db = ["proof", "prod", "--db", file.to_str().unwrap(), "-o", local.path.to_str().unwrap()];
    ask(&db, &[]).await.success();
    assert_eq!(one.bytes(), other.bytes(), "the second report is not in the ledger");
    assert_eq!(one.bytes(), local.bytes());
}

/// A bundle is verified by making its files again: an older one verifies only with a version that
/// writes the same bytes.
#[tokio::test]
async fn bundle_bytes_change_only_with_the_format_number() {
    let bundle = Bundle::create(&recorder_with_one_day().await, &[]).await;
    let scope: Value = serde_json::from_str(&bundle.members()["bundle.json"]).unwrap();
    let found = (scope["format"].as_u64(), hex::encode(Sha256::digest(bundle.bytes())));
    assert_eq!(
        found,
        (Some(4), "4607fc80842e24e62513e5efe2f05e58627221c2f43ce1ac36c99c343b9a9983".to_owned()),
        "increase FORMAT in crates/recorder/src/proof/mod.rs, and set format and hash here"
    );
}

#[tokio::test]
#[ignore = "takes long"]
async fn each_of_300_random_changes_to_a_bundle_fails_verification() {
    let recorder = recorder_with_one_day().await;
    let bundle = Bundle::create(&recorder, &[]).await;
    let head = bundle.head().await;
    let good = bundle.bytes();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..300 {
        let mut changed = good.clone();
        let at = random.usize(..good.len());
        let what = match random.u8(..6) {
            0 => {
                changed[at] ^= 1 << random.u8(..8);
                "flip a bit"
            }
            1 => {
                changed.insert(at, random.u8(..));
                "insert a byte"
            }
            2 => {
                changed.remove(at);
                "remove a byte"
            }
            3 => {
                changed.truncate(at);
                "cut it off"
            }
            4 => {
                changed.extend_from_slice(&good[at..]);
                "add to it"
            }
            _ => {
                let other = random.usize(..good.len());
                let (from, to) = (at.min(other), at.max(other));
                changed[from..to].reverse();
                "reverse a part"
            }
        };
        if changed == good {
            continue;
        }
        std::fs::write(&bundle.path, &changed).unwrap();
        let verified = bundle.verify(Some(&head)).await;
        assert!(verified.is_err(), "seed {seed}, round {round}: {what} at {at}: {verified:?}");
    }
    std::fs::write(&bundle.path, &good).unwrap();
    bundle.verify(Some(&head)).await.unwrap();
}

#[tokio::test]
async fn each_targeted_change_to_a_bundle_fails_verification_with_a_message_that_names_it() {
    let recorder = recorder_with_one_day().await;
    let bundle = Bundle::create(&recorder, &[]).await;
    let head = bundle.head().await;
    let (original, good) = (bundle.bytes(), bundle.members());
    let attachment = good.keys().find(|name| name.starts_with("attachments/")).unwrap().clone();
    let with = |name: &str, change: &dyn Fn(&str) -> String| {
        let mut members = good.clone();
        let changed = change(&members[name]);
        assert_ne!(changed, members[name], "{name}");
        members.insert(name.to_owned(), changed);
        members
    };
    let without = |name: &str| {
        let mut members = good.clone();
        members.remove(name).unwrap();
        members
    };
    let last_line_away = |text: &str| {
        let cut = text.trim_end().rfind('\n').unwrap();
        text[..=cut].to_owned()
    };
    for (members, expected) in [
        (with("runs.csv", &|text| text.replace("rogue", "known")), "runs.csv does not follow"),
        (
            with("report.html", &|text| text.replace("no report", "a report")),
            "report.html does not",
        ),
        (with("README.txt", &|text| text.to_uppercase()), "README.txt does not"),
        (
            with("snapshots/3.json", &|text| text.replace(&digest(9), &digest(1))),
            "snapshots/3.json",
        ),
        (with(&attachment, &|text| text.replace("12", "13")), "has another content"),
        (without(&attachment), &*attachment),
        (without("events.csv"), "events.csv does not"),
        (without("ledger.jsonl"), "it has no ledger.jsonl"),
        (with("ledger.jsonl", &last_line_away), "does not end with its head"),
        (with("ledger.jsonl", &|text| text.replacen("beta", "bata", 1)), "breaks at entry 2"),
        (
            with("ledger.jsonl", &|text| text.replacen("\",\"", "\", \"", 1)),
            "ledger.jsonl does not",
        ),
        (with("bundle.json", &|text| text.replace("prod", "beta")), "does not follow"),
        (with("bundle.json", &|text| text.replace("\"format\": 4", "\"format\": 3")), "format 3"),
        (with("bundle.json", &|text| text.replace('}', ",\"more\": 1}")), "unknown field"),
        (with("head.txt", &|text| text.replace("seq=", "seq=1")), "does not end with its head"),
    ] {
        bundle.rewrite(&original, &members);
        let error = bundle.verify(Some(&head)).await.unwrap_err();
        let error = envsnap_model::error_chain(&error);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn bundle_of_a_rewritten_ledger_fails_verification_only_with_a_kept_head() {
    let recorder = recorder_with_one_day().await;
    let honest = Bundle::create(&recorder, &[]).await;
    let head = honest.head().await;
    // The same day, without the miner.
    let other = Recorder::start().await;
    other.create("prod", Some(true)).await;
    other.report("prod", &[task(1, "web:1", &digest(1), START)]).await;
    let forged = Bundle::create(&other, &[]).await;
    forged.verify(None).await.unwrap();
    let error = forged.verify(Some(&head)).await.unwrap_err();
    assert!(matches!(error, ProofError::UnknownHead { .. }), "{error}");
    // A head from the middle of the ledger is as good as the last one.
    let hash = entry_hash(&honest.members()["ledger.jsonl"], 4);
    let earlier = format!("org=acme; seq=4; hash={hash}");
    honest.verify(Some(&earlier.parse().unwrap())).await.unwrap();
    drop(honest.folder);
}
