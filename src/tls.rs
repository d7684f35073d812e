//! The TLS configuration that all HTTP clients share, and the root certificates of this machine.

use std::sync::{Arc, LazyLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Of all HTTP clients: verifies servers by [`VERIFIER`], and sends no client certificate.
static CLIENT_CONFIG: LazyLock<ClientConfig> = LazyLock::new(|| {
    // Uses the only cryptography provider that is compiled in.
    let config = ClientConfig::builder();
    // Called dangerous because a verifier could accept anything; this one calls rustls's own.
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(SystemVerifier));
    config.with_no_client_auth()
});

/// Verifies by the root certificates of this machine, or those of `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`. On some systems each root is a file of its own: reading them takes longer than
/// the rest of start-up. They are read once per process, when the first certificate is verified or
/// by [`preload_roots`].
static VERIFIER: LazyLock<Result<Arc<WebPkiServerVerifier>, Error>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "root certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::warn!(added, ignored, "some root certificates cannot be used");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.build().map_err(|error| {
        Error::General(format!("this machine's root certificates: {error}. Set SSL_CERT_FILE"))
    })
});

/// The configuration of a client. Clones share the roots and resumable sessions.
pub(crate) fn client_config() -> ClientConfig {
    CLIENT_CONFIG.clone()
}

/// Reads the root certificates in a background thread.
#[cfg(feature = "lambda")]
pub(crate) fn preload_roots() {
    std::thread::spawn(|| LazyLock::force(&VERIFIER));
}

/// Verifies certificates by the roots of this machine.
#[derive(Debug)]
struct SystemVerifier;

fn verifier() -> Result<&'static Arc<WebPkiServerVerifier>, Error> {
    VERIFIER.as_ref().map_err(Clone::clone)
}

impl ServerCertVerifier for SystemVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = verifier()?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verifier()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verifier()?.verify_tls13_signature(message, cert, dss)
    }

    /// Those of the cryptography provider: they are sent with the first message, before any root
    /// certificate is needed.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
