//! Whom a client believes that it is the server.

use std::path::PathBuf;
use std::sync::Arc;

use foretell_types::{Error, Result};
use reqwest::{Certificate, ClientBuilder};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

/// Which certificates of servers are believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those that the system trusts.
    System,
    /// Those that the certificates of a PEM file vouch for.
    Only(PathBuf),
    /// This one, under any name: the data directory says that its server shows it.
    Exactly(CertificateDer<'static>),
}

impl Trust {
    pub fn apply(&self, client: ClientBuilder) -> Result<ClientBuilder> {
        match self {
            Trust::System => Ok(client),
            Trust::Only(path) => {
                let pem = std::fs::read(path).map_err(|error| {
                    Error::io(format_args!("--ca: can't read {}", path.display()), error)
                })?;
                let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
                if certificates.is_empty() {
                    return Err(Error::invalid(format!(
                        "--ca: {} holds no certificate: expected PEM",
                        path.display()
                    )));
                }
                Ok(client.tls_certs_only(certificates))
            }
            Trust::Exactly(certificate) => {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let pinned = Pinned {
                    certificate: certificate.clone(),
                    provider: provider.clone(),
                };
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| Error::unavailable(format!("TLS can't be used: {error}")))?
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(pinned))
                    .with_no_client_auth();
                Ok(client.tls_backend_preconfigured(config))
            }
        }
    }
}

/// Believes one certificate; whoever shows it must have its key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *end_entity == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
