//! The recorder's signatures of ledger heads, made with a key from OpenSSL, verify with OpenSSL and with
//! Python's `cryptography`.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::programs::{ProgramOutput, command, envsnap};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITE_TOKEN};

/// Takes the files of the public key, the text and the signature. Fails if the signature is not valid.
const VERIFY_SCRIPT: &str = "
import sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
key, text, signature = (open(name, 'rb').read() for name in sys.argv[1:])
load_pem_public_key(key).verify(signature, text)
";

/// A folder with an Ed25519 key pair: `key.pem` is private, and `key.pub` public.
struct KeyPair(TempDir);

impl KeyPair {
    /// Generates the key pair with OpenSSL.
    async fn generate() -> Self {
        let key_pair = Self(TempDir::new().unwrap());
        let (private, public) = (key_pair.path("key.pem"), key_pair.path("key.pub"));
        key_pair
            .run_openssl(&["genpkey", "-algorithm", "ed25519", "-out", &private])
            .await
            .success();
        key_pair
            .run_openssl(&["pkey", "-in", &private, "-pubout", "-out", &public])
            .await
            .success();
        key_pair
    }

    /// The path of file `name` in the folder.
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    async fn run_openssl(&self, arguments: &[&str]) -> ProgramOutput {
        ProgramOutput::run(Command::new("openssl").args(arguments)).await
    }

    /// Whether OpenSSL, and whether Python, accepts the signature of the text, which is in hexadecimal.
    async fn verify_with_both(&self, text: &str, signature: &str) -> [bool; 2] {
        let [public, message, file] = ["key.pub", "text", "signature"].map(|name| self.path(name));
        std::fs::write(&message, text).unwrap();
        std::fs::write(&file, hex::decode(signature).unwrap()).unwrap();
        let arguments = ["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin"];
        let arguments = [&arguments[..], &["-in", &message, "-sigfile", &file]].concat();
        let openssl = self.run_openssl(&arguments).await;
        let mut python = command("python");
        python.args(["-c", VERIFY_SCRIPT, &public, &message, &file]);
        [openssl.code, ProgramOutput::run(&mut python).await.code].map(|code| code == Some(0))
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn head_signatures_verify_with_openssl_and_python() {
    let key_pair = KeyPair::generate().await;
    let recorder = Recorder::start_with_signing_key(Path::new(&key_pair.path("key.pem"))).await;
    let url = format!("{}/api/v2/environments/{ORG}", recorder.url);
    let body = format!(r#"{{"name": "{ENVIRONMENT}", "type": "ECS", "description": ""}}"#);
    let response = reqwest::Client::new().put(url).bearer_auth(WRITE_TOKEN).body(body).send().await;
    let response = response.unwrap();
    let header = response.headers()["x-envsnap-head"].to_str().unwrap();
    let (text, signed) = header.split_once("; key=").unwrap();
    let (key, signature) = signed.split_once("; signature=").unwrap();

    assert_eq!(key_pair.verify_with_both(text, signature).await, [true, true]);
    assert_eq!(
        key_pair.verify_with_both(&text.replace("seq=1", "seq=2"), signature).await,
        [false, false]
    );
    let der = key_pair.path("key.der");
    let public = key_pair.path("key.pub");
    key_pair
        .run_openssl(&["pkey", "-pubin", "-in", &public, "-outform", "DER", "-out", &der])
        .await
        .success();
    let digest = key_pair.run_openssl(&["dgst", "-sha256", "-r", &der]).await.success();
    assert!(digest.starts_with(key), "{key} {digest}");

    // A recorder refuses a key file that others may read.
    let mut serve_command = envsnap();
    serve_command.args(["serve", "--db", &key_pair.path("other.db"), "--signing-key", &public]);
    assert!(ProgramOutput::run(&mut serve_command).await.stderr.contains("mode 0644"));
}
