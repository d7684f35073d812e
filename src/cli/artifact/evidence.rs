//! `envsnap artifact evidence`: what speaks for an artifact, or against it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ArgGroup;
use serde_json::{Map, Value, json};

use super::build::BuildArgs;
use super::junit;
use super::report::ReportedArtifactArgs;
use crate::api::Attachment;
use crate::cli::pipeline::pipeline_name;
use crate::cli::server_args::ServerArgs;
use crate::cli::{OutputFormat, print};

/// The server's limit for a file that is attached to evidence.
const MAX_ATTACHMENT_BYTES: u64 = 10 << 20;

/// Kinds of evidence that are all reported to the path `system`, with the kind as `type_name`.
const SYSTEM_KINDS: [&str; 2] = ["decision", "sbom"];

/// Kinds of evidence that are each reported to a path of that name.
const KINDS_WITH_OWN_PATH: [&str; 6] =
    ["generic", "junit", "snyk", "pull_request", "jira", "sonar"];

/// Report evidence: that tests passed, that a scan found nothing, that a change was reviewed
///
/// For the artifact with a fingerprint, for the one that a template names (also before it is reported),
/// or for the whole trail if neither is given. The latest evidence of a name counts.
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("results").required(true).args(["junit", "generic", "kind"])),
    // The generated line has over 100 columns.
    override_usage = "\
envsnap artifact evidence [OPTIONS] --name <NAME> <RESULTS> <PIPELINE> [FILE|DIR|IMAGE]

RESULTS is one of --junit <FILE|DIR>, --generic and --kind <KIND>",
    after_help = "Examples:
  envsnap artifact evidence runner --name unit-test --junit build/test-results --fingerprint \"$DIGEST\"
  envsnap artifact evidence runner --name runner.lint --generic --compliant true --attach lint.txt
  envsnap artifact evidence runner --name scan --kind snyk --data scan.json"
)]
pub(super) struct Arguments {
    /// The pipeline
    #[arg(value_name = "PIPELINE", value_parser = pipeline_name)]
    pipeline: String,
    #[command(flatten)]
    subject: ReportedArtifactArgs,
    /// The trail [default: the commit]
    #[arg(long, value_name = "TRAIL", value_parser = pipeline_name)]
    trail: Option<String>,
    /// The evidence's name, as in the template; or that of the artifact in the template, a dot, and it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The artifact's name in the template
    #[arg(long, value_name = "NAME")]
    template_name: Option<String>,
    #[arg(
        long,
        value_name = "FILE|DIR",
        help = "Tests: a file in JUnit's format, or a directory with such files"
    )]
    junit: Option<PathBuf>,
    /// Anything: --compliant says what came of it
    #[arg(long, requires = "compliant")]
    generic: bool,
    /// Whether it speaks for the artifact
    #[arg(long, value_name = "BOOLEAN", requires = "generic")]
    compliant: Option<bool>,
    #[arg(
        long,
        value_name = "KIND",
        value_parser = parse_kind,
        requires = "data",
        help = "Another kind, whose results are in --data: snyk, pull_request, jira, sonar, decision, \
                sbom, custom:NAME"
    )]
    kind: Option<EvidenceKind>,
    /// A file with the results as a JSON object, in the API's form
    #[arg(long, value_name = "FILE", requires = "kind")]
    data: Option<PathBuf>,
    /// A file to keep with it, of 10 MB at the most
    #[arg(long, value_name = "FILE")]
    attach: Option<PathBuf>,
    /// What it is, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    build: BuildArgs,
}

/// Where a kind of evidence is reported to, and its name if several kinds are reported there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EvidenceKind {
    path: String,
    type_name: Option<String>,
}

/// Parses the value of `--kind`.
fn parse_kind(text: &str) -> Result<EvidenceKind, String> {
    let text = text.replace('-', "_");
    let of = |path: &str, type_name: Option<&str>| EvidenceKind {
        path: path.to_owned(),
        type_name: type_name.map(str::to_owned),
    };
    match text.strip_prefix("custom:") {
        Some(name) if !name.is_empty() => Ok(of("custom", Some(name))),
        _ if SYSTEM_KINDS.contains(&&*text) => Ok(of("system", Some(&text))),
        _ if KINDS_WITH_OWN_PATH.contains(&&*text) => Ok(of(&text, None)),
        _ => Err(format!(
            "it is one of {}, {} and custom:NAME",
            KINDS_WITH_OWN_PATH.join(", "),
            SYSTEM_KINDS.join(", ")
        )),
    }
}

