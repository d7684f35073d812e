//! What a release consists of, before those who judge workflows and units.

use std::process::Stdio;

use tokio::process::Command;

use crate::programs::{ProgramOutput, ROOT, command};

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn zizmor_finds_nothing_in_the_workflows() {
    let mut zizmor = command("zizmor");
    zizmor.args(["--offline", "--persona", "regular", ".github/workflows"]);
    let found = ProgramOutput::wait(zizmor.current_dir(ROOT)).await;
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.stdout.contains("No findings to report"), "{found:?}");
}

/// Where there is systemd; the program of the unit need not be installed.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn systemd_takes_the_unit_of_the_recorder_and_finds_little_exposed() {
    let folder = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(format!("{ROOT}/deploy/envsnap.service")).unwrap();
    let unit = unit.replace("/usr/local/bin/envsnap", "/bin/true");
    let path = folder.path().join("envsnap.service");
    std::fs::write(&path, unit).unwrap();
    for arguments in
        [&["verify", "--man=no"][..], &["security", "--offline=true", "--threshold=20"]]
    {
        let mut analyze = Command::new("systemd-analyze");
        let ended =
            ProgramOutput::wait(analyze.args(arguments).arg(&path).stdin(Stdio::null())).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(arguments[0] == "security" || ended.stderr.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn hadolint_finds_nothing_in_the_dockerfile() {
    let mut hadolint = command("hadolint");
    let found = ProgramOutput::wait(hadolint.arg("deploy/Dockerfile").current_dir(ROOT)).await;
    assert_eq!((found.code, &*found.stdout, &*found.stderr), (Some(0), "", ""), "{found:?}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_openapi_document_is_valid() {
    let mut validator = command("openapi-spec-validator");
    validator.arg("crates/recorder/src/http/openapi.json").current_dir(ROOT);
    let checked = ProgramOutput::wait(&mut validator).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.ends_with("OK\n"), "{checked:?}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn caddy_takes_both_configurations() {
    for file in ["deploy/Caddyfile", "deploy/Caddyfile.compose"] {
        let mut caddy = command("caddy");
        caddy.args(["validate", "--adapter", "caddyfile", "--config", file]);
        let valid = ProgramOutput::wait(caddy.current_dir(ROOT)).await;
        assert_eq!(valid.code, Some(0), "{file}: {valid:?}");
        assert!(valid.stdout.contains("Valid configuration"), "{file}: {valid:?}");
    }
}
