//! The function as `sam build` builds it.

use std::path::PathBuf;

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::emulator::aws_variables;
use crate::programs::{ProgramOutput, REGION, ROOT, path_of, search_path};

/// The built function, `bootstrap`. It is built once, whichever tests ask for it.
pub(crate) async fn bootstrap() -> PathBuf {
    static BUILT: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    BUILT.get_or_init(build).await.clone().unwrap_or_else(|why| panic!("{why}"))
}

async fn build() -> Result<PathBuf, String> {
    let ProgramOutput { code, stdout, stderr } = ProgramOutput::wait(sam().arg("build")).await;
    let bootstrap = PathBuf::from(ROOT).join(".aws-sam/build/Reporter/bootstrap");
    match code {
        Some(0) if bootstrap.exists() => Ok(bootstrap),
        _ => Err(format!("sam build ended with {code:?}: {stdout}\n{stderr}")),
    }
}

/// SAM in the root of the repository, with no account to talk to. It inherits this process's
/// environment, since Cargo, which it starts, may be configured there.
pub(crate) fn sam() -> Command {
    let mut command = Command::new(path_of("sam"));
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
