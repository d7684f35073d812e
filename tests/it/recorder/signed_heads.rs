//! Heads that are signed, and heads that leave the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use envsnap_model::SignedHead;
use serde_json::Value;
use tempfile::TempDir;

use super::crash::Process;
use super::server::{digest, task, write_secret};

/// The example Ed25519 private key of RFC 8410, and its public key.
const PRIVATE_KEY_PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const PUBLIC_KEY_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

/// The public key of another signing key.
const OTHER_PUBLIC_KEY_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

/// A folder with a signing key, its public key and another public key.
struct KeyFiles {
    folder: TempDir,
}

impl KeyFiles {
    fn new() -> Self {
        let keys = Self { folder: tempfile::tempdir().unwrap() };
        write_secret(Path::new(&keys.path("key.pem")), PRIVATE_KEY_PEM);
        std::fs::write(keys.path("key.pub"), PUBLIC_KEY_PEM).unwrap();
        std::fs::write(keys.path("other.pub"), OTHER_PUBLIC_KEY_PEM).unwrap();
        keys
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

fn db(folder: &TempDir) -> PathBuf {
    folder.path().join("snapshots.db")
}

/// Runs `envsnap verify --db FILE` with more options.
fn verify(file: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .args(["verify", "--db"])
        .arg(file)
        .args(more)
        .env_clear()
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn signing_key_signs_heads_in_header_api_and_head_log_and_verify_checks_them() {
    let (keys, folder) = (KeyFiles::new(), tempfile::tempdir().unwrap());
    let head_log = folder.path().join("heads.log");
    let mut recorder = Process::start_with(&db(&folder), |command| {
        command.args(["--signing-key", &keys.path("key.pem"), "--head-log"]).arg(&head_log);
    })
    .await;
    recorder.create("env").await;
    let body = serde_json::json!({"artifacts": [task(1, "web", &digest(1), 1)]});
    let answer = recorder.put("/environments/acme/env/report/ECS", &body).await;
    assert_eq!(answer.status(), 201);
    let header = answer.headers()["x-envsnap-head"].to_str().unwrap().to_owned();

    let (text, signature) = header.split_once("; key=").unwrap();
    let (key, signature) = signature.split_once("; signature=").unwrap();
    assert!(text.starts_with("org=acme; seq=2; hash="), "{header}");
    assert!(recorder.log().contains(&format!("signed with key {key}")), "{}", recorder.log());

    let (status, head) = recorder.get("/ledger/acme/head").await;
    assert_eq!(status, 200);
    assert_eq!(
        (&head["text"], &head["key"], &head["signature"]),
        (&text.into(), &key.into(), &signature.into())
    );
    let (status, page) = recorder.get("/ledger/acme/entries?after=1").await;
    assert_eq!((status, page["entries"].as_array().unwrap().len()), (200, 1));
    assert_eq!(page["entries"][0]["hash"], head["hash"]);
    let (status, _) = recorder.get("/ledger/acme/entries?after=-1").await;
    assert_eq!(status, 400);
    let (_, empty) = recorder.get("/ledger/other/head").await;
    assert_eq!(empty["seq"], 0);

    recorder.end("-TERM").await;
    let lines = std::fs::read_to_string(&head_log).unwrap();
    let (_, last) = lines.lines().last().unwrap().split_once(' ').unwrap();
    assert_eq!(last, header, "the head log has the last head, also of a stop within a minute");

    let public = keys.path("key.pub");
    let verified = verify(&db(&folder), &["--head", &header, "--public-key", &public]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let changed = header.replace("seq=2", "seq=1");
    let refused = verify(&db(&folder), &["--head", &changed, "--public-key", &public]);
    assert!(
        stderr(&refused).contains("the signature does not match this head"),
        "{}",
        stderr(&refused)
    );
    let unsigned = verify(&db(&folder), &["--head", text, "--public-key", &public]);
    assert!(stderr(&unsigned).contains("is not signed"), "{}", stderr(&unsigned));
    let refused =
        verify(&db(&folder), &["--head", &header, "--public-key", &keys.path("other.pub")]);
    assert!(stderr(&refused).contains(&format!("signed by key {key}")), "{}", stderr(&refused));
    let refused = verify(&db(&folder), &["--head", &header, "--public-key", &keys.path("key.pem")]);
    assert!(stderr(&refused).contains("is not an Ed25519 public key"), "{}", stderr(&refused));
}

#[tokio::test]
async fn unwritable_head_log_is_logged_as_error_and_reports_still_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Process::start_with(&db(&folder), |command| {
        command.args(["--head-log", "/dev/full"]);
    })
    .await;
    recorder.create("env").await;
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    recorder.end("-TERM").await;
    recorder.logged("cannot write the head log /dev/full").await;
}

#[test]
fn head_log_path_of_a_database_file_or_a_pipe_without_reader_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let start = |head_log: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_envsnap"))
            .args(["serve", "--listen", "127.0.0.1:0", "--head-log"])
            .arg(head_log)
            .arg("--db")
            .arg(db(&folder))
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        stderr(&output)
    };
    let own = |ending: &str| folder.path().join(format!("snapshots.db{ending}"));
    // Before the first start, and of a file by another name.
    for ending in ["", "-wal", "-shm", ".lock"] {
        assert!(start(&own(ending)).contains("is a file of the database"), "{ending}");
        assert!(!own(ending).exists(), "{ending}");
    }
    std::fs::write(db(&folder), "").unwrap();
    let (link, hard_link) = (folder.path().join("link"), folder.path().join("hard"));
    std::os::unix::fs::symlink(db(&folder), &link).unwrap();
    std::fs::hard_link(db(&folder), &hard_link).unwrap();
    for path in [&link, &hard_link] {
        assert!(start(path).contains("is a file of the database"), "{}", path.display());
    }
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(start(&pipe).contains("cannot open the head log"), "{}", start(&pipe));
}

#[tokio::test]
async fn head_log_ending_in_a_partial_line_is_continued_on_a_new_line() {
    let folder = tempfile::tempdir().unwrap();
    let head_log = folder.path().join("heads.log");
    std::fs::write(&head_log, "2026-11-28T14:31:30Z org=acme; seq=1; ha").unwrap();
    let mut recorder = Process::start_with(&db(&folder), |command| {
        command.arg("--head-log").arg(&head_log);
    })
    .await;
    recorder.create("env").await;
    recorder.end("-TERM").await;
    let lines = std::fs::read_to_string(&head_log).unwrap();
    let (_, head) = lines.lines().nth(1).unwrap().split_once(' ').unwrap();
    let head: SignedHead = head.parse().unwrap();
    assert_eq!(head.head.seq, 1);
}

#[test]
fn unusable_signing_key_file_is_rejected_with_the_command_that_fixes_it() {
    let keys = KeyFiles::new();
    let folder = tempfile::tempdir().unwrap();
    let start = |key: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_envsnap"))
            .args(["serve", "--listen", "127.0.0.1:0", "--signing-key", key, "--db"])
            .arg(db(&folder))
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        stderr(&output)
    };
    let wrong = keys.path("wrong.pem");
    write_secret(Path::new(&wrong), PUBLIC_KEY_PEM);
    assert!(start(&wrong).contains("openssl genpkey -algorithm ed25519"), "{}", start(&wrong));
    let mode = Command::new("chmod").args(["644", &keys.path("key.pem")]).status().unwrap();
    assert!(mode.success());
    let exposed = start(&keys.path("key.pem"));
    assert!(
        exposed.contains("every user may read it") && exposed.contains("chmod 600"),
        "{exposed}"
    );
    assert!(start("/does/not/exist").contains("cannot read the signing key"), "missing");
}

#[tokio::test]
async fn without_a_key_heads_are_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Process::start(&db(&folder)).await;
    recorder.create("env").await;
    let (_, head) = recorder.get("/ledger/acme/head").await;
    assert_eq!((&head["key"], &head["signature"]), (&Value::Null, &Value::Null));
    let text: SignedHead = head["text"].as_str().unwrap().parse().unwrap();
    assert_eq!(text.signature, None);
    assert_eq!(text.head.seq, 1);
}
