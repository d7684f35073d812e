//! Fingerprints beside those of the `kosli` client, of directories and of images.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::programs::{ProgramOutput, command, envsnap, eventually, free_port};
use crate::tls::make_certificates;

const TREES: u64 = 200;

/// One client takes 50 ms, most of which is its start.
const AT_ONCE: usize = 4;

/// Names that are read as patterns, that are no text, and whose order depends on how they are compared.
const NAMES: [&[u8]; 18] = [
    b"a",
    b"b.txt",
    b"B.txt",
    b"c.log",
    b".hidden",
    b".git",
    b"sub",
    b"sub.d",
    b"sub-d",
    b"deep",
    b"[id]",
    b"i",
    b"a*",
    b"x\\y",
    b"two words",
    "\u{fc}nicode".as_bytes(),
    b"\xff\xfe",
    b"#note",
];

/// What is excluded: what a user writes, and what no user would.
const PATTERNS: [&str; 26] = [
    "*.txt",
    "**/*.txt",
    "**/b.txt",
    "sub",
    "sub/",
    "./sub",
    "sub/**",
    "sub**",
    "sub*",
    "**",
    "*",
    "*/*",
    "**/deep",
    "**/deep/**/*.log",
    "**/sub*/*",
    ".*",
    "[a-c]*",
    "[^a-c]*",
    "?",
    "\\[id\\]",
    "[id]/*",
    "**/[id]",
    "../*",
    "/a",
    "no/such/path",
    "link*",
];

/// Patterns that are malformed, alone or with a name in front.
const MALFORMED: [&str; 3] = ["[", "a\\", "**/[a-"];

/// A directory `tree` in a directory of its own, made by chance from `seed`.
fn random_tree(seed: u64) -> (TempDir, Rng) {
    let mut rng = Rng::with_seed(seed);
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("outside"), "outside\n").unwrap();
    let root = parent.path().join("tree");
    fs::create_dir(&root).unwrap();
    let mut directories = vec![root.clone()];
    let mut files = vec![parent.path().join("outside")];
    for number in 0..rng.usize(0..40) {
        let directory = directories[rng.usize(..directories.len())].clone();
        let path = directory.join(OsStr::from_bytes(NAMES[rng.usize(..NAMES.len())]));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match rng.u8(..10) {
            0..4 => {
                fs::create_dir(&path).unwrap();
                directories.push(path);
            }
            4..8 => {
                let content = format!("{number}\n").repeat(rng.usize(..5));
                fs::write(&path, content).unwrap();
                files.push(path);
            }
            kind => {
                let targets = if kind == 8 { &files } else { &directories };
                let target = targets[rng.usize(..targets.len())].clone();
                let link = directory.join(format!("link{number}"));
                symlink(if rng.bool() { target } else { relative(&directory, &target) }, link)
                    .unwrap();
            }
        }
    }
    if rng.u8(..3) == 0 {
        let lines =
            ["# a comment", "", "  ", ".kosli_ignore", " *.log # logs ", "c.log\r", "#note"];
        let mut text = String::new();
        for _ in 0..rng.usize(1..5) {
            let line = if rng.bool() { lines[rng.usize(..lines.len())] } else { any(&mut rng) };
            text.push_str(line);
            text.push('\n');
        }
        // Below the top it means nothing.
        for directory in [&root, &directories[rng.usize(..directories.len())]] {
            fs::write(directory.join(".kosli_ignore"), &text).unwrap();
        }
    }
    (parent, rng)
}

fn any(rng: &mut Rng) -> &'static str {
    PATTERNS[rng.usize(..PATTERNS.len())]
}

/// `target` as seen from `directory`, both below the same temporary directory.
fn relative(directory: &Path, target: &Path) -> PathBuf {
    let common = directory.components().zip(target.components()).take_while(|(a, b)| a == b);
    let common = common.count();
    let up = directory.components().skip(common).map(|_| PathBuf::from(".."));
    let path: PathBuf =
        up.chain(target.components().skip(common).map(|it| it.as_os_str().into())).collect();
    if path.as_os_str().is_empty() { ".".into() } else { path }
}

