//! Signatures of heads, with keys from OpenSSL, and verified by OpenSSL and by Python's `cryptography`.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::programs::{ProgramOutput, command, envsnap};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITES};

/// Verifies the signature in the file of its third argument.
const PYTHON: &str = "
import sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
key, text, signature = (open(name, 'rb').read() for name in sys.argv[1:])
load_pem_public_key(key).verify(signature, text)
";

struct Keys(TempDir);

impl Keys {
    async fn generate() -> Self {
        let keys = Self(TempDir::new().unwrap());
        let (private, public) = (keys.path("key.pem"), keys.path("key.pub"));
        keys.openssl(&["genpkey", "-algorithm", "ed25519", "-out", &private]).await.success();
        keys.openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]).await.success();
        keys
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    async fn openssl(&self, arguments: &[&str]) -> ProgramOutput {
        ProgramOutput::wait(Command::new("openssl").args(arguments)).await
    }

    /// Whether OpenSSL and Python find that the signature is of the text.
    async fn verified(&self, text: &str, signature: &str) -> [bool; 2] {
        let [public, message, file] = ["key.pub", "text", "signature"].map(|name| self.path(name));
        std::fs::write(&message, text).unwrap();
        std::fs::write(&file, hex::decode(signature).unwrap()).unwrap();
        let arguments = ["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin"];
        let openssl = [&arguments[..], &["-in", &message, "-sigfile", &file]].concat();
        let openssl = self.openssl(&openssl).await;
        let mut python = command("python");
        python.args(["-c", PYTHON, &public, &message, &file]);
        [openssl.code, ProgramOutput::wait(&mut python).await.code].map(|code| code == Some(0))
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn signatures_of_heads_are_verified_by_others() {
    let keys = Keys::generate().await;
    let recorder = Recorder::signing(Path::new(&keys.path("key.pem"))).await;
    let url = format!("{}/api/v2/environments/{ORG}", recorder.url);
    let body = format!(r#"{{"name": "{ENVIRONMENT}", "type": "ECS", "description": ""}}"#);
    let answer = reqwest::Client::new().put(url).bearer_auth(WRITES).body(body).send().await;
    let answer = answer.unwrap();
    let header = answer.headers()["x-envsnap-head"].to_str().unwrap();
    let (text, signed) = header.split_once("; key=").unwrap();
    let (key, signature) = signed.split_once("; signature=").unwrap();

    assert_eq!(keys.verified(text, signature).await, [true, true]);
    assert_eq!(keys.verified(&text.replace("seq=1", "seq=2"), signature).await, [false, false]);
    let der = keys.path("key.der");
    let public = keys.path("key.pub");
    keys.openssl(&["pkey", "-pubin", "-in", &public, "-outform", "DER", "-out", &der])
        .await
        .success();
    let digest = keys.openssl(&["dgst", "-sha256", "-r", &der]).await.success();
    assert!(digest.starts_with(key), "{key} {digest}");

    let mut exposed = envsnap();
    exposed.args(["serve", "--db", &keys.path("other.db"), "--signing-key", &public]);
    assert!(ProgramOutput::wait(&mut exposed).await.stderr.contains("mode 0644"));
}
