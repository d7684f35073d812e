//! Fingerprints of directories and of images, compared with those that the `kosli` client prints.

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

/// How many random directories are compared.
const TREES: u64 = 200;

/// How many directories are compared at a time. A client takes 50 ms, most of which is its start.
const CONCURRENCY: usize = 4;

/// Names of files and directories: some have characters that are special in patterns, one is not UTF-8,
/// and the order of some depends on how names are compared.
const FILE_NAMES: [&[u8]; 18] = [
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

/// Values of `--exclude`: usual and odd patterns.
const EXCLUDE_PATTERNS: [&str; 26] = [
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
const MALFORMED_PATTERNS: [&str; 3] = ["[", "a\\", "**/[a-"];

/// A temporary directory with a directory `tree` of random files, directories, symbolic links and ignore
/// files in it. The generator was seeded with `seed`, and is returned for further random choices.
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
        let path = directory.join(OsStr::from_bytes(FILE_NAMES[rng.usize(..FILE_NAMES.len())]));
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
                symlink(if rng.bool() { target } else { relative_path(&directory, &target) }, link)
                    .unwrap();
            }
        }
    }
    if rng.u8(..3) == 0 {
        let lines =
            ["# a comment", "", "  ", ".kosli_ignore", " *.log # logs ", "c.log\r", "#note"];
        let mut text = String::new();
        for _ in 0..rng.usize(1..5) {
            let line =
                if rng.bool() { lines[rng.usize(..lines.len())] } else { random_pattern(&mut rng) };
            text.push_str(line);
            text.push('\n');
        }
        // Below the top directory, the clients do not read the file.
        for directory in [&root, &directories[rng.usize(..directories.len())]] {
            fs::write(directory.join(".kosli_ignore"), &text).unwrap();
        }
    }
    (parent, rng)
}

/// A random element of [`EXCLUDE_PATTERNS`].
fn random_pattern(rng: &mut Rng) -> &'static str {
    EXCLUDE_PATTERNS[rng.usize(..EXCLUDE_PATTERNS.len())]
}

/// The relative path of `target` from `directory`, both below the same temporary directory.
fn relative_path(directory: &Path, target: &Path) -> PathBuf {
    let common = directory.components().zip(target.components()).take_while(|(a, b)| a == b);
    let common = common.count();
    let up = directory.components().skip(common).map(|_| PathBuf::from(".."));
    let path: PathBuf =
        up.chain(target.components().skip(common).map(|it| it.as_os_str().into())).collect();
    if path.as_os_str().is_empty() { ".".into() } else { path }
}

