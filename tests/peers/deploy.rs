//! Files of the repository and of a release, checked by linters: workflows, the systemd unit, the
//! Dockerfile, the OpenAPI document and the configurations of Caddy.

use std::process::Stdio;

use tokio::process::Command;

use crate::programs::{ProgramOutput, ROOT, command};

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn zizmor_has_no_findings_in_the_workflows() {
    let mut zizmor = command("zizmor");
    zizmor.args(["--offline", "--persona", "regular", ".github/workflows"]);
    let output = ProgramOutput::run(zizmor.current_dir(ROOT)).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("No findings to report"), "{output:?}");
}

/// Needs systemd. The unit's program is replaced, because it is not installed.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn systemd_accepts_the_recorder_s_unit_and_rates_its_exposure_low() {
    let folder = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(format!("{ROOT}/deploy/envsnap.service")).unwrap();
    let unit = unit.replace("/usr/local/bin/envsnap", "/bin/true");
    let path = folder.path().join("envsnap.service");
    std::fs::write(&path, unit).unwrap();
    for arguments in
        [&["verify", "--man=no"][..], &["security", "--offline=true", "--threshold=20"]]
    {
        let mut analyze = Command::new("systemd-analyze");
        let output =
            ProgramOutput::run(analyze.args(arguments).arg(&path).stdin(Stdio::null())).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(arguments[0] == "security" || output.stderr.is_empty(), "{output:?}");
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn hadolint_has_no_findings_in_the_dockerfile() {
    let mut hadolint = command("hadolint");
    let output = ProgramOutput::run(hadolint.arg("deploy/Dockerfile").current_dir(ROOT)).await;
    assert_eq!((output.code, &*output.stdout, &*output.stderr), (Some(0), "", ""), "{output:?}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn openapi_spec_validator_accepts_the_openapi_document() {
    let mut validator = command("openapi-spec-validator");
    validator.arg("crates/recorder/src/http/openapi.json").current_dir(ROOT);
    let output = ProgramOutput::run(&mut validator).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.ends_with("OK\n"), "{output:?}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn caddy_accepts_both_configurations() {
    for file in ["deploy/Caddyfile", "deploy/Caddyfile.compose"] {
        let mut caddy = command("caddy");
        caddy.args(["validate", "--adapter", "caddyfile", "--config", file]);
        let output = ProgramOutput::run(caddy.current_dir(ROOT)).await;
        assert_eq!(output.code, Some(0), "{file}: {output:?}");
        assert!(output.stdout.contains("Valid configuration"), "{file}: {output:?}");
    }
}
