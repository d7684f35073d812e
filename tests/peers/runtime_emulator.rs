//! Lambda's own runtime interface emulator, with the built function behind it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::programs::{eventually, free_port, path_of, reap};

pub(crate) struct RuntimeEmulator {
    port: u16,
    process: Process,
}

struct Process {
    child: Child,
    directory: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        // The function is in a process group of its own, and is ended on this signal only.
        let terminate = format!("kill -TERM {}", self.child.id());
        let _sent = Command::new("sh").args(["-c", &terminate]).status();
        reap(&mut self.child);
    }
}

/// What an invocation came to.
#[derive(Debug)]
pub(crate) struct Invoked {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Invoked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl RuntimeEmulator {
    /// With a function that may take `timeout` seconds, and that has these variables.
    pub(crate) async fn start(
        bootstrap: &Path,
        timeout: u32,
        variables: impl IntoIterator<Item = (&str, &str)>,
    ) -> Self {
        let (port, api) = (free_port(), free_port());
        let directory = TempDir::new().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = Command::new(path_of("aws-lambda-rie"))
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{api}")])
            .arg(bootstrap)
            // The function inherits what it has.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", timeout.to_string())
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

    pub(crate) async fn invoke(&self, event: &str) -> Invoked {
        let function = "2015-03-31/functions/function/invocations";
        let url = format!("http://127.0.0.1:{}/{function}", self.port);
        let answer = reqwest::Client::new().post(url).body(event.to_owned()).send().await.unwrap();
        let status = answer.status().as_u16();
        Invoked { status, text: answer.text().await.unwrap() }
    }

    /// What the emulator and the function wrote so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.process.directory.path().join("log")).unwrap_or_default()
    }
}