pub(super) async fn run(args: &ServerArgs, arguments: Arguments) -> anyhow::Result<()> {
    let mut arguments = arguments;
    let mut report = Map::new();
    let mut attachment = arguments.attach.as_deref().map(read_attachment).transpose()?;
    let (kind, tests) = add_results(&arguments, &mut report, &mut attachment)?;
    let (target, name) = match arguments.name.split_once('.') {
        Some((target, name)) => (Some(target.to_owned()), name.to_owned()),
        None => (arguments.template_name.take(), arguments.name.clone()),
    };
    let build = arguments.build.read()?;
    let trail = build.trail(arguments.trail)?;
    build.add_to(&mut report)?;
    let connection = args.connect_to_write().await?;
    let fingerprint = arguments.subject.fingerprint().await?;
    report.insert("attestation_name".to_owned(), json!(name));
    report.entry("user_data").or_insert_with(|| json!({}));
    if let Some(fingerprint) = &fingerprint {
        report.insert("artifact_fingerprint".to_owned(), json!(fingerprint));
    }
    if let Some(target) = &target {
        report.insert("target_artifacts".to_owned(), json!([target]));
    }
    if let Some(description) = &arguments.description {
        report.insert("description".to_owned(), json!(description));
    }
    if let Some(type_name) = &kind.type_name {
        report.insert("type_name".to_owned(), json!(type_name));
    }
    let address = (&*arguments.pipeline, &*trail, &*kind.path);
    let report = Value::Object(report);
    connection.client.report_attestation(address, &report, attachment.as_ref()).await?;
    print(&if args.output == OutputFormat::Json {
        let done = json!({
            "pipeline": arguments.pipeline, "trail": trail, "name": name, "kind": kind.path,
            "fingerprint": fingerprint, "target": target,
            "attachment": attachment.map(|file| file.filename),
        });
        format!("{done:#}\n")
    } else {
        let tests = tests.map(|tests| tests + "\n").unwrap_or_default();
        let pipeline = &arguments.pipeline;
        format!("Reported {name} evidence to pipeline {pipeline}, trail {trail}.\n{tests}")
    })?;
    Ok(())
}

/// Adds the results (`--junit`, `--data` or `--compliant`) to the report, and attaches the
/// file of `--junit` if no other is attached. Returns a summary of the tests, too, if there are any.
fn add_results(
    arguments: &Arguments,
    report: &mut Map<String, Value>,
    attached: &mut Option<Attachment>,
) -> anyhow::Result<(EvidenceKind, Option<String>)> {
    if let Some(path) = &arguments.junit {
        let results = junit::read(path)?;
        report.insert("junit_results".to_owned(), serde_json::to_value(&results.suites)?);
        if let ([only], None) = (&results.files[..], &attached) {
            *attached = Some(read_attachment(only)?);
        }
        let kind = EvidenceKind { path: "junit".to_owned(), type_name: None };
        return Ok((kind, Some(results.summary())));
    }
    if let (Some(kind), Some(data)) = (&arguments.kind, &arguments.data) {
        let shown = data.display();
        let text = fs::read(data).with_context(|| format!("cannot read {shown}"))?;
        let fields: Map<String, Value> = serde_json::from_slice(&text)
            .with_context(|| format!("{shown} should hold a JSON object with the results"))?;
        report.extend(fields);
        return Ok((kind.clone(), None));
    }
    report.insert("is_compliant".to_owned(), json!(arguments.compliant.unwrap_or_default()));
    Ok((EvidenceKind { path: "generic".to_owned(), type_name: None }, None))
}

/// Reads a file to attach; rejects one that is too large.
fn read_attachment(file: &Path) -> anyhow::Result<Attachment> {
    let shown = file.display();
    let cannot = || format!("cannot read {shown}");
    let metadata = fs::metadata(file).with_context(cannot)?;
    if !metadata.is_file() {
        bail!("{shown} is not a file. Put what is in it into an archive, and attach that");
    }
    if metadata.len() > MAX_ATTACHMENT_BYTES {
        bail!(
            "{shown} has {} bytes, and at most {MAX_ATTACHMENT_BYTES} are kept. Attach a smaller file, \
             or a link with --description",
            metadata.len()
        );
    }
    let filename = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Attachment { filename, content: fs::read(file).with_context(cannot)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_kind_gives_its_api_path_and_type_name() {
        let of = |text: &str| parse_kind(text).map(|kind| (kind.path, kind.type_name));
        let named = |path: &str, name: &str| Ok((path.to_owned(), Some(name.to_owned())));
        assert_eq!(of("pull-request"), Ok(("pull_request".to_owned(), None)));
        assert_eq!(of("sbom"), named("system", "sbom"));
        assert_eq!(of("custom:age"), named("custom", "age"));
        assert!(of("custom:").is_err());
        assert!(of("../x").is_err());
    }
}
