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

/// Of an empty directory.
const EMPTY_FINGERPRINT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Of a file with content `a\n`.
const FILE_FINGERPRINT: &str = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7";

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

fn printed_fingerprint(directory: &Path, arguments: &[&str]) -> String {
    let output = fingerprint(directory, arguments);
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).trim_end().to_owned()
}

fn printed_error(directory: &Path, arguments: &[&str]) -> String {
    let output = fingerprint(directory, arguments);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    text(&output.stderr)
}

/// A directory with file `a`.
fn directory_with_file_a() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), "a\n").unwrap();
    directory
}

#[test]
fn path_is_detected_as_file_or_directory_and_must_agree_with_the_type_option() {
    let directory = directory_with_file_a();
    let at = directory.path();
    fs::create_dir(at.join("d")).unwrap();
    assert_eq!(printed_fingerprint(at, &["a"]), FILE_FINGERPRINT);
    assert_eq!(printed_fingerprint(at, &["--type", "file", "a"]), FILE_FINGERPRINT);
    assert_eq!(printed_fingerprint(at, &["d"]), EMPTY_FINGERPRINT);
    assert_eq!(printed_fingerprint(at, &["-t", "dir", "d"]), EMPTY_FINGERPRINT);
    let document: Value = serde_json::from_str(&printed_fingerprint(at, &["d", "--json"])).unwrap();
    assert_eq!(
        document,
        json!({ "artifact": "d", "type": "dir", "fingerprint": EMPTY_FINGERPRINT })
    );
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
        let error = printed_error(at, arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn pipe_socket_device_and_broken_link_are_errors_unless_excluded() {
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
        let excluding = printed_error(at, &[".", "-x", &others.join(",")]);
        assert!(excluding.contains(&expected), "{excluding}");
        let itself = printed_error(at, &[name]);
        assert!(itself.contains(&expected), "{itself}");
    }
    assert_eq!(printed_fingerprint(at, &[".", "-x", &names.join(",")]), EMPTY_FINGERPRINT);
}

#[test]
fn unreadable_file_in_a_directory_is_named_in_the_error() {
    let directory = directory_with_file_a();
    // No user may read it, not even the superuser.
    symlink("/proc/self/mem", directory.path().join("memory")).unwrap();
    let error = printed_error(directory.path(), &["."]);
    assert!(error.starts_with("envsnap: cannot read memory: "), "{error}");
}

#[test]
fn link_to_a_directory_is_hashed_only_with_a_trailing_slash() {
    let directory = directory_with_file_a();
    let at = directory.path();
    let parent = tempfile::tempdir().unwrap();
    symlink(at, parent.path().join("link")).unwrap();
    let refused = printed_error(parent.path(), &["link"]);
    assert!(refused.contains("link is a link to a directory"), "{refused}");
    assert_eq!(printed_fingerprint(parent.path(), &["link/"]), printed_fingerprint(at, &["."]));
}

#[test]
fn deep_directories_and_names_that_are_not_utf_8_are_hashed() {
    let directory = tempfile::tempdir().unwrap();
    let deep = format!("{}f", "d/".repeat(1_500));
    fs::create_dir_all(directory.path().join(&deep).parent().unwrap()).unwrap();
    fs::write(directory.path().join(deep), "a\n").unwrap();
    let with_file = printed_fingerprint(directory.path(), &["."]);
    assert_eq!(with_file.len(), 64);
    assert_ne!(printed_fingerprint(directory.path(), &[".", "-x", "d/**/f"]), with_file);

    let names: [&[u8]; 2] = [b"a\xff", b"a\xfe"];
    let one = tempfile::tempdir().unwrap();
    let fingerprints = names.map(|name| {
        let path = one.path().join(OsStr::from_bytes(name));
        fs::write(&path, "").unwrap();
        let both = printed_fingerprint(one.path(), &["."]);
        fs::remove_file(&path).unwrap();
        both
    });
    assert_ne!(fingerprints[0], fingerprints[1]);
    let file = OsStr::from_bytes(b"a\xff");
    fs::write(one.path().join(file), "a\n").unwrap();
    let output = fingerprint(one.path(), &[file]);
    assert_eq!(text(&output.stdout), format!("{FILE_FINGERPRINT}\n"));
}

#[test]
fn exclude_pattern_that_cannot_match_because_of_the_directory_path_prints_a_warning() {
    let directory = directory_with_file_a();
    let at = directory.path();
    let output = fingerprint(at, &[".", "-x", "**/a"]);
    assert_eq!(text(&output.stdout).trim_end(), printed_fingerprint(at, &["."]));
    assert!(text(&output.stderr).contains("leaves out nothing, because the directory is given as"));
    let path = at.to_str().unwrap();
    assert_eq!(printed_fingerprint(at, &[path, "-x", "**/a*"]), EMPTY_FINGERPRINT);
    let output = fingerprint(at, &[path, "-x", "**/a"]);
    assert_eq!(text(&output.stdout).trim_end(), printed_fingerprint(at, &["."]));
    let error = text(&output.stderr);
    assert!(
        error.contains("does not leave out /") && error.contains("exclude \"a\" as well"),
        "{error}"
    );
    assert_eq!(printed_fingerprint(at, &[path, "-x", "a,**/a"]), EMPTY_FINGERPRINT);
    fs::create_dir(at.join("[x]")).unwrap();
    let output = fingerprint(at, &["[x]", "-x", "a"]);
    assert!(text(&output.stderr).contains("rename the directory"), "{output:?}");
}