/// The fingerprint that `program` prints when it runs in `directory`; `None` if it fails.
async fn fingerprint(program: Command, directory: &Path, arguments: &[String]) -> Option<String> {
    let mut program = program;
    let output = ProgramOutput::run(
        program.args(arguments).current_dir(directory).env("KOSLI_NO_UPDATE_CHECK", "1"),
    )
    .await;
    assert!(output.code != Some(101), "{output:?}");
    (output.code == Some(0)).then(|| output.stdout.trim_end().to_owned())
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn random_directories_have_the_fingerprints_that_the_kosli_client_prints() {
    let comparisons = futures_util::stream::iter(0..TREES).map(async |seed| {
        let (parent, mut rng) = random_tree(seed);
        let root = parent.path().join("tree");
        let (working_directory, path) = match rng.u8(..5) {
            0 => (root.clone(), ".".to_owned()),
            1 => (parent.path().to_owned(), "./tree/".to_owned()),
            2 => (PathBuf::from("/"), root.to_str().unwrap().to_owned()),
            _ => (parent.path().to_owned(), "tree".to_owned()),
        };
        let mut excludes = Vec::new();
        for _ in 0..rng.usize(..4) {
            let pattern = random_pattern(&mut rng).to_owned();
            let value = match rng.u8(..12) {
                0 => MALFORMED_PATTERNS[rng.usize(..MALFORMED_PATTERNS.len())].to_owned(),
                1 => ".kosli_ignore".to_owned(),
                2 => format!("{pattern},{}", random_pattern(&mut rng)),
                3 => format!("\"{pattern}\",a"),
                _ => pattern,
            };
            excludes.extend(["--exclude".to_owned(), value]);
        }
        let arguments = |subcommand: &[&str]| -> Vec<String> {
            let subcommand = subcommand.iter().map(|&it| it.to_owned());
            subcommand.chain(excludes.clone()).chain([path.clone()]).collect()
        };
        let kosli_arguments = arguments(&["fingerprint", "--artifact-type", "dir"]);
        let expected = fingerprint(command("kosli"), &working_directory, &kosli_arguments).await;
        let actual = fingerprint(envsnap(), &working_directory, &arguments(&["fingerprint"])).await;
        let kept =
            if actual == expected { String::new() } else { parent.keep().display().to_string() };
        assert_eq!(actual, expected, "seed {seed}: {path} {excludes:?} in {kept}");
        (actual, !excludes.is_empty())
    });
    let results: Vec<_> = comparisons.buffer_unordered(CONCURRENCY).collect().await;
    // The fingerprints differ, most runs succeed, and many have `--exclude`.
    let distinct: std::collections::HashSet<_> = results.iter().collect();
    let failed = results.iter().filter(|(fingerprint, _)| fingerprint.is_none()).count();
    let excluded = results.iter().filter(|(_, excludes)| *excludes).count();
    println!("{failed} failed, {excluded} with options, {} distinct", distinct.len());
    assert!(
        distinct.len() > 120 && failed < 40 && excluded > 100,
        "{failed} {excluded} {}",
        distinct.len()
    );
}

/// A container registry with one user, `alice`, and TLS.
struct Registry {
    /// Its certificates, configuration and data.
    files: TempDir,
    /// Address and port.
    host: String,
    _process: Child,
}

impl Registry {
    async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let directory = files.path();
        make_certificates(directory).await;
        fs::write(directory.join("users"), format!("alice:{PASSWORD_HASH}\n")).unwrap();
        let host = format!("127.0.0.1:{}", free_port());
        let config = json!({
            "version": 0.1,
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": directory.join("data") } },
            "auth": { "htpasswd": { "realm": "test", "path": directory.join("users") } },
            "http": {
                "addr": host,
                "secret": "secret",
                "tls": {
                    "certificate": directory.join("server.pem"),
                    "key": directory.join("server.key"),
                },
            },
        });
        // The registry reads YAML, of which JSON is a subset.
        fs::write(directory.join("config.yml"), config.to_string()).unwrap();
        let process = command("docker-registry")
            .arg("serve")
            .arg(directory.join("config.yml"))
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

    /// Runs `curl` with options and, as the last of `arguments`, a URL or a path of the registry. Returns the
    /// response with the HTTP status at its end.
    async fn curl(&self, arguments: &[&str]) -> String {
        let (url, options) = arguments.split_last().unwrap();
        let output = ProgramOutput::run(
            Command::new("curl")
                .args(["-sS", "-w", "%{http_code}", "-u", "alice:pa55word", "--cacert"])
                .arg(self.files.path().join("root.pem"))
                .args(options)
                .arg(if url.starts_with('/') {
                    format!("https://{}{url}", self.host)
                } else {
                    (*url).to_owned()
                }),
        )
        .await;
        output.stdout + &output.stderr
    }

    /// Uploads a blob to the repository `a/web`.
    async fn push_blob(&self, content: &str) {
        let response = self.curl(&["-i", "-X", "POST", "/v2/a/web/blobs/uploads/"]).await;
        let header = response.lines().find_map(|line| line.strip_prefix("location: "));
        let location = header.unwrap_or_else(|| panic!("{response}")).trim();
        let url = format!("{location}&digest=sha256:{}", sha256(content));
        let status =
            self.curl(&["-X", "PUT", "-H", OCTET_STREAM, "--data-binary", content, &url]).await;
        assert!(status.ends_with("201"), "{status}");
    }

    /// Uploads a manifest of this media type to the repository `a/web`, as `tag`.
    async fn push_manifest(&self, tag: &str, media_type: &str, manifest: &str) {
        let header = format!("Content-Type: {media_type}");
        let path = format!("/v2/a/web/manifests/{tag}");
        let status =
            self.curl(&["-X", "PUT", "-H", &header, "--data-binary", manifest, &path]).await;
        assert!(status.ends_with("201"), "{status}");
    }
}

/// The header of a blob.
const OCTET_STREAM: &str = "Content-Type: application/octet-stream";

/// The bcrypt hash of `pa55word`, the password of `alice`.
const PASSWORD_HASH: &str = "$2b$04$abcdefghijklmnopqrstuupn6eahIV9Ml9lnlQtVt1Wes7/c.Zj26";

/// The SHA-256 of `text`, as 64 hexadecimal digits.
fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn images_in_a_registry_have_the_fingerprints_that_the_kosli_client_prints() {
    let registry = Registry::start().await;
    registry.push_blob("{}").await;
    let manifest = |annotation: &str| {
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{}", sha256("{}")),
                "size": 2,
            },
            "layers": [],
            "annotations": { "layers": annotation },
        })
        .to_string()
    };
    let (amd64, arm64) = (manifest("x"), manifest("y"));
    let media_type_prefix = "application/vnd.oci.image";
    let index_entry = |text: &str, architecture: &str| {
        json!({
            "mediaType": format!("{media_type_prefix}.manifest.v1+json"),
            "digest": format!("sha256:{}", sha256(text)),
            "size": text.len(),
            "platform": { "architecture": architecture, "os": "linux" },
        })
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": format!("{media_type_prefix}.index.v1+json"),
        "manifests": [index_entry(&amd64, "amd64"), index_entry(&arm64, "arm64")],
    })
    .to_string();
    for (tag, kind, text) in
        [("amd64", "manifest", &amd64), ("arm64", "manifest", &arm64), ("1.2", "index", &index)]
    {
        registry.push_manifest(tag, &format!("{media_type_prefix}.{kind}.v1+json"), text).await;
    }

    let directory = registry.files.path();
    let docker_config = directory.join(".docker");
    fs::create_dir(&docker_config).unwrap();
    // alice:pa55word
    let config = json!({ "auths": { &registry.host: { "auth": "YWxpY2U6cGE1NXdvcmQ=" } } });
    fs::write(docker_config.join("config.json"), config.to_string()).unwrap();
    let credentials = ["--registry-username", "alice", "--registry-password", "pa55word"];
    let wrong_credentials = ["--registry-username", "alice", "--registry-password", "wrong"];
    let (home_with_credentials, home_without_credentials) =
        (directory.to_owned(), directory.join("data"));
    for (tag, options, home, expected) in [
        ("1.2", &credentials[..], &home_without_credentials, Some(sha256(&index))),
        ("1.2", &[], &home_with_credentials, Some(sha256(&index))),
        ("amd64", &credentials, &home_without_credentials, Some(sha256(&amd64))),
        ("arm64", &[], &home_with_credentials, Some(sha256(&arm64))),
        ("nosuch", &credentials, &home_without_credentials, None),
        ("1.2", &wrong_credentials, &home_with_credentials, None),
        ("1.2", &[], &home_without_credentials, None),
    ] {
        let image = format!("{}/a/web:{tag}", registry.host);
        for (mut program, subcommand) in [
            (envsnap(), &["fingerprint"][..]),
            (command("kosli"), &["fingerprint", "--artifact-type", "oci"]),
        ] {
            program.env("SSL_CERT_FILE", directory.join("root.pem")).env("HOME", home);
            let arguments = subcommand.iter().chain(options).map(|&it| it.to_owned());
            let arguments: Vec<_> = arguments.chain([image.clone()]).collect();
            let actual = fingerprint(program, directory, &arguments).await;
            assert_eq!(actual, expected, "{arguments:?}");
        }
    }
}