/// What a program prints of the directory; `None` if it fails.
async fn fingerprint(program: Command, at: &Path, arguments: &[String]) -> Option<String> {
    let mut program = program;
    let ended = ProgramOutput::wait(
        program.args(arguments).current_dir(at).env("KOSLI_NO_UPDATE_CHECK", "1"),
    )
    .await;
    assert!(ended.code != Some(101), "{ended:?}");
    (ended.code == Some(0)).then(|| ended.stdout.trim_end().to_owned())
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn directories_have_the_fingerprints_that_the_kosli_client_gives_them() {
    let compared = futures_util::stream::iter(0..TREES).map(async |seed| {
        let (parent, mut rng) = random_tree(seed);
        let root = parent.path().join("tree");
        let (at, given) = match rng.u8(..5) {
            0 => (root.clone(), ".".to_owned()),
            1 => (parent.path().to_owned(), "./tree/".to_owned()),
            2 => (PathBuf::from("/"), root.to_str().unwrap().to_owned()),
            _ => (parent.path().to_owned(), "tree".to_owned()),
        };
        let mut excludes = Vec::new();
        for _ in 0..rng.usize(..4) {
            let one = any(&mut rng).to_owned();
            let value = match rng.u8(..12) {
                0 => MALFORMED[rng.usize(..MALFORMED.len())].to_owned(),
                1 => ".kosli_ignore".to_owned(),
                2 => format!("{one},{}", any(&mut rng)),
                3 => format!("\"{one}\",a"),
                _ => one,
            };
            excludes.extend(["--exclude".to_owned(), value]);
        }
        let with = |first: &[&str]| -> Vec<String> {
            let first = first.iter().map(|&it| it.to_owned());
            first.chain(excludes.clone()).chain([given.clone()]).collect()
        };
        let theirs = with(&["fingerprint", "--artifact-type", "dir"]);
        let theirs = fingerprint(command("kosli"), &at, &theirs).await;
        let ours = fingerprint(envsnap(), &at, &with(&["fingerprint"])).await;
        let kept = if ours == theirs { String::new() } else { parent.keep().display().to_string() };
        assert_eq!(ours, theirs, "seed {seed}: {given} {excludes:?} in {kept}");
        (ours, !excludes.is_empty())
    });
    let compared: Vec<_> = compared.buffer_unordered(AT_ONCE).collect().await;
    // That neither of them only fails, or finds nothing.
    let distinct: std::collections::HashSet<_> = compared.iter().collect();
    let failed = compared.iter().filter(|(fingerprint, _)| fingerprint.is_none()).count();
    let excluded = compared.iter().filter(|(_, excludes)| *excludes).count();
    println!("{failed} failed, {excluded} with options, {} distinct", distinct.len());
    assert!(
        distinct.len() > 120 && failed < 40 && excluded > 100,
        "{failed} {excluded} {}",
        distinct.len()
    );
}

/// A container registry with one user.
struct Registry {
    files: TempDir,
    host: String,
    _process: Child,
}

impl Registry {
    async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let at = files.path();
        make_certificates(at).await;
        fs::write(at.join("users"), format!("alice:{PASSWORD_HASH}\n")).unwrap();
        let host = format!("127.0.0.1:{}", free_port());
        let config = json!({
            "version": 0.1,
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": at.join("data") } },
            "auth": { "htpasswd": { "realm": "test", "path": at.join("users") } },
            "http": {
                "addr": host,
                "secret": "secret",
                "tls": { "certificate": at.join("server.pem"), "key": at.join("server.key") },
            },
        });
        // YAML is a superset of it.
        fs::write(at.join("config.yml"), config.to_string()).unwrap();
        let process = command("docker-registry")
            .arg("serve")
            .arg(at.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { files, host, _process: process };
        eventually(Duration::from_secs(20), "the registry answers", async || {
            let status = registry.curl(&["/v2/"]).await;
            if status.ends_with("200") { Ok(()) } else { Err(status) }
        })
        .await;
        registry
    }

    /// The answer to a request with the last of `arguments` as path, and its status.
    async fn curl(&self, arguments: &[&str]) -> String {
        let (path, options) = arguments.split_last().unwrap();
        let ended = ProgramOutput::wait(
            Command::new("curl")
                .args(["-sS", "-w", "%{http_code}", "-u", "alice:pa55word", "--cacert"])
                .arg(self.files.path().join("root.pem"))
                .args(options)
                .arg(if path.starts_with('/') {
                    format!("https://{}{path}", self.host)
                } else {
                    (*path).to_owned()
                }),
        )
        .await;
        ended.stdout + &ended.stderr
    }

    async fn push_blob(&self, content: &str) {
        let begun = self.curl(&["-i", "-X", "POST", "/v2/a/web/blobs/uploads/"]).await;
        let header = begun.lines().find_map(|line| line.strip_prefix("location: "));
        let location = header.unwrap_or_else(|| panic!("{begun}")).trim();
        let url = format!("{location}&digest=sha256:{}", sha256(content));
        let status = self.curl(&["-X", "PUT", "-H", OCTETS, "--data-binary", content, &url]).await;
        assert!(status.ends_with("201"), "{status}");
    }

    async fn push_manifest(&self, tag: &str, kind: &str, manifest: &str) {
        let header = format!("Content-Type: {kind}");
        let path = format!("/v2/a/web/manifests/{tag}");
        let status =
            self.curl(&["-X", "PUT", "-H", &header, "--data-binary", manifest, &path]).await;
        assert!(status.ends_with("201"), "{status}");
    }
}

const OCTETS: &str = "Content-Type: application/octet-stream";

/// bcrypt of `pa55word`.
const PASSWORD_HASH: &str = "$2b$04$abcdefghijklmnopqrstuupn6eahIV9Ml9lnlQtVt1Wes7/c.Zj26";

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn images_have_the_digests_that_the_kosli_client_finds_in_a_registry() {
    let registry = Registry::start().await;
    registry.push_blob("{}").await;
    let manifest = |layers: &str| {
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{}", sha256("{}")),
                "size": 2,
            },
            "layers": [],
            "annotations": { "layers": layers },
        })
        .to_string()
    };
    let (amd64, arm64) = (manifest("x"), manifest("y"));
    let oci = "application/vnd.oci.image";
    let entry = |text: &str, architecture: &str| {
        json!({
            "mediaType": format!("{oci}.manifest.v1+json"),
            "digest": format!("sha256:{}", sha256(text)),
            "size": text.len(),
            "platform": { "architecture": architecture, "os": "linux" },
        })
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": format!("{oci}.index.v1+json"),
        "manifests": [entry(&amd64, "amd64"), entry(&arm64, "arm64")],
    })
    .to_string();
    for (tag, kind, text) in
        [("amd64", "manifest", &amd64), ("arm64", "manifest", &arm64), ("1.2", "index", &index)]
    {
        registry.push_manifest(tag, &format!("{oci}.{kind}.v1+json"), text).await;
    }

    let at = registry.files.path();
    let docker = at.join(".docker");
    fs::create_dir(&docker).unwrap();
    // alice:pa55word
    let config = json!({ "auths": { &registry.host: { "auth": "YWxpY2U6cGE1NXdvcmQ=" } } });
    fs::write(docker.join("config.json"), config.to_string()).unwrap();
    let options = ["--registry-username", "alice", "--registry-password", "pa55word"];
    let wrong = ["--registry-username", "alice", "--registry-password", "wrong"];
    let (own, without_docker) = (at.to_owned(), at.join("data"));
    for (tag, options, home, expected) in [
        ("1.2", &options[..], &without_docker, Some(sha256(&index))),
        ("1.2", &[], &own, Some(sha256(&index))),
        ("amd64", &options, &without_docker, Some(sha256(&amd64))),
        ("arm64", &[], &own, Some(sha256(&arm64))),
        ("nosuch", &options, &without_docker, None),
        ("1.2", &wrong, &own, None),
        ("1.2", &[], &without_docker, None),
    ] {
        let image = format!("{}/a/web:{tag}", registry.host);
        for (mut program, first) in [
            (envsnap(), &["fingerprint"][..]),
            (command("kosli"), &["fingerprint", "--artifact-type", "oci"]),
        ] {
            program.env("SSL_CERT_FILE", at.join("root.pem")).env("HOME", home);
            let arguments = first.iter().chain(options).map(|&it| it.to_owned());
            let arguments: Vec<_> = arguments.chain([image.clone()]).collect();
            let found = fingerprint(program, at, &arguments).await;
            assert_eq!(found, expected, "{arguments:?}");
        }
    }
}
