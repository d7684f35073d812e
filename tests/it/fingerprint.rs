//! Fingerprints of files and directories, as the command line gives them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command_line::text;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const A_FILE: &str = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7";

/// `envsnap fingerprint` in `directory`.
fn fingerprint<S: AsRef<OsStr>>(directory: &Path, arguments: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .arg("fingerprint")
        .args(arguments)
        .env_clear()
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = fingerprint(directory, arguments);
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).trim_end().to_owned()
}

fn error(directory: &Path, arguments: &[&str]) -> String {
    let output = fingerprint(directory, arguments);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    text(&output.stderr)
}

/// A directory with file `a`.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), "a\n").unwrap();
    directory
}

#[test]
fn a_path_that_exists_is_a_file_or_a_directory_and_an_option_decides_otherwise() {
    let directory = directory();
    let at = directory.path();
    fs::create_dir(at.join("d")).unwrap();
    assert_eq!(printed(at, &["a"]), A_FILE);
    assert_eq!(printed(at, &["--type", "file", "a"]), A_FILE);
    assert_eq!(printed(at, &["d"]), EMPTY);
    assert_eq!(printed(at, &["-t", "dir", "d"]), EMPTY);
    let document: Value = serde_json::from_str(&printed(at, &["d", "--json"])).unwrap();
    assert_eq!(document, json!({ "artifact": "d", "type": "dir", "fingerprint": EMPTY }));
    for (arguments, expected) in [
        (&["--type", "dir", "a"][..], "a is not a directory"),
        (&["--type", "file", "d"], "d is a directory, not a file"),
        (&["--type", "file", "x"], "cannot read x: No such file"),
        (&["./x"], "cannot read ./x: No such file"),
        (&["X"], "there is no file or directory \"X\", and as an image: \"X\" is not an image"),
        (&["--type", "image", "D@"], "the digest is not sha256:"),
        (&["a", "-x", "b"], "--exclude is for directories, and a is none"),
        (&["a", "--registry-username", "b"], "are for images, and a is a path"),
        (&["d", "-x", "["], "the exclude pattern \"[\" is malformed"),
        (&["d", "-x", "b,"], "the exclude pattern \"b,\" is empty"),
    ] {
        let error = error(at, arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn a_file_without_content_is_refused_unless_it_is_excluded() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let made = Command::new("mkfifo").arg(at.join("pipe")).status().unwrap();
    assert!(made.success());
    let _listener = UnixListener::bind(at.join("socket")).unwrap();
    symlink("missing", at.join("broken")).unwrap();
    symlink("/dev/zero", at.join("zero")).unwrap();
    symlink("pipe", at.join("to_pipe")).unwrap();
    symlink("loop", at.join("loop")).unwrap();
    let names = ["broken", "loop", "pipe", "socket", "to_pipe", "zero"];
    for (name, expected) in names.into_iter().zip([
        "broken is a link to missing, which does not exist",
        "cannot read ./loop: Too many levels of symbolic links",
        "pipe is a named pipe",
        "socket is a socket",
        "to_pipe is a named pipe",
        "zero is a device",
    ]) {
        let others: Vec<_> = names.into_iter().filter(|other| *other != name).collect();
        let expected = expected.replace("./", "");
        let excluding = error(at, &[".", "-x", &others.join(",")]);
        assert!(excluding.contains(&expected), "{excluding}");
        let itself = error(at, &[name]);
        assert!(itself.contains(&expected), "{itself}");
    }
    assert_eq!(printed(at, &[".", "-x", &names.join(",")]), EMPTY);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = directory();
    // No user may read it, not even the superuser.
    symlink("/proc/self/mem", directory.path().join("memory")).unwrap();
    let error = error(directory.path(), &["."]);
    assert!(error.starts_with("envsnap: cannot read memory: "), "{error}");
}

#[test]
fn a_link_to_a_directory_is_entered_only_with_a_slash() {
    let directory = directory();
    let at = directory.path();
    let parent = tempfile::tempdir().unwrap();
    symlink(at, parent.path().join("link")).unwrap();
    let refused = error(parent.path(), &["link"]);
    assert!(refused.contains("link is a link to a directory"), "{refused}");
    assert_eq!(printed(parent.path(), &["link/"]), printed(at, &["."]));
}

#[test]
fn a_deep_tree_and_names_that_are_not_text_are_hashed() {
    let directory = tempfile::tempdir().unwrap();
    let deep = format!("{}f", "d/".repeat(1_500));
    fs::create_dir_all(directory.path().join(&deep).parent().unwrap()).unwrap();
    fs::write(directory.path().join(deep), "a\n").unwrap();
    let with_file = printed(directory.path(), &["."]);
    assert_eq!(with_file.len(), 64);
    assert_ne!(printed(directory.path(), &[".", "-x", "d/**/f"]), with_file);

    let names: [&[u8]; 2] = [b"a\xff", b"a\xfe"];
    let one = tempfile::tempdir().unwrap();
    let fingerprints = names.map(|name| {
        let path = one.path().join(OsStr::from_bytes(name));
        fs::write(&path, "").unwrap();
        let both = printed(one.path(), &["."]);
        fs::remove_file(&path).unwrap();
        both
    });
    assert_ne!(fingerprints[0], fingerprints[1]);
    let file = OsStr::from_bytes(b"a\xff");
    fs::write(one.path().join(file), "a\n").unwrap();
    let output = fingerprint(one.path(), &[file]);
    assert_eq!(text(&output.stdout), format!("{A_FILE}\n"));
}

#[test]
fn patterns_that_the_directory_s_own_path_spoils_are_warned_of() {
    let directory = directory();
    let at = directory.path();
    let output = fingerprint(at, &[".", "-x", "**/a"]);
    assert_eq!(text(&output.stdout).trim_end(), printed(at, &["."]));
    assert!(text(&output.stderr).contains("leaves out nothing, because the directory is given as"));
    let path = at.to_str().unwrap();
    assert_eq!(printed(at, &[path, "-x", "**/a*"]), EMPTY);
    let output = fingerprint(at, &[path, "-x", "**/a"]);
    assert_eq!(text(&output.stdout).trim_end(), printed(at, &["."]));
    let error = text(&output.stderr);
    assert!(
        error.contains("does not leave out /") && error.contains("exclude \"a\" as well"),
        "{error}"
    );
    assert_eq!(printed(at, &[path, "-x", "a,**/a"]), EMPTY);
    fs::create_dir(at.join("[x]")).unwrap();
    let output = fingerprint(at, &["[x]", "-x", "a"]);
    assert!(text(&output.stderr).contains("rename the directory"), "{output:?}");
}
