//! Certificates, verified against a server that is not ours.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::programs::{ProgramOutput, free_port};

/// A root of the test's own, and a server whose certificate it has signed.
pub(crate) struct Server {
    pub(crate) port: u16,
    files: TempDir,
    _process: Child,
}

async fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stdin(Stdio::null());
    let ended = ProgramOutput::wait(&mut command).await;
    assert_eq!(ended.code, Some(0), "openssl {arguments}: {ended:?}");
}

/// Makes `root.pem`, `other.pem`, and `server.pem` with `server.key`, which the first has signed for
/// this machine.
pub(crate) async fn make_certificates(folder: &Path) {
    for root in ["root", "other"] {
        let request = format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={root} -keyout {root}.key \
             -out {root}.pem"
        );
        openssl(folder, &request).await;
    }
    openssl(
        folder,
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    )
    .await;
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    openssl(
        folder,
        "x509 -req -days 2 -in server.csr -CA root.pem -CAkey root.key -CAcreateserial \
         -extfile names -out server.pem",
    )
    .await;
}

impl Server {
    pub(crate) async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let folder = files.path();
        make_certificates(folder).await;
        let port = free_port();
        let process = Command::new("openssl")
            .current_dir(folder)
            .args(["s_server", "-quiet", "-www", "-cert", "server.pem", "-key", "server.key"])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Self { port, files, _process: process }
    }

    /// The error of a client that trusts this root.
    async fn request_with(&self, root: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envsnap"));
        command
            .args(["env", "ls"])
            .env_clear()
            .env("SSL_CERT_FILE", self.files.path().join(root))
            .env("KOSLI_HOST", format!("https://127.0.0.1:{}", self.port))
            .env("KOSLI_ORG", "acme")
            .env("KOSLI_API_TOKEN", "t0k3n")
            .stdin(Stdio::null());
        let ended = ProgramOutput::wait(&mut command).await;
        assert_ne!(ended.code, Some(0), "{ended:?}");
        ended.stderr
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn only_certificates_of_the_roots_of_ssl_cert_file_are_accepted() {
    let server = Server::start().await;
    let trusted = server.request_with("root.pem").await;
    assert!(
        !trusted.contains("certificate"),
        "the server's page is no answer of the API: {trusted}"
    );
    let unknown = server.request_with("other.pem").await;
    assert!(unknown.contains("invalid peer certificate: UnknownIssuer"), "{unknown}");
    let none = server.request_with("missing.pem").await;
    assert!(none.contains("Set SSL_CERT_FILE"), "{none}");
}
