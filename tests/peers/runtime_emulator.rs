//! Lambda's runtime interface emulator, which runs a built function and invokes it over HTTP.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::programs::{eventually, free_port, program_path, wait_or_kill};

/// Runs until it is dropped.
pub(crate) struct RuntimeEmulator {
    /// Where it accepts invocations.
    port: u16,
    process: Process,
}

/// The emulator's process, which is ended when this is dropped.
struct Process {
    child: Child,
    /// Where its log is.
    directory: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        // The function is in a process group of its own, and the emulator ends it on this signal only.
        let terminate = format!("kill -TERM {}", self.child.id());
        let _sent = Command::new("sh").args(["-c", &terminate]).status();
        wait_or_kill(&mut self.child);
    }
}

/// The HTTP response to an invocation.
#[derive(Debug)]
pub(crate) struct InvocationResponse {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl InvocationResponse {
    /// The body, parsed as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl RuntimeEmulator {
    /// Starts the emulator for the function `bootstrap`, with a timeout in seconds and environment variables.
    pub(crate) async fn start(
        bootstrap: &Path,
        timeout_seconds: u32,
        variables: impl IntoIterator<Item = (&str, &str)>,
    ) -> Self {
        let (port, api_port) = (free_port(), free_port());
        let directory = TempDir::new().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = Command::new(program_path("aws-lambda-rie"))
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{api_port}")])
            .arg(bootstrap)
            // The function inherits the emulator's environment.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", timeout_seconds.to_string())
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let emulator = Self { port, process: Process { child, directory } };
        eventually(Duration::from_secs(30), "the runtime emulator listens", async || {
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{error} {}", emulator.log())),
            }
        })
        .await;
        emulator
    }

    /// Invokes the function with this event, which is JSON.
    pub(crate) async fn invoke(&self, event: &str) -> InvocationResponse {
        let path = "2015-03-31/functions/function/invocations";
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let response =
            reqwest::Client::new().post(url).body(event.to_owned()).send().await.unwrap();
        let status = response.status().as_u16();
        InvocationResponse { status, body: response.text().await.unwrap() }
    }

    /// The output of the emulator and of the function so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.process.directory.path().join("log")).unwrap_or_default()
    }
}
