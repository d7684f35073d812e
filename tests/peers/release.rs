//! The Lambda function as `sam build` builds it for a release.

use std::path::PathBuf;

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::emulator::aws_variables;
use crate::programs::{ProgramOutput, REGION, ROOT, program_path, search_path};

/// The path of the function's binary, `bootstrap`, which is built once for all tests.
pub(crate) async fn bootstrap() -> PathBuf {
    static BUILT: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    BUILT.get_or_init(sam_build).await.clone().unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `sam build`, and returns the path of the binary.
async fn sam_build() -> Result<PathBuf, String> {
    let ProgramOutput { code, stdout, stderr } = ProgramOutput::run(sam().arg("build")).await;
    let bootstrap = PathBuf::from(ROOT).join(".aws-sam/build/Reporter/bootstrap");
    match code {
        Some(0) if bootstrap.exists() => Ok(bootstrap),
        _ => Err(format!("sam build ended with {code:?}: {stdout}\n{stderr}")),
    }
}

/// The command `sam`, in the root of the repository and with an AWS endpoint where nothing listens. It
/// inherits this process's environment, since Cargo, which it starts, may be configured there.
pub(crate) fn sam() -> Command {
    let mut command = Command::new(program_path("sam"));
    command
        .current_dir(ROOT)
        .envs(aws_variables("http://127.0.0.1:9"))
        .env("AWS_DEFAULT_REGION", REGION)
        .env("PATH", search_path())
        .env("SAM_CLI_TELEMETRY", "0")
        .env("SAM_CLI_POLL_DELAY", "0.2")
        // Where cargo-lambda puts the function is where SAM looks for it.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET_DIR")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .kill_on_drop(true);
    command
}
