//! `envsnap` verifies the certificate of an HTTPS server, which is `openssl s_server`.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::programs::{ProgramOutput, free_port};

/// An HTTPS server with the files of [`make_certificates`]. Runs until it is dropped.
pub(crate) struct TlsServer {
    pub(crate) port: u16,
    certificates: TempDir,
    _process: Child,
}

/// Runs OpenSSL with these arguments, which are separated by spaces, in `folder`, where it must succeed.
async fn run_openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stdin(Stdio::null());
    let output = ProgramOutput::run(&mut command).await;
    assert_eq!(output.code, Some(0), "openssl {arguments}: {output:?}");
}

/// Makes in `folder` the root certificates `root.pem` and `other.pem`, and `server.pem` with `server.key`: a
/// certificate for loopback that `root.pem` has signed.
pub(crate) async fn make_certificates(folder: &Path) {
    for root in ["root", "other"] {
        let request = format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={root} -keyout {root}.key \
             -out {root}.pem"
        );
        run_openssl(folder, &request).await;
    }
    run_openssl(
        folder,
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    )
    .await;
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    run_openssl(
        folder,
        "x509 -req -days 2 -in server.csr -CA root.pem -CAkey root.key -CAcreateserial \
         -extfile names -out server.pem",
    )
    .await;
}

impl TlsServer {
    /// Starts the server, and waits until it listens.
    pub(crate) async fn start() -> Self {
        let certificates = tempfile::tempdir().unwrap();
        let folder = certificates.path();
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
        Self { port, certificates, _process: process }
    }

    /// Runs `envsnap env ls` with the roots in this file. It must fail; returns its standard error.
    async fn client_error_with_root(&self, root: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envsnap"));
        command
            .args(["env", "ls"])
            .env_clear()
            .env("SSL_CERT_FILE", self.certificates.path().join(root))
            .env("KOSLI_HOST", format!("https://127.0.0.1:{}", self.port))
            .env("KOSLI_ORG", "acme")
            .env("KOSLI_API_TOKEN", "t0k3n")
            .stdin(Stdio::null());
        let output = ProgramOutput::run(&mut command).await;
        assert_ne!(output.code, Some(0), "{output:?}");
        output.stderr
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn only_certificates_signed_by_a_root_in_ssl_cert_file_are_accepted() {
    let server = TlsServer::start().await;
    let trusted_root = server.client_error_with_root("root.pem").await;
    assert!(
        !trusted_root.contains("certificate"),
        "the server's page is no answer of the API: {trusted_root}"
    );
    let unknown_root = server.client_error_with_root("other.pem").await;
    assert!(unknown_root.contains("invalid peer certificate: UnknownIssuer"), "{unknown_root}");
    let missing_file = server.client_error_with_root("missing.pem").await;
    assert!(missing_file.contains("Set SSL_CERT_FILE"), "{missing_file}");
}
