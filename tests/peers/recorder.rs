//! A recorder process, `envsnap serve`, that requires a token.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use envsnap::api::wire::RecordedSnapshot;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::programs::envsnap;

/// The organization that both tokens are for.
pub(crate) const ORG: &str = "cyber-dojo";
/// The environment that most tests report.
pub(crate) const ENVIRONMENT: &str = "aws-prod";
pub(crate) const WRITE_TOKEN: &str = "a-token-that-writes";
pub(crate) const READ_TOKEN: &str = "a-token-that-reads";

/// Runs until it is dropped, with an empty database of its own.
pub(crate) struct Recorder {
    pub(crate) url: String,
    /// Killed when this is dropped.
    _process: Child,
    _directory: TempDir,
}

impl Recorder {
    /// Starts a recorder that accepts both tokens and signs nothing.
    pub(crate) async fn start() -> Self {
        Self::start_with_arguments(&[]).await
    }

    /// Starts a recorder that signs the heads of its ledger with the private key in this file.
    pub(crate) async fn start_with_signing_key(key: &Path) -> Self {
        Self::start_with_arguments(&[OsStr::new("--signing-key"), key.as_os_str()]).await
    }

    /// Starts a recorder with these further arguments of `envsnap serve`.
    async fn start_with_arguments(arguments: &[&OsStr]) -> Self {
        let directory = TempDir::new().unwrap();
        let tokens = directory.path().join("tokens");
        let lines = format!(
            "{WRITE_TOKEN} label=writer org={ORG} write\n{READ_TOKEN} label=reader org={ORG} read\n"
        );
        std::fs::write(&tokens, lines).unwrap();
        std::fs::set_permissions(&tokens, Permissions::from_mode(0o600)).unwrap();
        let mut process = envsnap()
            .args(["serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(directory.path().join("snapshots.db"))
            .arg("--token-file")
            .arg(tokens)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let first_line = log.next_line().await.unwrap().unwrap();
        let (_, url) =
            first_line.split_once(" on ").unwrap_or_else(|| panic!("no address: {first_line}"));
        let url = url.to_owned();
        // The log is read to its end: the recorder would block once the pipe is full.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self { url, _process: process, _directory: directory }
    }

    /// The environment variables with which a client uses this recorder, with the token for writing.
    pub(crate) fn variables(&self) -> [(&str, &str); 4] {
        server_variables(&self.url)
    }

    /// The snapshot of [`ENVIRONMENT`] that `expression` selects, such as `-1`, or the recorder's error.
    pub(crate) async fn snapshot(&self, expression: &str) -> Result<RecordedSnapshot, String> {
        let url = format!("{}/api/v2/snapshots/{ORG}/{ENVIRONMENT}/{expression}", self.url);
        let response =
            reqwest::Client::new().get(url).bearer_auth(READ_TOKEN).send().await.unwrap();
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).map_err(|_| text)
    }

    /// The index of the latest snapshot, and the name, digest and replicas of each artifact in it, sorted.
    pub(crate) async fn latest_snapshot(&self) -> (u64, Vec<(String, String, u64)>) {
        let latest = self.snapshot("-1").await.unwrap();
        let mut running: Vec<_> = latest
            .running()
            .map(|a| (a.name.clone(), a.fingerprint.clone().unwrap(), a.annotation.now))
            .collect();
        running.sort();
        (latest.index, running)
    }
}

/// The environment variables with which a client uses the server at `url`, with the token for writing.
pub(crate) fn server_variables(url: &str) -> [(&str, &str); 4] {
    [
        ("KOSLI_HOST", url),
        ("KOSLI_ORG", ORG),
        ("KOSLI_API_TOKEN", WRITE_TOKEN),
        ("KOSLI_NO_UPDATE_CHECK", "1"),
    ]
}
