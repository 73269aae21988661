//! TLS: which certificate the server shows, and connections that shake hands.

mod development;
mod files;
mod listener;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foretell_types::{Error, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Node;
use crate::node::{CertificateFiles, blocking};

pub use listener::TlsListener;

const FOLDER: &str = "tls";
/// The certificate that the server of a data directory shows, for clients on this machine.
const SERVER: &str = "server.pem";

/// A certificate with its chain, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What a server speaks TLS with.
pub struct Tls {
    pub config: Arc<ServerConfig>,
    /// Where the certificate lies that clients are to trust; `None` if it is the user's own.
    pub authority: Option<PathBuf>,
}

impl Tls {
    /// With the certificate that `foretell.toml` names, or else with a development certificate
    /// from the data directory's own authority, which is made on the first run.
    pub async fn of(node: &Node) -> Result<Tls> {
        let (own, folder, now) = (node.certificate(), node.data().join(FOLDER), node.now());
        blocking(move || {
            let (identity, authority) = match own {
                Some(files) => (read(&files)?, None),
                None => {
                    let (identity, authority) = development::certificate(&folder, now)?;
                    (identity, Some(authority))
                }
            };
            let named = identity.0.first().cloned();
            let config = config(identity)?;
            if let Some(certificate) = named {
                fs::create_dir_all(&folder).map_err(|error| {
                    Error::io(format_args!("can't make {}", folder.display()), error)
                })?;
                files::write(
                    &folder.join(SERVER),
                    &files::pem("CERTIFICATE", &certificate),
                    0o644,
                )?;
            }
            Ok(Tls { config, authority })
        })
        .await
    }
}

/// The certificate that the server of a data directory shows, if it speaks TLS: what a client on
/// this machine expects.
pub fn server_certificate(data: &Path) -> Result<Option<CertificateDer<'static>>> {
    let path = data.join(FOLDER).join(SERVER);
    match fs::read(&path) {
        Ok(pem) => certificates(&path, &pem).map(|found| found.into_iter().next()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&path, error)),
    }
}

fn read(files: &CertificateFiles) -> Result<Identity> {
    let text = |path: &Path| fs::read(path).map_err(|error| unreadable(path, error));
    let chain = certificates(&files.certificate, &text(&files.certificate)?)?;
    let key = PrivateKeyDer::from_pem_slice(&text(&files.key)?).map_err(|error| {
        Error::invalid(format!(
            "{} holds no private key: {error} (expected PEM, not encrypted)",
            files.key.display()
        ))
    })?;
    // What is wrong with the two of them is told with their names.
    config((chain.clone(), key.clone_key())).map_err(|error| {
        error.context(format_args!(
            "certificate {} and key {}",
            files.certificate.display(),
            files.key.display()
        ))
    })?;
    Ok((chain, key))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let wrong = |why: &str| Error::invalid(format!("{} {why}", path.display()));
    match found {
        Ok(found) if found.is_empty() => Err(wrong("holds no certificate: expected PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(&format!("is not PEM: {error}"))),
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::io(format_args!("can't read {}", path.display()), error)
}

fn config((chain, key): Identity) -> Result<Arc<ServerConfig>> {
    let wrong = |error: rustls::Error| Error::invalid(format!("TLS can't be used: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(wrong)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
