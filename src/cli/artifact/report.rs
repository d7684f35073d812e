//! `envsnap artifact report`: a pipeline built an artifact.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::build::BuildArgs;
use crate::cli::escape::replace_invisible;
use crate::cli::fingerprint::{ArtifactKind, fingerprint_of};
use crate::cli::pipeline::pipeline_name;
use crate::cli::server_args::ServerArgs;
use crate::cli::{OutputFormat, print};

/// Report an artifact that a pipeline built
///
/// For CI jobs: the commit and the build are read from git and from the variables of GitHub and GitLab,
/// unless options say them. The pipeline and the trail are made if they do not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap artifact report runner cyberdojo/runner:16d9990
  envsnap artifact report site dist --name site --template-name site
  envsnap artifact report runner --name cyberdojo/runner:16d9990 --fingerprint \"$DIGEST\"")]
pub(super) struct Arguments {
    /// The pipeline
    #[arg(value_name = "PIPELINE", value_parser = pipeline_name)]
    pipeline: String,
    #[command(flatten)]
    subject: ReportedArtifactArgs,
    /// The artifact's name [default: as the file or image is called]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The trail [default: the commit]
    #[arg(long, value_name = "TRAIL", value_parser = pipeline_name)]
    trail: Option<String>,
    /// The artifact's name in the template
    #[arg(long, value_name = "NAME")]
    template_name: Option<String>,
    #[command(flatten)]
    build: BuildArgs,
}

/// Options for the artifact that a report is about: its fingerprint, or what to fingerprint.
#[derive(Debug, clap::Args)]
pub(super) struct ReportedArtifactArgs {
    /// What to fingerprint, as envsnap fingerprint does
    #[arg(value_name = "FILE|DIR|IMAGE", conflicts_with = "fingerprint")]
    pub(super) artifact: Option<OsString>,
    /// The fingerprint, if it is known: 64 hexadecimal digits, or sha256: and those
    #[arg(long, value_name = "SHA256", value_parser = parse_fingerprint)]
    pub(super) fingerprint: Option<String>,
    /// What the artifact is [default: a path if it exists, otherwise an image]
    #[arg(short = 't', long = "type", value_enum, value_name = "TYPE", requires = "artifact")]
    artifact_type: Option<ArtifactKind>,
    /// Leave out of a directory what matches
    #[arg(short = 'x', long, value_name = "GLOB", requires = "artifact")]
    exclude: Vec<OsString>,
}

/// Parses a complete fingerprint, and returns it in lower case.
pub(in crate::cli) fn parse_fingerprint(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    Err("a fingerprint has 64 hexadecimal digits, perhaps after sha256:".to_owned())
}

impl ReportedArtifactArgs {
    /// The fingerprint that is given, or that of the artifact that is given; `None` if neither is.
    pub(super) async fn fingerprint(self) -> anyhow::Result<Option<String>> {
        match (self.fingerprint, self.artifact) {
            (Some(fingerprint), _) => Ok(Some(fingerprint)),
            (None, Some(artifact)) => {
                let found = fingerprint_of(artifact, self.artifact_type, self.exclude).await?;
                Ok(Some(found.to_string()))
            }
            (None, None) => Ok(None),
        }
    }
}

pub(super) async fn run(args: &ServerArgs, arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { pipeline, subject, name, trail, template_name, build } = arguments;
    let name = name.or_else(|| {
        let artifact = subject.artifact.as_ref()?;
        // Of an image the whole name, of a path the last part.
        let path = Path::new(artifact);
        let shown = if path.exists() { path.file_name()? } else { artifact };
        Some(shown.to_string_lossy().into_owned())
    });
    let name =
        name.context("the artifact's name is not known. Give --name, or what to fingerprint")?;
    let build = build.read()?;
    let trail = build.trail(trail)?;
    let (commit_url, build_url) = build.commit_and_build_urls()?;
    let mut report = Map::from_iter([
        ("filename".to_owned(), json!(name)),
        ("commit_url".to_owned(), json!(commit_url)),
        ("build_url".to_owned(), json!(build_url)),
        ("trail_name".to_owned(), json!(trail)),
    ]);
    if let Some(sha1) = &build.sha1 {
        report.insert("git_commit".to_owned(), json!(sha1));
    }
    if let Some(template_name) = template_name {
        report.insert("template_reference_name".to_owned(), json!(template_name));
    }
    build.add_to(&mut report)?;
    let connection = args.connect_to_write().await?;
    let fingerprint = subject.fingerprint().await?;
    let fingerprint = fingerprint
        .context("the artifact is not known. Give what to fingerprint, or --fingerprint")?;
    report.insert("fingerprint".to_owned(), json!(fingerprint));
    connection.client.report_artifact(&pipeline, &Value::Object(report)).await?;
    print(&match args.output {
        OutputFormat::Json => {
            let done = json!({
                "pipeline": pipeline, "trail": trail, "name": name, "fingerprint": fingerprint,
                "git_commit": build.sha1,
            });
            format!("{done:#}\n")
        }
        _ => format!(
            "Reported {} to pipeline {pipeline}, trail {trail}.\nSHA256: {fingerprint}\n",
            replace_invisible(&name)
        ),
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_has_64_hexadecimal_digits_in_any_case_and_is_lowercased() {
        let digits = "9AF401C4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
        let lower = digits.to_ascii_lowercase();
        assert_eq!(parse_fingerprint(digits), Ok(lower.clone()));
        assert_eq!(parse_fingerprint(&format!("sha256:{digits}")), Ok(lower));
        assert!(parse_fingerprint("9af401c").is_err());
        assert!(parse_fingerprint(&"é".repeat(32)).is_err());
    }
}
