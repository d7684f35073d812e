//! The recorder, as a process of its own that asks for a token.

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

pub(crate) const ORG: &str = "cyber-dojo";
pub(crate) const ENVIRONMENT: &str = "aws-prod";
pub(crate) const WRITES: &str = "a-token-that-writes";
pub(crate) const READS: &str = "a-token-that-reads";

pub(crate) struct Recorder {
    pub(crate) url: String,
    /// Ended when this is dropped.
    _process: Child,
    _directory: TempDir,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Which signs heads with the key in this file.
    pub(crate) async fn signing(key: &Path) -> Self {
        Self::start_with(&[OsStr::new("--signing-key"), key.as_os_str()]).await
    }

    async fn start_with(arguments: &[&OsStr]) -> Self {
        let directory = TempDir::new().unwrap();
        let tokens = directory.path().join("tokens");
        let lines =
            format!("{WRITES} label=writer org={ORG} write\n{READS} label=reader org={ORG} read\n");
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
        let mut errors = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = errors.next_line().await.unwrap().unwrap();
        let (_, url) = line.split_once(" on ").unwrap_or_else(|| panic!("no address: {line}"));
        let url = url.to_owned();
        // Its log: or the pipe fills up, and the recorder waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = errors.next_line().await {} });
        Self { url, _process: process, _directory: directory }
    }

    /// What leads the server's clients here.
    pub(crate) fn variables(&self) -> [(&str, &str); 4] {
        server_variables(&self.url)
    }

    /// The snapshot that an expression names, or the recorder's error.
    pub(crate) async fn snapshot(&self, expression: &str) -> Result<RecordedSnapshot, String> {
        let url = format!("{}/api/v2/snapshots/{ORG}/{ENVIRONMENT}/{expression}", self.url);
        let answer = reqwest::Client::new().get(url).bearer_auth(READS).send().await.unwrap();
        let text = answer.text().await.unwrap();
        serde_json::from_str(&text).map_err(|_| text)
    }

    /// The index of the latest snapshot, and each running artifact's name, digest and replicas.
    pub(crate) async fn latest(&self) -> (u64, Vec<(String, String, u64)>) {
        let latest = self.snapshot("-1").await.unwrap();
        let mut running: Vec<_> = latest
            .running()
            .map(|a| (a.name.clone(), a.fingerprint.clone().unwrap(), a.annotation.now))
            .collect();
        running.sort();
        (latest.index, running)
    }
}

/// What leads the server's clients to `host`.
pub(crate) fn server_variables(host: &str) -> [(&str, &str); 4] {
    [
        ("KOSLI_HOST", host),
        ("KOSLI_ORG", ORG),
        ("KOSLI_API_TOKEN", WRITES),
        ("KOSLI_NO_UPDATE_CHECK", "1"),
    ]
}
