//! The TLS configuration that all HTTP clients share.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore};

/// The roots of this machine, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Reading them opens a
/// file for each root on some systems: it happens once in a process.
static TLS: LazyLock<ClientConfig> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "root certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 || ignored > 0 {
        tracing::warn!(added, ignored, "some root certificates are missing or cannot be used");
    }
    // Takes the one cryptography that is compiled in.
    ClientConfig::builder().with_root_certificates(Arc::new(roots)).with_no_client_auth()
});

/// Its clones share the roots and the sessions that can be resumed.
pub(crate) fn client_config() -> ClientConfig {
    TLS.clone()
}
