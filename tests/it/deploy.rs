use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_archive_of_the_command_has_what_a_host_needs_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let make = |into: &str| {
        let into = folder.path().join(into);
        let script = format!("{ROOT}/deploy/command-archive");
        let command = env!("CARGO_BIN_EXE_envsnap");
        let made = Command::new(script).args(["x86_64", command]).arg(&into).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        into.join("envsnap-linux-x86_64.tar.gz")
    };
    let archive = make("once");
    assert!(std::fs::read(&archive).unwrap() == std::fs::read(make("again")).unwrap());

    let unpack =
        Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(unpack.unwrap().success());
    let unpacked = folder.path().join("envsnap-linux-x86_64");
    for file in [
        "CHANGELOG.md",
        "LICENSE",
        "completions/envsnap.bash",
        "completions/envsnap.fish",
        "completions/envsnap.zsh",
        "envsnap.service",
    ] {
        assert!(unpacked.join(file).metadata().unwrap().len() > 500, "{file}");
    }
    let version = Command::new(unpacked.join("envsnap")).arg("--version").output().unwrap();
    assert!(version.stdout.starts_with(b"envsnap "), "{version:?}");
}
