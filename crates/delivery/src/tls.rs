//! Whom webhooks trust: what the system trusts, read once. Each client for itself would take
//! milliseconds to read it and a megabyte to keep it.

use std::sync::OnceLock;

use foretell_types::{Error, Result};
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;

static CONFIG: OnceLock<ClientConfig> = OnceLock::new();

pub(crate) fn config() -> Result<ClientConfig> {
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    // A provider that is installed already serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = ClientConfig::with_platform_verifier().map_err(|error| {
        let message = format!("can't read the certificates that this system trusts: {error}");
        Error::unavailable(message)
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(CONFIG.get_or_init(|| config).clone())
}
